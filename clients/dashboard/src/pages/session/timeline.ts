import { type Conversation, type Delivery, DeliveryOutcome, Lineage, type Run, RunKind, RunState, SessionOrigin } from "@reprise/client";
import { costText } from "../../lib/cost.ts";
import { formatDay, formatSpan, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { deliveryOutcome, lineageWord } from "../../lib/words.ts";

/** Width of a break, and the room that the labels of a busy time need before its first and after its last event. */
const BREAK = 52;
const LEAD = 24;
const TAIL = 108;
const LAST_TAIL = 132;
/** Average width of a character of a label. */
const CHAR = 6.3;
const MOST_LABEL = 28;

/** A stretch of time that is drawn to scale. */
export interface Stretch {
  from: number;
  to: number;
  /** Where it begins and ends, in pixels. */
  x: number;
  end: number;
}

/** Everything of a thread, and now. */
export interface TimelineInput {
  deliveries: readonly Delivery[];
  runs: readonly Run[];
  conversations: readonly Conversation[];
  /** Until when the present conversation is remembered; undefined: it is not. */
  rememberedUntil: number | undefined;
  generation: number;
  now: number;
  width: number;
}

/** A delivery on the timeline. */
export interface DeliveryMark {
  delivery: Delivery;
  x: number;
  /** Length of its stem; 5 has no label. */
  up: number;
  look: "" | "none" | "wait" | "fail";
  label: string;
  rest: string;
}

/** A run on the timeline. */
export interface RunBar {
  run: Run;
  x: number;
  width: number;
  look: "" | "run" | "fail";
  labelled: boolean;
  label: string;
  rest: string;
}

/** Where everything stands. */
export interface Timeline {
  width: number;
  stretches: Stretch[];
  breaks: { x: number; width: number; label: string }[];
  days: { x: number; day: string; clock: string }[];
  marks: DeliveryMark[];
  bars: RunBar[];
  /** One line a conversation. */
  memory: { x: number; width: number }[];
  /** Where a conversation began anew, and why. */
  starts: { x: number; label: string }[];
  now: number;
}

/** Lays out a thread: busy times to one scale, empty ones as breaks. */
export function layOut(input: TimelineInput): Timeline {
  const { deliveries, runs, now } = input;
  const spans: [number, number][] = [[now, now]];
  for (const one of deliveries) {
    const time = toMs(one.receiveTime);
    if (time !== undefined) spans.push([time, time]);
  }
  for (const run of runs) {
    const start = toMs(run.startTime);
    if (start !== undefined) spans.push([start, toMs(run.endTime) ?? now]);
  }
  const width = Math.max(input.width, 640);
  const stretches = place(stretchesOf(spans, Math.max(2, Math.floor(width / 200))), width);
  const x = (time: number) => xOf(stretches, time);
  const last = stretches.at(-1);
  return {
    width,
    stretches,
    breaks: stretches.slice(1).map((stretch, at) => {
      const before = stretches[at] as Stretch;
      return { x: before.end, width: stretch.x - before.end, label: formatSpan(stretch.from - before.to) };
    }),
    days: stretches.map((one) => ({ x: one.x + (one === stretches[0] ? 0 : 4), day: formatDay(one.from, now), clock: clock(one.from) })),
    marks: marksOf(deliveries, runs, x),
    bars: barsOf(runs, x, now),
    memory: memoryOf(input, x),
    starts: input.conversations
      .filter((one) => one.generation > 1 || one.origin === SessionOrigin.FORK)
      .flatMap((one) => {
        const time = toMs(one.startTime);
        return time === undefined ? [] : [{ x: x(time), label: ORIGIN[one.origin] ?? "" }];
      }),
    now: last ? x(now) : width,
  };
}

/** The least that a timeline is wide in so much room: a small screen is pushed sideways, but not far. */
export function leastWidth(room: number): number {
  return room < 640 ? 640 : 880;
}

/** Room for the beginning of the newest run, with its label. */
const NEWEST = 96;
const MARGIN = 12;

/**
 * How far a timeline that is wider than its room is pushed at first: to its end; but where a run would stand there alone,
 * not past the one before it.
 */
export function firstView({ bars, width }: Pick<Timeline, "bars" | "width">, room: number): number {
  const end = Math.max(0, width - room);
  const [before, newest] = [bars.at(-2), bars.at(-1)];
  if (!newest || newest.x + newest.width <= end) return end;
  const whole = (before ?? newest).x - MARGIN;
  return Math.max(0, Math.min(end, Math.max(whole, newest.x + NEWEST - room)));
}

const ORIGIN: Partial<Record<SessionOrigin, string>> = {
  [SessionOrigin.RESET]: "reset",
  [SessionOrigin.EXPIRED]: "expired",
  [SessionOrigin.CHANGED]: "trigger changed",
  [SessionOrigin.LOST]: "lost, begun with a summary",
  [SessionOrigin.FORK]: "forked",
};

/** The busy times: what lies closer together than the busy time around it is long is one. At most `most` of them. */
export function stretchesOf(spans: readonly (readonly [number, number])[], most: number): { from: number; to: number }[] {
  const sorted = [...spans].sort((a, b) => a[0] - b[0]);
  const joined: { from: number; to: number }[] = [];
  for (const [from, to] of sorted) {
    const last = joined.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else joined.push({ from, to });
  }
  for (let factor = 1; ; factor *= 2) {
    const merged = merge(joined, factor);
    if (merged.length <= most) return merged;
  }
}

/** What a single event counts as. */
const LEAST = 15_000;

interface Busy {
  from: number;
  to: number;
  /** Time in which something happened, the gaps within left out. */
  busy: number;
}

function merge(spans: readonly { from: number; to: number }[], factor: number): { from: number; to: number }[] {
  let now: Busy[] = spans.map(({ from, to }) => ({ from, to, busy: to - from }));
  // Until nothing changes: a merged stretch is busier, so that more may belong to it.
  for (;;) {
    const next: Busy[] = [];
    for (const one of now) {
      const last = next.at(-1);
      if (last && one.from - last.to <= factor * (last.busy + one.busy + LEAST)) {
        last.to = one.to;
        last.busy += one.busy;
      } else next.push({ ...one });
    }
    if (next.length === now.length) return next.map(({ from, to }) => ({ from, to }));
    now = next;
  }
}

function place(stretches: readonly { from: number; to: number }[], width: number): Stretch[] {
  const room = width - (stretches.length - 1) * (BREAK + LEAD + TAIL) - LEAD - LAST_TAIL;
  const busy = stretches.reduce((sum, one) => sum + one.to - one.from, 0);
  const scale = busy > 0 ? Math.max(0, room) / busy : 0;
  let at = 0;
  return stretches.map(({ from, to }, index) => {
    const x = at;
    const tail = index === stretches.length - 1 ? LAST_TAIL : TAIL;
    const end = x + LEAD + (to - from) * scale + tail;
    at = end + BREAK;
    return { from, to, x, end };
  });
}

/** Where a moment stands; one within a break stands within its band. */
export function xOf(stretches: readonly Stretch[], time: number): number {
  for (const [at, one] of stretches.entries()) {
    const tail = at === stretches.length - 1 ? LAST_TAIL : TAIL;
    const [first, last] = [one.x + LEAD, one.end - tail];
    const next = stretches[at + 1];
    if (time <= one.to || !next) {
      if (one.to === one.from || time <= one.from) return first;
      return first + ((Math.min(time, one.to) - one.from) / (one.to - one.from)) * (last - first);
    }
    if (time < next.from) return one.end + ((time - one.to) / (next.from - one.to)) * (next.x - one.end);
  }
  return 0;
}

function marksOf(deliveries: readonly Delivery[], runs: readonly Run[], x: (time: number) => number): DeliveryMark[] {
  const byId = new Map(runs.map((run) => [run.id, run]));
  const inRun = new Map<string, number>();
  for (const one of deliveries) if (starts(one)) inRun.set(one.runId, (inRun.get(one.runId) ?? 0) + 1);
  const named = new Set<string>();
  const ends = { 68: Number.NEGATIVE_INFINITY, 36: Number.NEGATIVE_INFINITY };
  return sorted(deliveries, (one) => toMs(one.receiveTime)).map((delivery) => {
    const at = x(toMs(delivery.receiveTime) ?? 0);
    const run = byId.get(delivery.runId);
    const look = lookOf(delivery, run);
    const merged = inRun.get(delivery.runId) ?? 0;
    const second = starts(delivery) && delivery.runId !== "" && named.has(delivery.runId);
    const label = cut(eventWord(delivery.eventKind, delivery.action));
    const rest = cut(restOf(delivery, look, merged));
    const needs = (label.length + rest.length + 1) * CHAR + 16;
    const wanted = look === "" ? ([68, 36] as const) : ([36, 68] as const);
    const up = second ? undefined : wanted.find((one) => at >= ends[one]);
    if (up !== undefined) ends[up] = at + needs;
    if (starts(delivery)) named.add(delivery.runId);
    return { delivery, x: at, up: up ?? 5, look, label, rest };
  });
}

/** Senders name things; a label has the room of a few words. */
function cut(text: string): string {
  return legible(text.length > MOST_LABEL ? `${text.slice(0, MOST_LABEL - 1)}…` : text);
}

function starts(delivery: Delivery): boolean {
  return delivery.outcome === DeliveryOutcome.QUEUED || delivery.outcome === DeliveryOutcome.COALESCED;
}

function lookOf(delivery: Delivery, run: Run | undefined): DeliveryMark["look"] {
  if (delivery.outcome === DeliveryOutcome.REJECTED) return "fail";
  if (!starts(delivery)) return "none";
  return run?.state === RunState.QUEUED || run?.state === RunState.WAITING ? "wait" : "";
}

function restOf(delivery: Delivery, look: DeliveryMark["look"], merged: number): string {
  const who = delivery.actor?.login ?? "";
  if (look === "none" || look === "fail") return deliveryOutcome(delivery.outcome).word;
  const words = [who, look === "wait" ? "waiting" : "", merged > 1 ? `${merged} merged` : ""];
  return words.filter(Boolean).join(", ");
}

/** A word for an event: `opened`, `comment`, `review`, `push`. */
export function eventWord(kind: string, action: string): string {
  if (/^(pull_request|issues?|task|merge_request)$/i.test(kind) && action) return action.replaceAll("_", " ");
  const short = kind.replace(/^(pull_request_|issue_|task)(?=.)/, "").replaceAll("_", " ");
  return short === "" ? action || "event" : short.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
}

function barsOf(runs: readonly Run[], x: (time: number) => number, now: number): RunBar[] {
  let free = Number.NEGATIVE_INFINITY;
  const started = runs.filter((run) => run.startTime);
  return sorted(started, (run) => toMs(run.startTime)).map((run) => {
    const start = toMs(run.startTime) ?? 0;
    const end = toMs(run.endTime);
    const at = x(start);
    const live = end === undefined;
    const label = howItBegan(run);
    const cost = costText(run).text;
    const rest = live ? cost : `${formatSpan(end - start)} · ${cost}`;
    const labelled = at >= free;
    if (labelled) free = at + Math.max(label.length, rest.length) * CHAR + 12;
    const look = live ? "run" : run.state === RunState.FAILED ? "fail" : "";
    return { run, x: at, width: Math.max(4, x(end ?? now) - at), look, labelled, label, rest };
  });
}

/** How a run got its memory, in words. */
export function howItBegan(run: Pick<Run, "kind" | "lineage">): string {
  if (run.kind === RunKind.COMPACTION) return "compacted";
  if (run.lineage === Lineage.RESTORED) return "restored, continued";
  if (run.lineage === Lineage.RECOVERED) return "begun with a summary";
  if (run.lineage === Lineage.RENEWED) return "fresh again";
  return run.lineage === Lineage.UNSPECIFIED ? "" : lineageWord(run.lineage);
}

function memoryOf(input: TimelineInput, x: (time: number) => number): Timeline["memory"] {
  const ends = new Map<number, [number, number]>();
  for (const run of input.runs) {
    const start = toMs(run.startTime);
    if (start === undefined) continue;
    const end = toMs(run.endTime) ?? input.now;
    const known = ends.get(run.generation) ?? [start, end];
    ends.set(run.generation, [Math.min(known[0], start), Math.max(known[1], end)]);
  }
  return [...ends].map(([generation, [from, to]]) => {
    const until = generation === input.generation && input.rememberedUntil !== undefined ? Math.max(to, input.rememberedUntil) : to;
    return { x: x(from), width: x(Math.min(until, input.now)) - x(from) };
  });
}

function sorted<T>(items: readonly T[], time: (item: T) => number | undefined): T[] {
  return [...items].sort((a, b) => (time(a) ?? 0) - (time(b) ?? 0));
}

const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });

function clock(ms: number): string {
  return hours.format(ms);
}
