import { type Delivery, DeliveryOutcome, type Run, RunState } from "@reprise/client";
import { plural, toMs } from "../../lib/format.ts";
import { failureWord, reasonWord, runState, type Shown } from "../../lib/words.ts";
import { eventWord, howItBegan } from "./timeline.ts";

/** A line of a thread's history: a run with the deliveries that it answers, or a delivery that started none. */
export interface HistoryRow {
  id: string;
  time: number;
  run: Run | undefined;
  deliveries: readonly Delivery[];
}

/** Runs and deliveries of a thread, newest first; a delivery stands with the run that it started or joined. */
export function historyOf(runs: readonly Run[], deliveries: readonly Delivery[]): HistoryRow[] {
  const rows = new Map<string, HistoryRow & { deliveries: Delivery[] }>();
  for (const run of runs) rows.set(run.id, { id: run.id, time: toMs(run.createTime) ?? 0, run, deliveries: [] });
  const alone: HistoryRow[] = [];
  for (const delivery of [...deliveries].reverse()) {
    const joined = delivery.outcome === DeliveryOutcome.QUEUED || delivery.outcome === DeliveryOutcome.COALESCED;
    const row = joined ? rows.get(delivery.runId) : undefined;
    if (row) row.deliveries.push(delivery);
    else alone.push({ id: delivery.id, time: toMs(delivery.receiveTime) ?? 0, run: undefined, deliveries: [delivery] });
  }
  return [...rows.values(), ...alone].sort((a, b) => b.time - a.time);
}

/** What came: `review and 2 comments by jonas, merged`. */
export function whatCame(deliveries: readonly Delivery[]): string {
  const [first] = deliveries;
  if (!first) return "";
  const counts = new Map<string, number>();
  for (const one of deliveries) {
    const word = eventWord(one.eventKind, one.action);
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const words = [...counts].map(([word, count]) => (count === 1 ? word : `${count} ${word}s`));
  const people = [...new Set(deliveries.map((one) => one.actor?.login).filter(Boolean))];
  const by = people.length > 0 ? ` by ${people.slice(0, 2).join(" and ")}${people.length > 2 ? " and others" : ""}` : "";
  return `${words.join(", ")}${by}${deliveries.length > 1 ? ", merged" : ""}`;
}

/** What became of it: how it began, and what it said or why it failed. */
export function whatBecame(run: Run): string {
  if (run.state === RunState.FAILED && run.failure)
    return `${failureWord(run.failure.reason).replaceAll("_", " ")}: ${run.failure.message}`;
  if (run.state === RunState.WAITING || run.state === RunState.QUEUED) return run.wait?.message || waiting(run);
  const said = firstSentence(run.resultText);
  return [howItBegan(run), said].filter(Boolean).join(": ");
}

function waiting(run: Run): string {
  return run.queuePosition > 1 ? `waits behind ${plural(run.queuePosition - 1, "run")}` : "waits for its turn";
}

/** Why a delivery started no run. */
export function whyNot(delivery: Delivery): string {
  return delivery.message || (delivery.reason ? reasonWord(delivery.reason) : "");
}

/** The beginning of a text, for a row. */
export function firstSentence(text: string): string {
  const line = text.trim().split("\n", 1)[0] ?? "";
  const end = /[.!?](?=\s)/.exec(line);
  return end ? line.slice(0, end.index + 1) : line;
}

/** State of a run in a row: what went well says `ok`. */
export function shortState(run: Run): Shown {
  const shown = runState(run.state);
  return run.state === RunState.SUCCEEDED ? { ...shown, word: "ok" } : shown;
}
