import { type Explanation, type ExplanationStep, Lineage, Verdict } from "@reprise/client";
import { Block } from "../../components/basics.tsx";
import { durationMs, formatMoney, formatSpan } from "../../lib/format.ts";
import { lineageWord, reasonWord, stageName } from "../../lib/words.ts";
import { Coded } from "./coded.tsx";
import { codeParts } from "./steps.ts";

/** What each rule found, and what would run. */
export function ExplanationView({ explanation }: { explanation: Explanation }) {
  const { steps, threadKey, busyEffect, prompt, argv, lineage, maxCostUsd } = explanation;
  const stopped = steps.find((step) => step.verdict === Verdict.STOP || step.verdict === Verdict.FAILED);
  return (
    <div class="explanation">
      <ol class="walk" aria-label="What each rule found">
        {steps.map((step) => (
          <StepRow key={step.stage} step={step} decided={step === stopped} />
        ))}
      </ol>
      {(prompt !== "" || argv.length > 0) && (
        <dl class="kv">
          <dt>Thread</dt>
          <dd>{threadKey ? <code>{threadKey}</code> : "none: a run of its own"}</dd>
          {lineage !== Lineage.UNSPECIFIED && (
            <>
              <dt>Memory</dt>
              <dd>{lineageWord(lineage)}</dd>
            </>
          )}
          {busyEffect && (
            <>
              <dt>Now</dt>
              <dd>{busyEffect}</dd>
            </>
          )}
          {maxCostUsd > 0 && (
            <>
              <dt>Costs at most</dt>
              <dd>{formatMoney(maxCostUsd)}</dd>
            </>
          )}
        </dl>
      )}
      {prompt && (
        <section aria-label="Prompt">
          <h3>The prompt</h3>
          <Block>
            <pre class="pre">{prompt}</pre>
          </Block>
        </section>
      )}
      {argv.length > 0 && (
        <section aria-label="Command">
          <h3>The command</h3>
          <Block>
            <pre class="pre">{argv.map(quoted).join(" ")}</pre>
          </Block>
        </section>
      )}
    </div>
  );
}

const MARKS: Record<Verdict, string> = {
  [Verdict.UNSPECIFIED]: "none",
  [Verdict.PASS]: "passed",
  [Verdict.STOP]: "none",
  [Verdict.SKIPPED]: "skipped",
  [Verdict.FAILED]: "fail",
};

const WORDS: Record<Verdict, string> = {
  [Verdict.UNSPECIFIED]: "",
  [Verdict.PASS]: "passed",
  [Verdict.STOP]: "stops here",
  [Verdict.SKIPPED]: "not read",
  [Verdict.FAILED]: "failed",
};

function StepRow({ step, decided }: { step: ExplanationStep; decided: boolean }) {
  const values = Object.entries(step.values);
  const took = durationMs(step.duration);
  return (
    <li class={`step is-${MARKS[step.verdict]}${decided ? " decided" : ""}`}>
      <b>{stageName(step.stage)}</b>
      <div>
        <p>
          <span class={decided ? "" : "f2"}>
            <Coded parts={codeParts(step.message || (step.reason ? reasonWord(step.reason) : WORDS[step.verdict]))} />
          </span>
          <span class="sr"> ({WORDS[step.verdict]})</span>
        </p>
        {values.length > 0 && (
          <dl class="read">
            {values.map(([name, value]) => (
              <div key={name}>
                <dt class="m">{name}</dt>
                <dd class="m">{value}</dd>
              </div>
            ))}
          </dl>
        )}
      </div>
      <span class="f3 t12 r">{took === undefined || took < 1 ? "" : formatSpan(took)}</span>
    </li>
  );
}

/** A word of a command as a shell takes it. */
export function quoted(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
