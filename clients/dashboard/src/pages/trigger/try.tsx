import type { FireTriggerResponse, SourceInfo, Trigger } from "@reprise/client";
import { useState } from "preact/hooks";
import { hrefs } from "../../app/routes.ts";
import { Button, Notice, Segments, State } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { deliveryOutcome, reasonWord } from "../../lib/words.ts";
import { ExplanationView } from "./explanation.tsx";
import { Choices, EventFields } from "./firing_fields.tsx";
import { type Firing, useFiring } from "./use_firing.ts";

/** Fires the trigger by hand: first what would happen, then the run. */
export function TryTrigger({ trigger, info, dirty }: { trigger: Trigger; info: SourceInfo | undefined; dirty: boolean }) {
  const samples = info?.sampleNames ?? [];
  const firing = useFiring(trigger, samples);
  const { event, set, foreseen } = firing;
  const [more, setMore] = useState(event.sessionId !== "");
  const wrong = firing.wrong.body !== undefined || firing.wrong.headers !== undefined;
  return (
    <div class="try">
      <form
        class="form"
        aria-label="Test fire"
        onSubmit={(submit) => {
          submit.preventDefault();
          if (!wrong) firing.explain();
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
        <EventFields firing={firing} samples={samples} source={trigger.source} />
        <button type="button" class="plain f2 disclose" aria-expanded={more} onClick={() => setMore(!more)}>
          {more ? "Fewer choices" : "More choices: filter, thread, conversation, prompt"}
        </button>
        {more && <Choices firing={firing} />}
        <Buttons firing={firing} wrong={wrong} />
        <ErrorNotice error={firing.problem} />
        {firing.fired && <Fired answer={firing.fired} />}
      </form>
      <section class="result" aria-label="Explanation" aria-live="polite">
        {foreseen?.explanation ? (
          <>
            <h2>
              <span>What would happen</span>
              <Outcome answer={foreseen} />
            </h2>
            <ExplanationView explanation={foreseen.explanation} trigger={trigger} />
          </>
        ) : (
          <p class="f3">What each rule finds, the thread, the prompt and the command stand here.</p>
        )}
      </section>
    </div>
  );
}

function Buttons({ firing: { foreseen, busy, fire }, wrong }: { firing: Firing; wrong: boolean }) {
  return (
    <>
      <div class="btns">
        <Button type="submit" primary={!foreseen} busy={busy === "explain"} disabled={wrong}>
          Explain
        </Button>
        {foreseen && (
          <Button primary busy={busy === "fire"} onClick={fire}>
            Fire
          </Button>
        )}
      </div>
      <p class="help">Explain walks the rules and runs nothing. Fire then makes the delivery, and the run if the rules let it.</p>
    </>
  );
}

function Outcome({ answer }: { answer: FireTriggerResponse }) {
  const { delivery } = answer;
  if (!delivery) return null;
  return <State {...deliveryOutcome(delivery.outcome)}>{delivery.reason ? reasonWord(delivery.reason) : undefined}</State>;
}

function Fired({ answer }: { answer: FireTriggerResponse }) {
  const { delivery, run } = answer;
  return (
    <div class="fired" role="status">
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
