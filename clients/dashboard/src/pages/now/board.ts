import { FailureReason, type Run, RunState, WaitReason } from "@reprise/client";
import { formatMoney, formatSpan, plural, toMs } from "../../lib/format.ts";
import { failureWord, runEnded } from "../../lib/words.ts";

/** What waits in one thread: the run that is next, and how many stand behind it. */
export interface Waiting {
  key: string;
  head: Run;
  behind: number;
}

/** Everything that Now shows, in order. */
export interface Board {
  /** Live, longest first: a new one is added at the end and moves nothing. */
  running: readonly Run[];
  /** One row a thread, longest waiting first. */
  waiting: readonly Waiting[];
  /** Newest first. */
  failed: readonly Run[];
}

const LIVE = new Set([RunState.RUNNING, RunState.CANCELLING]);
const HELD = new Set([RunState.QUEUED, RunState.WAITING]);

/** Sorts runs into the three lists. `lingers` says whether an ended run stays for a moment where it ran. */
export function boardOf(runs: readonly Run[], lingers: (run: Run) => boolean): Board {
  const threads = new Map<string, Run[]>();
  for (const run of runs) {
    if (!HELD.has(run.state)) continue;
    const key = run.sessionId || run.id;
    threads.set(key, [...(threads.get(key) ?? []), run]);
  }
  const waiting = [...threads].map(([key, queue]) => {
    const head = queue.reduce((first, run) => (isBefore(run, first) ? run : first));
    return { key, head, behind: queue.length - 1 };
  });
  return {
    running: runs
      .filter((run) => LIVE.has(run.state) || (runEnded(run) && lingers(run)))
      .sort((a, b) => order(a.startTime, b.startTime) || (a.id < b.id ? -1 : 1)),
    waiting: waiting.sort((a, b) => order(a.head.createTime, b.head.createTime) || (a.key < b.key ? -1 : 1)),
    failed: runs.filter((run) => run.state === RunState.FAILED && !lingers(run)).sort((a, b) => order(b.endTime, a.endTime)),
  };
}

function isBefore(run: Run, other: Run): boolean {
  if (run.queuePosition !== other.queuePosition) return (run.queuePosition || Infinity) < (other.queuePosition || Infinity);
  return order(run.createTime, other.createTime) < 0;
}

function order(a: Run["createTime"], b: Run["createTime"]): number {
  return (toMs(a) ?? 0) - (toMs(b) ?? 0);
}

/**
 * The board while somebody points at it: rows change where they are, none comes, goes or moves. `come` is how many rows
 * wait to be shown.
 */
export function heldBoard(shown: Board, now: Board, byId: ReadonlyMap<string, Run>): { board: Board; come: number } {
  const latest = (run: Run) => byId.get(run.id) ?? run;
  const next = new Map(now.waiting.map((one) => [one.key, one]));
  const board = {
    running: shown.running.map(latest),
    waiting: shown.waiting.map((one) => next.get(one.key) ?? { ...one, head: latest(one.head) }),
    failed: shown.failed.map(latest),
  };
  const ids = (runs: readonly { id: string }[]) => new Set(runs.map((run) => run.id));
  const added = (a: readonly Run[], b: readonly Run[]) => a.filter((run) => !ids(b).has(run.id)).length;
  const threads = new Set(shown.waiting.map((one) => one.key));
  return {
    board,
    come: added(now.running, shown.running) + added(now.failed, shown.failed) + now.waiting.filter((one) => !threads.has(one.key)).length,
  };
}

/** What a thread waits for, in a few words. */
export function waitsFor({ head, behind }: Waiting, live: ReadonlySet<string>): string {
  const parts = [cause(head, live)];
  if (head.deliveryCount > 1) parts.push(`${plural(head.deliveryCount, "event")} merged into one`);
  if (behind > 0) parts.push(`${plural(behind, "more run")} behind it`);
  return parts.join(" · ");
}

function cause(run: Run, live: ReadonlySet<string>): string {
  if (run.state === RunState.WAITING && run.wait) {
    if (run.wait.message) return run.wait.message;
    if (run.wait.reason === WaitReason.QUIET_PERIOD) return "quiet period: further events join it";
    if (run.wait.reason === WaitReason.BREAKER) return "the loop breaker: its thread ran too often in the last hour";
    if (run.wait.reason === WaitReason.TRIGGER_DISABLED) return `trigger ${run.triggerSlug} is disabled`;
    if (run.wait.reason === WaitReason.RUN_CAP) return `trigger ${run.triggerSlug} has as many live runs as it may`;
  }
  if (!HELD.has(run.state)) return "it has started";
  return live.has(run.sessionId) ? "behind the run of this thread" : "a free place";
}

/** When a waiting run goes on by itself; undefined: that depends on others. */
export function startsIn(run: Run, now: number): string | undefined {
  const until = run.state === RunState.WAITING ? toMs(run.wait?.untilTime) : undefined;
  if (until === undefined) return undefined;
  const seconds = Math.ceil((until - now) / 1000);
  if (seconds <= 0) return "now";
  return seconds < 60 ? `${seconds} s` : formatSpan(seconds * 1000);
}

/** Why a run failed: the word of the API, and the sentence. */
export function failureOf(run: Run): { word: string; text: string } {
  const failure = run.failure;
  const word = failure && failure.reason !== FailureReason.UNSPECIFIED ? failureWord(failure.reason) : "";
  if (failure?.reason === FailureReason.MAX_COST && run.usage && !failure.message) {
    return { word, text: `stopped at ${formatMoney(run.usage.costUsd)} of ${formatMoney(run.maxCostUsd)}` };
  }
  return { word, text: failure?.message ?? "" };
}

/** The cache column of a live run: its share, or that its conversation is new. */
export function cacheWord(run: Run): number | "new" | undefined {
  if (run.generation > 0 && run.turn === 1) return "new";
  return run.usage?.cacheShare;
}
