import { useRef } from "preact/hooks";
import { AreaField, Check, fieldError, NumberField, SelectField } from "../../components/form.tsx";
import { Words } from "../deliveries/path.tsx";
import type { Draft } from "./draft.ts";
import { EventValues } from "./event_values.tsx";
import { ExpressionField } from "./expression.tsx";
import { Section, type SectionProps } from "./section.tsx";

/** Which events count, and to which conversation each belongs; beside it the values of a recent event. */
export function RuleFields({ form, info, triggerId }: SectionProps & { triggerId: string | undefined }) {
  const { draft, set, problem } = form;
  const last = useRef<HTMLTextAreaElement | null>(null);
  const first = useRef<HTMLDivElement>(null);
  // The path goes where the cursor was last, as if it had been typed.
  const pick = (path: string) => {
    const field = last.current ?? first.current?.querySelector("textarea");
    if (!field) return;
    field.setRangeText(path, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  };
  const take = (field: HTMLTextAreaElement) => {
    last.current = field;
  };
  return (
    <Section
      title="Which events"
      about="Expressions in CEL over the event. The server checks them while you type; nothing is saved."
      beside={<EventValues triggerId={triggerId} variables={info?.variables ?? []} onPick={pick} />}
    >
      <div ref={first}>
        <ExpressionField
          label="Filter"
          path="trigger.filter_expression"
          value={draft.filter}
          problem={problem}
          placeholder={'event.kind == "issue_comment" && event.action == "created"'}
          help="May this event do anything? Must give true or false. Empty: every event may."
          onInput={(filter) => set({ filter })}
          onFocus={take}
        />
      </div>
      <ExpressionField
        label="May start a conversation"
        path="trigger.start_expression"
        value={draft.start}
        problem={problem}
        placeholder={'event.text.contains("@reprise")'}
        help="May this event start a conversation? One for which this is false can only continue one that exists. Empty: every event may start one."
        onInput={(start) => set({ start })}
        onFocus={take}
      />
      <ExpressionField
        label="Thread key"
        path="trigger.thread_key_expression"
        value={draft.threadKey}
        problem={problem}
        help={
          <>
            Names the thread that the event belongs to: events with the same key share a conversation. Must give a text or a whole number;
            "" is no thread. Empty: <Words text={info?.defaultThreadKey || "no thread"} />.
          </>
        }
        onInput={(threadKey) => set({ threadKey })}
        onFocus={take}
      />
    </Section>
  );
}

/** Whether events of one thread continue one conversation, and what happens when it is busy. */
export function ConversationFields({ form, defaults }: SectionProps) {
  const { draft, set, problem } = form;
  const resume = draft.resume ?? defaults.resume;
  return (
    <Section
      title="Conversations"
      about="A thread is what ties events together: a pull request, an issue, a task. A session is the conversation the agent has about it."
    >
      <Check
        label="Continue sessions"
        checked={resume}
        onChange={(value) => set({ resume: value })}
        help={
          <>
            On: events of the same thread continue one Claude session. The agent remembers what it read and said, the instructions are sent
            once, and most of the input comes from the prompt cache, which costs a tenth. Runs of a thread go one after the other. Off: each
            event is a run of its own that remembers nothing, and they run side by side.
          </>
        }
      />
      <SelectField
        label="While a conversation is busy"
        value={draft.busy}
        options={BUSY.filter((one) => resume || one.value === "default" || one.value === "queue")}
        onChange={(busy) => set({ busy })}
        help={BUSY_HELP[draft.busy]}
        error={fieldError(problem, "trigger.busy")}
      />
      {draft.busy === "coalesce" && (
        <div class="inline-fields">
          <NumberField
            label="Quiet period"
            unit="seconds"
            min={0}
            step="any"
            value={draft.quietPeriod}
            onInput={(quietPeriod) => set({ quietPeriod })}
            error={fieldError(problem, "trigger.busy.coalesce.quiet_period")}
            help="Wait this long after the last event. Empty: 3 s."
          />
          <NumberField
            label="Longest wait"
            unit="seconds"
            min={0}
            step="any"
            value={draft.maxWait}
            onInput={(maxWait) => set({ maxWait })}
            error={fieldError(problem, "trigger.busy.coalesce.max_wait")}
            help="In all, from the first event. Empty: 30 s."
          />
          <NumberField
            label="Most events"
            value={draft.maxBatch}
            min={1}
            onInput={(maxBatch) => set({ maxBatch })}
            error={fieldError(problem, "trigger.busy.coalesce.max_batch")}
            help="In one run. Empty: 50."
          />
        </div>
      )}
    </Section>
  );
}

const BUSY: readonly { value: Draft["busy"]; label: string }[] = [
  { value: "default", label: "As the source does it" },
  { value: "queue", label: "Queue: one run after the other" },
  { value: "coalesce", label: "Merge: events that come close together are one run" },
  { value: "drop", label: "Drop: it does nothing" },
];

const BUSY_HELP: Record<Draft["busy"], string> = {
  default:
    "GitHub, Linear and ClickUp merge events that come within 3 s, so that a review with twelve comments is one run; every other source queues.",
  queue: "Each event becomes a run; they run in the order in which they arrived.",
  coalesce: "Events that arrive close together, or while a run is live, become one run.",
  drop: "The event is recorded as dropped and does nothing.",
};

/** Whose events count. */
export function AuthorFields({ form }: SectionProps) {
  const { draft, set, problem } = form;
  return (
    <Section title="Authors" about="Logins or ids, one a line. Checked in the order own names, denied, bots, allowed.">
      <AreaField
        label="Own names of the agent"
        value={draft.ownIdentities}
        rows={2}
        mono
        onInput={(ownIdentities) => set({ ownIdentities })}
        error={fieldError(problem, "trigger.author_rule.own_identities")}
        help="Accounts under which the agent itself writes. Their events end as self-authored, so that an answer never starts another run."
      />
      <div class="inline-fields">
        <AreaField
          label="Only these"
          value={draft.allow}
          rows={2}
          mono
          onInput={(allow) => set({ allow })}
          error={fieldError(problem, "trigger.author_rule.allow")}
          help="Empty: everyone who is not excluded otherwise."
        />
        <AreaField
          label="Never these"
          value={draft.deny}
          rows={2}
          mono
          onInput={(deny) => set({ deny })}
          error={fieldError(problem, "trigger.author_rule.deny")}
          help="Their events are filtered."
        />
        <AreaField
          label="Bots that count"
          value={draft.allowedBots}
          rows={2}
          mono
          onInput={(allowedBots) => set({ allowedBots })}
          error={fieldError(problem, "trigger.author_rule.allowed_bots")}
          help="A bot that is not listed is filtered."
        />
      </div>
    </Section>
  );
}
