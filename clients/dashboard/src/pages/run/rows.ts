import type { JournalEntry } from "@reprise/client";
import type { Seam } from "../../data/run_log.ts";
import { toMs } from "../../lib/format.ts";

/** What the reader can show or hide. */
export type Group = "text" | "tools" | "thinking" | "system" | "stderr";

/** Every group, in the order of its buttons. */
export const GROUPS: readonly Group[] = ["text", "tools", "thinking", "system", "stderr"];

/** The contract's kinds that a group stands for. */
export const KINDS: Record<Group, readonly string[]> = {
  text: ["text"],
  tools: ["tool_call", "tool_result"],
  thinking: ["thinking"],
  system: ["run_started", "agent_started", "usage", "retry", "notice", "outcome", "other"],
  stderr: ["stderr"],
};

/** One row of the log. A row that changes is a new object, so that only it is drawn again. */
export interface Row {
  key: string;
  group: Group | undefined;
  /** The entry; for a tool it is the call, or a result whose call is not in the window. Undefined for a seam. */
  entry: JournalEntry | undefined;
  /** The tool's answer, once there is one. */
  result: JournalEntry | undefined;
  /** How many subagents deep. */
  depth: number;
  timeMs: number;
  /** When the row before it happened. */
  previousMs: number | undefined;
  /** Text of a seam. */
  seam?: string;
  /** The final answer of an outcome, when the log does not end with it anyway. */
  answer?: string;
}

/** The key of the row that holds an entry. */
export const keyOf = (row: Row) => row.key;

const GROUP_OF: Record<string, Group> = {
  text: "text",
  toolCall: "tools",
  toolResult: "tools",
  thinking: "thinking",
  stderr: "stderr",
};

/** The group of an entry; undefined for what is shown in the head instead. */
export function groupOf(entry: JournalEntry): Group | undefined {
  const { kind } = entry;
  if (kind.case === undefined || kind.case === "usage") return undefined;
  if (kind.case === "thinking" && kind.value.text === "") return undefined;
  return GROUP_OF[kind.case] ?? "system";
}

/**
 * Makes rows of entries. Entries that came at the end are added; for any other change the rows are made anew, but a row
 * that stayed as it was stays the same object.
 */
export class Rows {
  rows: readonly Row[] = [];
  /** How many entries of each group there are. */
  counts: Record<Group, number> = { text: 0, tools: 0, thinking: 0, system: 0, stderr: 0 };

  #entries: readonly JournalEntry[] = [];
  #seams: readonly Seam[] = [];
  #hidden = "";
  #raw = false;
  #out: Row[] = [];
  #calls = new Map<string, { index: number; depth: number }>();
  #placed = 0;
  #before: Row | undefined;
  #lastText = "";
  #known = new WeakMap<JournalEntry, Row>();

  /** The rows of these entries. */
  update(entries: readonly JournalEntry[], seams: readonly Seam[], hidden: readonly Group[], raw = false): readonly Row[] {
    const hiddenKey = hidden.join();
    const held = this.#entries.length;
    const grew =
      hiddenKey === this.#hidden &&
      raw === this.#raw &&
      seams.length >= this.#seams.length &&
      held > 0 &&
      entries[0] === this.#entries[0] &&
      entries[held - 1] === this.#entries[held - 1];
    if (grew && entries.length === held && seams === this.#seams) return this.rows;
    if (!grew) this.#restart();
    this.#hidden = hiddenKey;
    this.#raw = raw;
    this.#seams = seams;
    for (let at = grew ? held : 0; at < entries.length; at += 1) this.#add(entries[at] as JournalEntry, hidden);
    if (entries.length > 0) this.#placeSeams(Number.POSITIVE_INFINITY);
    this.#entries = entries;
    this.rows = this.#out.slice();
    return this.rows;
  }

  #restart(): void {
    this.#out = [];
    this.#calls.clear();
    this.#placed = 0;
    this.#before = undefined;
    this.#lastText = "";
    this.counts = { text: 0, tools: 0, thinking: 0, system: 0, stderr: 0 };
  }

  #add(entry: JournalEntry, hidden: readonly Group[]): void {
    this.#placeSeams(entry.sequence);
    const group = groupOf(entry);
    if (this.#raw) {
      if (group) this.counts[group] += 1;
      if (!group || !hidden.includes(group)) this.#push({ ...this.#row(entry, group), key: `r${entry.sequence}` });
      return;
    }
    if (group === undefined) return;
    const isResult = entry.kind.case === "toolResult" && this.#join(entry);
    if (isResult) return;
    this.counts[group] += 1;
    const row = this.#row(entry, group);
    if (entry.kind.case === "text" && row.depth === 0) this.#lastText = entry.kind.value.text;
    if (entry.kind.case === "outcome" && entry.kind.value.resultText.trim() !== this.#lastText.trim())
      row.answer = entry.kind.value.resultText;
    const shown = !hidden.includes(group);
    if (entry.kind.case === "toolCall")
      this.#calls.set(entry.kind.value.toolUseId, { index: shown ? this.#out.length : -1, depth: row.depth });
    if (shown) this.#push(row);
  }

  /** Puts a result into the row of its call; false when that is not in the window. */
  #join(entry: JournalEntry): boolean {
    const call = entry.kind.case === "toolResult" ? this.#calls.get(entry.kind.value.toolUseId) : undefined;
    if (!call) return false;
    const row = this.#out[call.index];
    if (row?.entry && row.result !== entry) {
      const joined = { ...row, result: entry };
      this.#out[call.index] = joined;
      this.#known.set(row.entry, joined);
    }
    return true;
  }

  #row(entry: JournalEntry, group: Group | undefined): Row {
    const parent = entry.parentToolUseId;
    return {
      key: `s${entry.sequence}`,
      group,
      entry,
      result: undefined,
      depth: parent === "" ? 0 : (this.#calls.get(parent)?.depth ?? 0) + 1,
      timeMs: toMs(entry.time) ?? 0,
      previousMs: this.#before?.timeMs,
    };
  }

  #push(row: Row): void {
    const was = row.entry && this.#known.get(row.entry);
    // A call keeps its answer while the rows are made anew; should the answer be gone, it is a page that will come.
    const same = was && was.key === row.key && was.depth === row.depth && was.previousMs === row.previousMs && was.answer === row.answer;
    const kept = same ? was : row;
    if (row.entry) this.#known.set(row.entry, kept);
    this.#out.push(kept);
    if (kept.entry) this.#before = kept;
  }

  #placeSeams(before: number): void {
    for (let seam = this.#seams[this.#placed]; seam && seam.afterSequence < before; seam = this.#seams[this.#placed]) {
      this.#out.push({
        key: `seam${this.#placed}-${seam.afterSequence}`,
        group: undefined,
        entry: undefined,
        result: undefined,
        depth: 0,
        timeMs: this.#before?.timeMs ?? 0,
        previousMs: undefined,
        seam: seam.text,
      });
      this.#placed += 1;
    }
  }
}

/** The row that shows an entry: its own, or that of the call whose result it is. Undefined when it is not among them. */
export function rowOfSequence(rows: readonly Row[], sequence: number): Row | undefined {
  const end = endOfSequence(rows, sequence);
  if (rows[end - 1]?.entry?.sequence === sequence) return rows[end - 1];
  // A result stands in the row of its call, which is somewhere above.
  for (let at = end - 1; at >= 0; at -= 1) if (rows[at]?.result?.sequence === sequence) return rows[at];
  return undefined;
}

/** The last row of an entry up to this sequence, or the first row. */
export function rowBefore(rows: readonly Row[], sequence: number): Row | undefined {
  return rows[Math.max(0, endOfSequence(rows, sequence) - 1)];
}

/** Index behind the last row whose entry is not after a sequence. */
function endOfSequence(rows: readonly Row[], sequence: number): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sequenceBefore(rows, middle) <= sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Sequence of a row; a seam has that of the row before it. */
function sequenceBefore(rows: readonly Row[], index: number): number {
  for (let at = index; at >= 0; at -= 1) {
    const sequence = rows[at]?.entry?.sequence;
    if (sequence !== undefined) return sequence;
  }
  return 0;
}
