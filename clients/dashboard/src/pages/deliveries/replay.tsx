import {
  type Delivery,
  type Explanation,
  newId,
  type ReplayDeliveryResponse,
  type RepriseError,
  SessionMode,
  type Trigger,
} from "@reprise/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { navigate } from "../../app/router.ts";
import { hrefs } from "../../app/routes.ts";
import { Button, Loading, Segments, State } from "../../components/basics.tsx";
import { ask, Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { AreaField, fieldError, SelectField } from "../../components/form.tsx";
import { Icon } from "../../components/icon.tsx";
import { Id, Money } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction, useQuery } from "../../data/query.ts";
import { deliveryOutcome, lineageWord } from "../../lib/words.ts";
import { reasonOf } from "./filters.ts";
import { Path, Words } from "./path.tsx";
import { readBody } from "./payload.tsx";
import { stepViews } from "./way.ts";

/** Choices for the conversation of a run made by hand. */
export const SESSION_MODES = [
  { value: "trigger", label: "As the trigger says" },
  { value: "fresh", label: "A new conversation for the thread" },
  { value: "resume", label: "Continue the thread's conversation, or fail" },
  { value: "fork", label: "A copy of the thread's conversation" },
] as const;

/** Name of a choice above. */
export type ModeName = (typeof SESSION_MODES)[number]["value"];

const MODES: Record<ModeName, SessionMode> = {
  trigger: SessionMode.UNSPECIFIED,
  fresh: SessionMode.FRESH,
  resume: SessionMode.RESUME,
  fork: SessionMode.FORK,
};

/** The session mode of a choice. */
export function modeOf(name: ModeName): SessionMode {
  return MODES[name];
}

/** Bodies above this are replayed as they came; a text field is no place for them. */
const MOST_EDITED = 512 * 1024;
/** After the last change, before the server is asked what would happen. */
const QUIET_MS = 350;

/** What is asked in the dialog, what would come of it, and the act. */
function useReplay(delivery: Delivery) {
  const original = readBody(delivery.body, !delivery.bodyTruncated).text ?? "";
  const editable = original !== "" && !delivery.bodyTruncated && delivery.body.length <= MOST_EDITED;
  const [payload, setPayload] = useState<"same" | "edited">("same");
  const [text, setText] = useState(original);
  const [mode, setMode] = useState<ModeName>("trigger");
  const [prompt, setPrompt] = useState("");
  const edited = payload === "edited" && text !== original;
  const request = {
    deliveryId: delivery.id,
    sessionMode: MODES[mode],
    ...(edited ? { editedBody: new TextEncoder().encode(text) } : {}),
    ...(prompt.trim() ? { prompt } : {}),
  };
  const preview = usePreview([delivery.id, mode, edited ? text : "", prompt.trim()], (signal) =>
    reprise.triggers.replayDelivery({ ...request, validateOnly: true }, { signal }),
  );
  // The same press twice is one replay; other content is another one.
  const requestId = useRef({ id: newId(), of: "" });
  const content = JSON.stringify([mode, edited ? text : "", prompt]);
  const replay = useAction(() => {
    if (requestId.current.of !== content) requestId.current = { id: newId(), of: content };
    return reprise.triggers.replayDelivery({ ...request, requestId: requestId.current.id });
  });
  const typed = edited || prompt.trim() !== "";
  return { editable, payload, setPayload, text, setText, mode, setMode, prompt, setPrompt, preview, replay, typed };
}

type Replay = ReturnType<typeof useReplay>;

/** Takes a delivery through the rules of now; what would happen stands there before it does. */
export function ReplayDialog({ delivery, trigger, onClose }: { delivery: Delivery; trigger: Trigger | undefined; onClose: () => void }) {
  const asked = useReplay(delivery);
  const { preview, replay, typed } = asked;
  const onReplay = async () => {
    const answer = await replay.run();
    if (answer?.delivery) void navigate(`${hrefs.delivery(answer.delivery.id)}${location.search}`);
    if (answer) onClose();
  };
  const leave = async () => {
    const sure =
      !typed || (await ask({ title: "Close without replaying?", body: "What you typed is lost.", confirm: "Close", danger: true }));
    if (sure) onClose();
  };
  return (
    <Dialog
      wide
      title="Replay this delivery"
      onClose={() => void leave()}
      end={
        <>
          <Button onClick={() => void leave()}>Cancel</Button>
          <Button primary busy={replay.busy} disabled={preview.error !== undefined} onClick={() => void onReplay()}>
            Replay
          </Button>
        </>
      }
    >
      <p>It goes through the rules as they are now, as a new delivery. It is never a duplicate, and the sender hears nothing of it.</p>
      <Fields delivery={delivery} asked={asked} />
      <Preview answer={preview.answer} error={replay.error ?? preview.error} trigger={trigger} />
    </Dialog>
  );
}

/** What of the delivery is replayed, into which conversation, with which prompt. */
function Fields({ delivery, asked }: { delivery: Delivery; asked: Replay }) {
  const { editable, payload, setPayload, text, setText, mode, setMode, prompt, setPrompt, preview } = asked;
  return (
    <>
      <div class="field">
        <span class="label">Payload</span>
        <Segments
          label="Payload"
          options={[
            { value: "same", label: "As it came" },
            { value: "edited", label: "Edited…" },
          ]}
          value={payload}
          onChange={(value) => (value === "same" || editable) && setPayload(value)}
        />
        {!editable && <p class="help">{whyNotEditable(delivery)}</p>}
      </div>
      {payload === "edited" && (
        <AreaField label="Body" mono rows={10} value={text} onInput={setText} error={fieldError(preview.error, "edited_body")} />
      )}
      <SelectField
        label="Conversation"
        value={mode}
        options={SESSION_MODES}
        onChange={setMode}
        help="Which memory the run begins with."
        error={fieldError(preview.error, "session_mode")}
      />
      <AreaField
        label="Prompt"
        rows={2}
        value={prompt}
        onInput={setPrompt}
        help="What Claude is told, in place of the trigger's prompt. Empty: the trigger's."
        error={fieldError(preview.error, "prompt")}
      />
    </>
  );
}

function whyNotEditable(delivery: Delivery): string {
  if (delivery.duplicateOfDeliveryId) return "A repeat's body is kept with the delivery that it repeats; edit it there.";
  if (delivery.body.length === 0) return "The body is not kept.";
  return "This body is too large, or no text: it can be replayed as it came.";
}

/** What would happen, asked again a moment after each change; the last answer stays until the next one is there. */
function usePreview<T>(deps: readonly unknown[], load: (signal: AbortSignal) => Promise<T>) {
  const key = JSON.stringify(deps);
  const [settled, setSettled] = useState(key);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(key), QUIET_MS);
    return () => clearTimeout(timer);
  }, [key]);
  const asked = useQuery([settled], load);
  const last = useRef<T | undefined>(undefined);
  if (asked.data) last.current = asked.data;
  return { answer: asked.error ? undefined : (asked.data ?? last.current), error: asked.error };
}

/** An explanation: the way through the rules, and what Claude would be told. */
function Preview({
  answer,
  error,
  trigger,
}: {
  answer: ReplayDeliveryResponse | undefined;
  error: RepriseError | undefined;
  trigger: Trigger | undefined;
}) {
  return (
    <section class="preview" aria-label="What would happen" aria-live="polite">
      <div class="line">
        <h3>What would happen</h3>
        {answer?.delivery && <State {...deliveryOutcome(answer.delivery.outcome)} />}
        <span class="f3 t12">nothing has run yet</span>
      </div>
      <ErrorNotice error={error} />
      {!answer && !error && <Loading />}
      {answer?.explanation && (
        <ExplanationView explanation={answer.explanation} trigger={trigger} why={answer.delivery ? reasonOf(answer.delivery) : ""} />
      )}
    </section>
  );
}

/** What the rules make of an event, and how the run would begin. */
export function ExplanationView({ explanation, trigger, why }: { explanation: Explanation; trigger: Trigger | undefined; why: string }) {
  const steps = stepViews(explanation.steps).map((step) => ({ ...step, open: step.mark === "stop" || step.mark === "failed" }));
  const runs = explanation.lineage !== 0;
  return (
    <>
      <Path steps={steps} trigger={trigger} />
      {runs ? (
        <table class="why facts-like">
          <tbody>
            {!steps.some((step) => step.text === explanation.busyEffect) && (
              <tr>
                <th scope="row">Starts</th>
                <td>{explanation.busyEffect || "at once"}</td>
              </tr>
            )}
            <tr>
              <th scope="row">Memory</th>
              <td>
                {lineageWord(explanation.lineage)}
                {explanation.sessionId && (
                  <>
                    {" "}
                    in session <Id id={explanation.sessionId} href={hrefs.session(explanation.sessionId)} />
                  </>
                )}
              </td>
            </tr>
            <tr>
              <th scope="row">Cost</th>
              <td>
                {explanation.maxCostUsd > 0 ? (
                  <>
                    at most <Money usd={explanation.maxCostUsd} />
                  </>
                ) : (
                  "without a limit"
                )}
              </td>
            </tr>
          </tbody>
        </table>
      ) : (
        why && (
          <p class="f2">
            No run: <Words text={why} />
          </p>
        )
      )}
      {explanation.prompt && <Fold name="Prompt" text={explanation.prompt} />}
      {explanation.argv.length > 0 && <Fold name="Command" text={explanation.argv.map(quoted).join(" ")} />}
    </>
  );
}

function Fold({ name, text }: { name: string; text: string }) {
  return (
    <details class="card plain-card">
      <summary>
        <b>{name}</b>
        <span class="cut grow f2">{text.trim().split("\n")[0]}</span>
        <Icon name="chevron" class="turn" />
      </summary>
      <div class="block">
        <pre class="pre">{text}</pre>
      </div>
    </details>
  );
}

/** An argument as a shell takes it. */
export function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}
