import { OnInterrupt } from "@reprise/client";
import { Segments } from "../../components/basics.tsx";
import { AreaField, Check, fieldError, NumberField, SelectField, TextField } from "../../components/form.tsx";
import { formatMoney, formatSpan } from "../../lib/format.ts";
import { Excerpt, placeOf } from "./expression.tsx";
import { Section, type SectionProps } from "./section.tsx";

/** What the agent is told. */
export function ActionFields({ form }: SectionProps) {
  const { draft, set } = form;
  return (
    <Section
      title="What the agent is told"
      about={
        <>
          Templates may name the same values as the expressions, as in <code>{"{{ event.title }}"}</code>. The event itself is added below,
          fenced and marked as data.
        </>
      }
    >
      <Segments
        label="What the agent is told"
        options={[
          { value: "prompt", label: "A prompt" },
          { value: "skill", label: "A skill of this server" },
        ]}
        value={draft.action}
        onChange={(action) => set({ action })}
      />
      {draft.action === "prompt" ? <PromptFields form={form} /> : <SkillFields form={form} />}
    </Section>
  );
}

function PromptFields({ form }: Pick<SectionProps, "form">) {
  const { draft, set, problem } = form;
  return (
    <>
      <Template
        label="Prompt"
        path="trigger.prompt.template"
        form={form}
        value={draft.template}
        rows={6}
        onInput={(template) => set({ template })}
        help="The first turn of a conversation. Say who the agent is, what to do, and when to do nothing."
      />
      <Check
        label="A prompt of its own for later turns"
        help="Off: later turns are given the new event only, since the instructions are part of the conversation already."
        checked={draft.followUp !== undefined}
        onChange={(on) => set({ followUp: on ? "" : undefined })}
      />
      {draft.followUp !== undefined && (
        <Template
          label="Prompt of later turns"
          path="trigger.prompt.follow_up_template"
          form={form}
          value={draft.followUp}
          rows={3}
          onInput={(followUp) => set({ followUp })}
          help="In place of the built-in one. Instructions that stand here are sent with every event."
        />
      )}
      {fieldError(problem, "trigger.prompt") && !problem?.fields.some(({ field }) => field.startsWith("trigger.prompt.")) && (
        <p class="error c-red">{fieldError(problem, "trigger.prompt")}</p>
      )}
    </>
  );
}

function SkillFields({ form }: Pick<SectionProps, "form">) {
  const { draft, set, problem } = form;
  return (
    <>
      <TextField
        label="Skill"
        mono
        value={draft.skill}
        onInput={(skill) => set({ skill })}
        error={fieldError(problem, "trigger.skill.name")}
        help="Name of a directory in the server's skills directory. The server puts its text in place of the name and sends it as a prompt."
      />
      <Template
        label="Arguments"
        path="trigger.skill.arguments"
        form={form}
        value={draft.skillArguments}
        rows={2}
        onInput={(skillArguments) => set({ skillArguments })}
        help="Put in place of $ARGUMENTS on the first turn. Empty: none."
      />
      <Check
        label="Arguments of their own for later turns"
        help="Off: later turns are given the new event only."
        checked={draft.skillFollowUp !== undefined}
        onChange={(on) => set({ skillFollowUp: on ? "" : undefined })}
      />
      {draft.skillFollowUp !== undefined && (
        <Template
          label="Arguments of later turns"
          path="trigger.skill.follow_up_arguments"
          form={form}
          value={draft.skillFollowUp}
          rows={2}
          onInput={(skillFollowUp) => set({ skillFollowUp })}
        />
      )}
    </>
  );
}

function Template({
  label,
  path,
  form,
  value,
  rows,
  onInput,
  help,
}: {
  label: string;
  path: string;
  form: SectionProps["form"];
  value: string;
  rows: number;
  onInput: (value: string) => void;
  help?: string;
}) {
  const error = fieldError(form.problem, path);
  const place = error ? placeOf(form.problem) : undefined;
  return (
    <div>
      <AreaField
        label={label}
        value={value}
        rows={Math.max(rows, Math.min(24, value.split("\n").length + 1))}
        mono
        onInput={onInput}
        help={help}
        error={error && place ? `Line ${place.line}: ${error}` : error}
      />
      {place && <Excerpt source={value} line={place.line} column={place.column} />}
    </div>
  );
}

/** Which agent runs, with which rights, and where. */
export function AgentFields({ form, defaults }: SectionProps) {
  const { draft, set, problem } = form;
  return (
    <Section
      title="Agent"
      about="Claude Code. A change of profile or workspace ends the live conversations: they no longer fit. A change of model does not."
    >
      <div class="inline-fields">
        <TextField
          label="Profile"
          mono
          value={draft.profile}
          placeholder={defaults.profile}
          onInput={(profile) => set({ profile })}
          error={fieldError(problem, "trigger.agent.profile")}
          help="Which tools and permissions it gets: an entry of the server's configuration."
        />
        <TextField
          label="Model"
          mono
          value={draft.model}
          placeholder={defaults.model}
          onInput={(model) => set({ model })}
          error={fieldError(problem, "trigger.agent.claude.model")}
          help="Name or alias. Empty: the one of the settings."
        />
        <TextField
          label="Effort"
          mono
          value={draft.effort}
          placeholder="the program's own"
          onInput={(effort) => set({ effort })}
          error={fieldError(problem, "trigger.agent.claude.effort")}
          help="As claude --effort takes it."
        />
      </div>
      <SelectField
        label="Workspace"
        value={draft.workspace}
        options={[
          { value: "scratch", label: "Scratch: an empty directory for each session" },
          { value: "named", label: "A directory that the server's configuration names" },
        ]}
        onChange={(workspace) => set({ workspace })}
        help="The directory the agent works in. It stays the same for a whole conversation."
        error={draft.workspace === "scratch" ? fieldError(problem, "trigger.workspace") : undefined}
      />
      {draft.workspace === "named" && (
        <TextField
          label="Name of the directory"
          mono
          value={draft.workspaceName}
          onInput={(workspaceName) => set({ workspaceName })}
          error={fieldError(problem, "trigger.workspace")}
          help="An entry under workspaces in the server's configuration, never a path."
        />
      )}
    </Section>
  );
}

/** What a run and a trigger may use, and how a run goes on after an interruption. */
export function LimitFields({ form, defaults }: SectionProps) {
  const { draft, set, problem } = form;
  const span = (seconds: number | undefined) => (seconds === undefined ? "the settings' value" : formatSpan(seconds * 1000));
  const cost =
    defaults.maxCostUsd === undefined ? "the settings' value" : defaults.maxCostUsd === 0 ? "no limit" : formatMoney(defaults.maxCostUsd);
  return (
    <Section title="Limits" about="Of one run: all its attempts and its compaction together. 0 is no limit.">
      <div class="inline-fields">
        <NumberField
          label="Cost of a run"
          unit="USD"
          step="any"
          min={0}
          value={draft.maxCostUsd}
          onInput={(maxCostUsd) => set({ maxCostUsd })}
          error={fieldError(problem, "trigger.run_limits.max_cost_usd")}
          help={`Empty: ${cost}.`}
        />
        <NumberField
          label="Turns of a run"
          min={0}
          value={draft.maxTurns}
          onInput={(maxTurns) => set({ maxTurns })}
          error={fieldError(problem, "trigger.run_limits.max_turns")}
          help="Rounds of the agent's inner loop. Empty: no limit."
        />
        <NumberField
          label="Time of a run"
          unit="seconds"
          step="any"
          min={0}
          value={draft.timeout}
          onInput={(timeout) => set({ timeout })}
          error={fieldError(problem, "trigger.run_limits.timeout")}
          help={`From start to end. Empty: ${span(defaults.timeoutSeconds)}.`}
        />
        <NumberField
          label="Silence"
          unit="seconds"
          step="any"
          min={0}
          value={draft.silence}
          onInput={(silence) => set({ silence })}
          error={fieldError(problem, "trigger.run_limits.silence_timeout")}
          help={`Ends a run without output. Empty: ${span(defaults.silenceSeconds)}.`}
        />
        <NumberField
          label="Runs at once"
          min={0}
          value={draft.concurrentRuns}
          onInput={(concurrentRuns) => set({ concurrentRuns })}
          error={fieldError(problem, "trigger.caps.concurrent_runs")}
          help="Of this trigger; further ones wait. Empty: no cap of its own."
        />
        <NumberField
          label="Runs of a session in an hour"
          min={0}
          value={draft.runsPerHour}
          onInput={(runsPerHour) => set({ runsPerHour })}
          error={fieldError(problem, "trigger.caps.runs_per_session_per_hour")}
          help="Breaks the loop of an agent that answers itself. Empty: 20."
        />
      </div>
      <div class="inline-fields">
        <SelectField
          label="After an interruption"
          value={String(draft.onInterrupt)}
          options={INTERRUPT}
          onChange={(value) => set({ onInterrupt: Number(value) as OnInterrupt })}
          error={fieldError(problem, "trigger.retry.on_interrupt")}
          help="When the server or the machine stopped below a run. A run that failed by itself is never repeated on its own."
        />
        <NumberField
          label="Attempts"
          min={1}
          value={draft.maxAttempts}
          onInput={(maxAttempts) => set({ maxAttempts })}
          error={fieldError(problem, "trigger.retry.max_attempts")}
          help="Of one run in all. Empty: 3."
        />
      </div>
    </Section>
  );
}

const INTERRUPT = [
  { value: String(OnInterrupt.RESUME), label: "Resume: goes on where it stopped" },
  { value: String(OnInterrupt.RESTART), label: "Restart: begins again with its prompt" },
  { value: String(OnInterrupt.NEVER), label: "Never: it ends as failed" },
];
