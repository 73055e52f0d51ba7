import { type Explanation, Lineage, type Trigger } from "@reprise/client";
import { Block } from "../../components/basics.tsx";
import { formatMoney } from "../../lib/format.ts";
import { lineageWord } from "../../lib/words.ts";
import { Path, Words } from "../deliveries/path.tsx";
import { stepViews } from "../deliveries/way.ts";
import "../../style/deliveries.css";

/** What each rule found, and what would run. */
export function ExplanationView({ explanation, trigger }: { explanation: Explanation; trigger: Trigger }) {
  const { steps, threadKey, busyEffect, prompt, argv, lineage, maxCostUsd } = explanation;
  return (
    <div class="explanation">
      <Path steps={stepViews(steps)} trigger={trigger} />
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
              <dd>
                <Words text={busyEffect} />
              </dd>
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

/** A word of a command as a shell takes it. */
export function quoted(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
