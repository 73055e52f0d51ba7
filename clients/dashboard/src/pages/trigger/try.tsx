import { type FireTriggerResponse, newId, SessionMode, type SourceInfo, type Trigger } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { query } from "../../app/router.ts";
import { hrefs } from "../../app/routes.ts";
import { Button, Notice, Segments, State } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { AreaField, Check, fieldError, SelectField, TextField } from "../../components/form.tsx";
import { reprise } from "../../data/api.ts";
import { useAction } from "../../data/query.ts";
import { deliveryOutcome, reasonWord } from "../../lib/words.ts";
import { ExplanationView } from "./explanation.tsx";
import { parseHeaders } from "./headers.ts";

/** What is fired, as it is typed. */
interface Event {
  kind: "sample" | "own";
  sample: string;
  body: string;
  headers: string;
  skipFilter: boolean;
  ownThread: boolean;
  threadKey: string;
  mode: SessionMode;
  ownPrompt: boolean;
  prompt: string;
  sessionId: string;
}

/** Fires the trigger by hand: first what would happen, then the run. */
export function TryTrigger({ trigger, info, dirty }: { trigger: Trigger; info: SourceInfo | undefined; dirty: boolean }) {
  const samples = info?.sampleNames ?? [];
  const [event, setEvent] = useState<Event>({
    kind: samples.length > 0 ? "sample" : "own",
    sample: samples[0] ?? "",
    body: "{\n}",
    headers: "",
    skipFilter: false,
    ownThread: false,
    threadKey: "",
    mode: SessionMode.UNSPECIFIED,
    ownPrompt: false,
    prompt: "",
    sessionId: query("session"),
  });
  const [more, setMore] = useState(query("session") !== "");
  const [requestId, setRequestId] = useState(newId);
  const [seen, setSeen] = useState<{ of: Event; answer: FireTriggerResponse }>();
  const [fired, setFired] = useState<FireTriggerResponse>();
  const set = (change: Partial<Event>) => {
    setEvent((was) => ({ ...was, ...change }));
    setRequestId(newId());
  };
  useEffect(() => {
    if (samples.length > 0 && event.sample === "") set({ sample: samples[0] ?? "", kind: "sample" });
  }, [samples.length]);
  const headers = parseHeaders(event.headers);
  const bodyProblem = event.kind === "own" ? jsonProblem(event.body) : undefined;
  const send = (validateOnly: boolean) =>
    reprise.triggers.fireTrigger({
      triggerId: trigger.id,
      content:
        event.kind === "sample" ? { case: "sample", value: event.sample } : { case: "body", value: new TextEncoder().encode(event.body) },
      headers: headers.headers,
      skipFilter: event.skipFilter,
      sessionMode: event.mode,
      sessionId: event.sessionId.trim(),
      validateOnly,
      ...(event.ownThread ? { threadKey: event.threadKey } : {}),
      ...(event.ownPrompt && event.prompt !== "" ? { prompt: event.prompt } : {}),
      ...(validateOnly ? {} : { requestId }),
    });
  const explain = useAction(async () => {
    setFired(undefined);
    setSeen({ of: event, answer: await send(true) });
  });
  const fire = useAction(async () => {
    setFired(await send(false));
    // Pressing it again is another event.
    setRequestId(newId());
  });
  const problem = fire.error ?? explain.error;
  const wrong = bodyProblem !== undefined || headers.problem !== undefined;
  const current = seen?.of === event ? seen.answer : undefined;
  return (
    <div class="try">
      <form
        class="form"
        aria-label="Test fire"
        onSubmit={(submit) => {
          submit.preventDefault();
          if (!wrong) void explain.run();
        }}
      >
        {dirty && (
          <Notice mark="waiting" title="Fires what is saved">
            Your changes are not part of it; the dry run reads them.
          </Notice>
        )}
        <Segments
          label="Event"
          options={[
            { value: "sample", label: "A sample" },
            { value: "own", label: "Own payload" },
          ]}
          value={event.kind}
          onChange={(kind) => set({ kind })}
        />
        {event.kind === "sample" ? (
          <SelectField
            label="Sample"
            value={event.sample}
            options={samples.map((one) => ({ value: one, label: one.replaceAll("_", " ") }))}
            onChange={(sample) => set({ sample })}
            error={fieldError(problem, "sample")}
            help={
              samples.length === 0 ? "This source has none; give a payload." : "A webhook as the sender would send it, with its headers."
            }
          />
        ) : (
          <>
            <AreaField
              label="Payload"
              mono
              rows={10}
              value={event.body}
              onInput={(body) => set({ body })}
              error={bodyProblem ?? fieldError(problem, "payload", "body")}
              help="The body as the sender would send it, a JSON object."
            />
            <AreaField
              label="Headers"
              mono
              rows={2}
              value={event.headers}
              placeholder={trigger.source === 2 ? "x-github-event: pull_request" : "name: value"}
              onInput={(text) => set({ headers: text })}
              error={headers.problem ?? fieldError(problem, "headers")}
              help="One a line. GitHub and Linear name the kind of event here."
            />
          </>
        )}
        <button type="button" class="plain f2 disclose" aria-expanded={more} onClick={() => setMore(!more)}>
          {more ? "Fewer choices" : "More choices: filter, thread, conversation, prompt"}
        </button>
        {more && <Choices event={event} set={set} problem={problem} />}
        <div class="btns">
          <Button type="submit" primary={!current} busy={explain.busy} disabled={wrong}>
            Explain
          </Button>
          {current && (
            <Button primary busy={fire.busy} onClick={() => void fire.run()}>
              Fire
            </Button>
          )}
        </div>
        <p class="help">Explain walks the rules and runs nothing. Fire then makes the delivery, and the run if the rules let it.</p>
        <ErrorNotice error={problem} />
        {fired && <Fired answer={fired} />}
      </form>
      <section class="result" aria-label="Explanation" aria-live="polite">
        {current?.explanation ? (
          <>
            <h2>
              <span>What would happen</span>
              {current.delivery && <Outcome answer={current} />}
            </h2>
            <ExplanationView explanation={current.explanation} trigger={trigger} />
          </>
        ) : (
          <p class="f3">What each rule finds, the thread, the prompt and the command stand here.</p>
        )}
      </section>
    </div>
  );
}

function Choices({
  event,
  set,
  problem,
}: {
  event: Event;
  set: (change: Partial<Event>) => void;
  problem: Parameters<typeof fieldError>[0];
}) {
  return (
    <>
      <Check
        label="Leave out the filter"
        help="Also the rule of what may start a conversation."
        checked={event.skipFilter}
        onChange={(skipFilter) => set({ skipFilter })}
      />
      <Check
        label="A thread of my choice"
        help="In place of the one that the payload gives."
        checked={event.ownThread}
        onChange={(ownThread) => set({ ownThread })}
      />
      {event.ownThread && (
        <TextField
          label="Thread key"
          mono
          value={event.threadKey}
          onInput={(threadKey) => set({ threadKey })}
          error={fieldError(problem, "thread_key")}
          help="Empty: no thread, a run of its own."
        />
      )}
      <SelectField
        label="Conversation"
        value={String(event.mode)}
        options={MODES}
        onChange={(mode) => set({ mode: Number(mode) as SessionMode })}
        error={fieldError(problem, "session_mode")}
      />
      <TextField
        label="Session"
        mono
        value={event.sessionId}
        placeholder="ses_…"
        onInput={(sessionId) => set({ sessionId })}
        error={fieldError(problem, "session_id")}
        help="For example a fork. Empty: the thread's."
      />
      <Check
        label="A prompt of my own"
        help="In place of the trigger's; it is sent as it is."
        checked={event.ownPrompt}
        onChange={(ownPrompt) => set({ ownPrompt })}
      />
      {event.ownPrompt && (
        <AreaField
          label="Prompt"
          mono
          rows={4}
          value={event.prompt}
          onInput={(prompt) => set({ prompt })}
          error={fieldError(problem, "prompt")}
        />
      )}
    </>
  );
}

const MODES = [
  { value: String(SessionMode.UNSPECIFIED), label: "As the trigger says" },
  { value: String(SessionMode.FRESH), label: "Fresh: a new conversation for the thread" },
  { value: String(SessionMode.RESUME), label: "Resume: continue it, or fail" },
  { value: String(SessionMode.FORK), label: "Fork: a copy; the thread's own stays as it is" },
];

function Outcome({ answer }: { answer: FireTriggerResponse }) {
  const { delivery } = answer;
  if (!delivery) return null;
  return <State {...deliveryOutcome(delivery.outcome)}>{delivery.reason ? reasonWord(delivery.reason) : undefined}</State>;
}

function Fired({ answer }: { answer: FireTriggerResponse }) {
  const { delivery, run } = answer;
  return (
    <div class="note fired" role="status">
      <Outcome answer={answer} />
      {run && (
        <a class="btn" href={hrefs.run(run.id)}>
          Open the run
        </a>
      )}
      {delivery && (
        <a class="btn" href={hrefs.delivery(delivery.id)}>
          Open the delivery
        </a>
      )}
    </div>
  );
}

function jsonProblem(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "must be a JSON object";
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : "is no JSON";
  }
}
