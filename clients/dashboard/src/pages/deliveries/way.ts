import {
  type Delivery,
  DeliveryOrigin,
  DeliveryOutcome,
  DeliveryReason,
  type ExplanationStep,
  type Run,
  RunState,
  Stage,
  Verdict,
} from "@reprise/client";
import { durationMs, formatBytes, formatExact, formatSpan, toMs } from "../../lib/format.ts";
import { runEnded, stageName } from "../../lib/words.ts";
import { answerStatus, originWord } from "./filters.ts";

/** How a step stands on the spine: passed, decided (ring or square), waits, or never reached. */
export type StepMark = "pass" | "stop" | "failed" | "wait" | "live" | "off";

/** A line of a step's table. */
export interface Row {
  name: string;
  value: string;
  /** The name is code. */
  code?: boolean;
}

/** One step of the way. */
export interface StepView {
  key: string;
  name: string;
  mark: StepMark;
  /** What it found. */
  text: string;
  code?: boolean;
  /** Time since the receipt, in milliseconds. */
  at?: number | undefined;
  rows: readonly Row[];
  /** Open without being asked: it decided, or it waits. */
  open: boolean;
  /** The server's step behind it. */
  step?: ExplanationStep;
}

/** `0.3 ms`: steps take less than what a span for people can say. */
export function sinceReceipt(ms: number | undefined): string {
  if (ms === undefined) return "";
  return ms < 100 ? `${ms.toFixed(1)} ms` : formatSpan(ms);
}

/** The steps of a walk, from the verdicts of the server. */
export function stepViews(steps: readonly ExplanationStep[]): StepView[] {
  const decider = steps.findIndex((step) => step.verdict === Verdict.STOP || step.verdict === Verdict.FAILED);
  let at: number | undefined = 0;
  return steps.map((step, index) => {
    const took = durationMs(step.duration);
    const reached = decider < 0 || index <= decider;
    const skipped = step.verdict === Verdict.SKIPPED;
    if (reached && took !== undefined && at !== undefined) at += took;
    const mark = markOf(step, reached);
    return {
      key: Stage[step.stage] ?? String(index),
      name: stageName(step.stage),
      mark,
      text: textOf(step, mark),
      code: step.stage === Stage.THREAD_KEY && mark === "pass" && step.message !== "no thread",
      at: reached && !skipped ? at : undefined,
      rows: reached ? Object.entries(step.values).map(([name, value]) => ({ name, value, code: true })) : [],
      open: mark === "stop" || mark === "failed" || (step.stage === Stage.FILTER && Object.keys(step.values).length > 0),
      step,
    };
  });
}

function markOf(step: ExplanationStep, reached: boolean): StepMark {
  if (!reached) return "off";
  if (step.verdict === Verdict.FAILED) return "failed";
  if (step.verdict !== Verdict.STOP) return "pass";
  // What cannot be verified or read is refused; a ping is answered and stopped, but nothing is wrong with it.
  const refused = step.stage === Stage.VERIFY || step.stage === Stage.PARSE;
  return refused && step.reason !== DeliveryReason.EVENT_NEVER_RUNS ? "failed" : "stop";
}

function textOf(step: ExplanationStep, mark: StepMark): string {
  if (mark === "off") return "not reached";
  if (mark === "stop") return `stopped here: ${step.message || "a rule says so"}`;
  if (mark === "failed") return step.message || "could not be decided";
  if (step.stage === Stage.FILTER && step.verdict === Verdict.PASS) return "passed";
  if (step.verdict === Verdict.SKIPPED) return step.message || LEFT_OUT[step.stage] || "not asked";
  return step.message || "passed";
}

/** What is said of a rule that the way goes by without asking it. */
const LEFT_OUT: Partial<Record<Stage, string>> = {
  [Stage.FILTER]: "no filter",
  [Stage.AUTHOR]: "no rule about authors",
};

const MADE: Partial<Record<DeliveryOutcome, string>> = {
  [DeliveryOutcome.QUEUED]: "made a run",
  [DeliveryOutcome.COALESCED]: "joined a run that waited",
};

/** The whole way of a stored delivery: its receipt, the rules, and the run. */
export function wayOf(delivery: Delivery, run: Run | undefined, now: number): StepView[] {
  // A stored delivery's prompt is the run's own affair.
  const rules = stepViews(delivery.steps.filter((step) => step.stage !== Stage.PROMPT || step.verdict !== Verdict.SKIPPED));
  const waits = run !== undefined && !runEnded(run) && run.startTime === undefined;
  const views = rules.map((view) => {
    if (view.step?.stage !== Stage.POLICY || view.mark !== "pass") return view;
    return waits ? waiting(view, run, now) : { ...view, text: view.step.message || MADE[delivery.outcome] || view.text };
  });
  return [received(delivery), ...views, runStep(delivery, run)];
}

function received(delivery: Delivery): StepView {
  const status = answerStatus(delivery);
  const took = durationMs(delivery.ackDuration);
  const rows: Row[] = [
    { name: "Received", value: formatExact(toMs(delivery.receiveTime) ?? 0) },
    { name: "Came by", value: originWord(delivery.origin) },
    { name: "Body", value: `${Number(delivery.bodyBytes).toLocaleString("en")} bytes` },
  ];
  if (delivery.providerDeliveryId) rows.push({ name: "Sender's id", value: delivery.providerDeliveryId });
  if (status !== undefined) rows.push({ name: "Answer", value: `${status}${took ? ` after ${sinceReceipt(took)}` : ""}` });
  const how = delivery.origin === DeliveryOrigin.WEBHOOK ? "" : `, ${originWord(delivery.origin)}`;
  return {
    key: "received",
    name: "Received",
    mark: "pass",
    text: `${formatBytes(delivery.bodyBytes)}${how}`,
    at: 0,
    rows,
    open: false,
  };
}

function waiting(view: StepView, run: Run, now: number): StepView {
  const rows: Row[] = [];
  if (run.wait?.message) rows.push({ name: "Waits for", value: run.wait.message });
  else
    rows.push({
      name: "Waits for",
      value: run.queuePosition > 1 ? `its turn: it is number ${run.queuePosition} in its thread` : "its turn",
    });
  if (run.deliveryCount > 1) rows.push({ name: "Merged", value: `${run.deliveryCount} events into one run` });
  const until = toMs(run.wait?.untilTime);
  if (until !== undefined) rows.push({ name: "Starts", value: until > now ? `in ${formatSpan(until - now)} at the latest` : "now" });
  const since = toMs(run.createTime);
  const text = since === undefined ? "waiting" : `waiting ${formatSpan(Math.floor((now - since) / 1000) * 1000)}`;
  return { ...view, mark: "wait", text, rows: [...rows, ...view.rows], open: true };
}

function runStep(delivery: Delivery, run: Run | undefined): StepView {
  const base = { key: "run", name: "Run", rows: [], open: false, at: undefined };
  if (!delivery.runId) return { ...base, mark: "off", text: "not reached" };
  const first = delivery.outcome === DeliveryOutcome.DUPLICATE;
  if (first) return { ...base, mark: "off", text: "the first delivery's run" };
  if (!run) return { ...base, mark: "pass", text: "" };
  if (run.startTime === undefined && !runEnded(run)) return { ...base, mark: "off", text: "not yet" };
  const live = run.state === RunState.RUNNING || run.state === RunState.CANCELLING;
  return { ...base, mark: live ? "live" : run.state === RunState.FAILED ? "failed" : "pass", text: "" };
}
