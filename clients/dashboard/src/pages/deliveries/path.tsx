import { type Trigger, Verdict } from "@reprise/client";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Icon } from "../../components/icon.tsx";
import { toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { type Evaluate, type Term, termsOf } from "./terms.ts";
import { type Row, type StepView, sinceReceipt } from "./way.ts";

const MARKS = { pass: "", stop: "none", failed: "fail", wait: "wait", live: "run", off: "skip" } as const;

interface PathProps {
  steps: readonly StepView[];
  /** The trigger as it is now, for the terms of its filter; absent when it is gone. */
  trigger?: Trigger | undefined;
  /** When the rules were walked; absent: just now. */
  walkedAt?: number | undefined;
  /** More words after what a step found, by its key: links to a session, a run. */
  extra?: Readonly<Record<string, ComponentChildren>>;
}

/** The way of an event through the rules: a spine of steps; the one that decided is open. */
export function Path({ steps, trigger, walkedAt, extra = {} }: PathProps) {
  return (
    <ol class="path" aria-label="Path">
      {steps.map((step) => (
        <li key={step.key} class={MARKS[step.mark]} data-step={step.key.toLowerCase()}>
          <Step step={step} trigger={trigger} walkedAt={walkedAt} more={extra[step.key]} />
        </li>
      ))}
    </ol>
  );
}

type StepProps = { step: StepView; more: ComponentChildren } & Pick<PathProps, "trigger" | "walkedAt">;

function Step({ step, trigger, walkedAt, more }: StepProps) {
  const [pressed, setPressed] = useState<boolean>();
  const open = pressed ?? step.open;
  const tone = step.mark === "pass" && step.key !== "FILTER" && step.key !== "run" ? "f2" : step.mark === "wait" ? "c-amber" : "";
  const line = (
    <>
      <b>{step.name}</b>
      <span class={`cut grow ${tone}`}>
        {step.code ? <span class="m">{legible(step.text)}</span> : <Words text={step.text} />}
        {more !== undefined && <> {more}</>}
      </span>
      <span class="dur">{sinceReceipt(step.at)}</span>
    </>
  );
  if (step.rows.length === 0) return <div class="off">{line}</div>;
  return (
    <details class="card" open={open} onToggle={(event) => event.currentTarget.open !== open && setPressed(event.currentTarget.open)}>
      <summary>
        {line}
        <Icon name="chevron" class="turn" />
      </summary>
      {open && (
        <div class="block">
          {step.key === "FILTER" && step.step ? (
            <FilterTable step={step} trigger={trigger} walkedAt={walkedAt} />
          ) : (
            <Rows rows={step.rows} />
          )}
        </div>
      )}
    </details>
  );
}

/** A sentence whose `code` is set as code. */
export function Words({ text }: { text: string }) {
  return (
    <>
      {legible(text)
        .split("`")
        .map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part))}
    </>
  );
}

function Rows({ rows }: { rows: readonly Row[] }) {
  return (
    <table class="why">
      <tbody>
        {rows.map(({ name, value, code }) => (
          <tr key={name}>
            <th scope="row" class={code ? "m" : ""}>
              {name}
            </th>
            <td class={code ? "m f2" : ""}>{legible(value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The filter, term by term: the rule, what it read, what it gave. Without the rule, the values alone. */
function FilterTable({ step, trigger, walkedAt }: Omit<StepProps, "more">) {
  const evaluate = useEvaluate();
  const rule = trigger?.filterExpression ?? "";
  const values = step.step?.values ?? {};
  const found = step.step?.verdict === Verdict.PASS ? "pass" : step.step?.verdict === Verdict.STOP ? "stop" : "failed";
  const changed = walkedAt !== undefined && (toMs(trigger?.updateTime) ?? 0) > walkedAt;
  const terms = rule && evaluate ? termsOf(rule, values, found, evaluate) : undefined;
  if (!terms || !Object.keys(values).every((name) => terms.some((term) => term.read.some(([read]) => read === name)))) {
    return (
      <>
        <Rows rows={step.rows} />
        {rule && evaluate && changed && (
          <p class="why-note">The filter was changed after this delivery; these are the values it read then.</p>
        )}
      </>
    );
  }
  return (
    <>
      <table class="why terms">
        <tbody>
          {terms.map((term) => (
            <TermRow key={term.rule} term={term} />
          ))}
        </tbody>
      </table>
      {changed && (
        <p class="why-note">The trigger was changed after this delivery; the rule is that of now, the values are those of then.</p>
      )}
    </>
  );
}

function TermRow({ term }: { term: Term }) {
  const unread = term.result === "not read";
  const tone = unread ? "f3" : "f2";
  const only = term.read.length === 1 ? term.read[0]?.[1] : undefined;
  return (
    <tr class={term.decides ? "hitrow" : ""}>
      <th scope="row" class={`m ${unread ? "f3" : ""}`}>
        {term.rule}
      </th>
      <td class={unread ? tone : `m ${tone}`}>
        {unread
          ? "not read"
          : (only ??
            term.read.map(([name, value]) => (
              <span class="pair" key={name}>
                <span class="f3">{name}</span> {value}
              </span>
            )))}
      </td>
      <td class={tone}>{term.decides ? <b>{term.result}</b> : unread || term.result === "unknown" ? "–" : term.result}</td>
    </tr>
  );
}

/** The evaluator of expressions; its code is fetched the first time that a filter is shown. */
function useEvaluate(): Evaluate | undefined {
  const [loaded, setLoaded] = useState<{ evaluate: Evaluate }>();
  useEffect(() => {
    let gone = false;
    import("./cel.ts").then(
      ({ evaluate }) => !gone && setLoaded({ evaluate }),
      () => !gone && setLoaded({ evaluate: () => undefined }),
    );
    return () => {
      gone = true;
    };
  }, []);
  return loaded?.evaluate;
}
