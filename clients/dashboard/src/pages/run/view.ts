import { formatClock, formatExact, formatOffset, formatSpan } from "../../lib/format.ts";
import type { Row } from "./rows.ts";

/** How the times of a log are written. */
export type TimeMode = "" | "clock" | "previous";

/** What a row needs to know of the page. A new object whenever one of it changed. */
export interface LogView {
  runId: string;
  time: TimeMode;
  /** When the run started; times since the start count from here. */
  startMs: number | undefined;
  /** Whether the run has ended: a call without an answer will not get one. */
  ended: boolean;
  isOpen: (row: Row) => boolean;
  toggle: (row: Row, open: boolean) => void;
  /** Key of the row that the keyboard is at. */
  current: string | undefined;
  /** Key of the row with the hit that the search is at. */
  hit: string | undefined;
}

/** The time of a row as the reader wants it. */
export function timeText(row: Row, { time, startMs }: Pick<LogView, "time" | "startMs">): string {
  if (time === "clock") return formatClock(row.timeMs);
  if (time === "previous") return row.previousMs === undefined ? "–" : `+${short(row.timeMs - row.previousMs)}`;
  return formatOffset(row.timeMs - (startMs ?? row.timeMs));
}

export function exactTime(row: Row): string {
  return formatExact(row.timeMs);
}

function short(ms: number): string {
  const span = Math.max(0, ms);
  return span < 99_500 ? `${(span / 1000).toFixed(span < 9950 ? 2 : 1)}` : formatSpan(span);
}

/** Which rows are open: what the person opened or closed by hand, over the rule for all others. */
export class OpenRows {
  #all: "open" | "closed" | undefined;
  #own = new Map<string, boolean>();

  isOpen(row: Row, byItself: boolean): boolean {
    const own = this.#own.get(row.key);
    if (own !== undefined) return own;
    return this.#all === undefined ? byItself : this.#all === "open";
  }

  set(key: string, open: boolean): void {
    this.#own.set(key, open);
  }

  /** Opens or closes everything. */
  setAll(all: "open" | "closed"): void {
    this.#all = all;
    this.#own.clear();
  }
}

/** Whether a row is open before anybody touched it: what failed, and what runs. */
export function opensByItself(row: Row, ended: boolean): boolean {
  if (row.entry?.kind.case === "toolResult") return row.entry.kind.value.isError;
  if (row.entry?.kind.case !== "toolCall") return false;
  const result = row.result?.kind.case === "toolResult" ? row.result.kind.value : undefined;
  return result ? result.isError : !ended;
}

/** Whether a row has something to open. */
export function isCard(row: Row): boolean {
  return ["toolCall", "toolResult", "runStarted", "other"].includes(row.entry?.kind.case ?? "");
}
