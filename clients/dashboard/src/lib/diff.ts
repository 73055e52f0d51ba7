import { diffWordsWithSpace, parsePatch, structuredPatch } from "diff";

/** A piece of a line; `changed` is a word that is other than before. */
export interface DiffPiece {
  text: string;
  changed: boolean;
}

/** A line of a diff with its numbers before and after. */
export interface DiffLine {
  kind: "same" | "add" | "del";
  before: number | undefined;
  after: number | undefined;
  pieces: DiffPiece[];
}

/** Lines that stand together, and where they begin. */
export interface DiffHunk {
  before: number;
  after: number;
  lines: DiffLine[];
}

/** A change of one file. */
export interface FileDiff {
  hunks: DiffHunk[];
  added: number;
  removed: number;
}

const CONTEXT = 3;
// Beyond this the words of a line are not compared: it is one long line of data.
const LONGEST_LINE = 2000;

/** Compares two texts. Numbers count from `firstLine`, where the texts are parts of a file. */
export function diffTexts(before: string, after: string, firstLine = 1): FileDiff {
  const patch = structuredPatch("", "", before, after, "", "", { context: CONTEXT, timeout: 500 });
  // Too large to compare in time: everything goes, everything comes.
  const hunks = patch ? patch.hunks : [{ oldStart: 1, newStart: 1, lines: [...split(before, "-"), ...split(after, "+")] }];
  return fromHunks(hunks.map((one) => ({ ...one, oldStart: one.oldStart + firstLine - 1, newStart: one.newStart + firstLine - 1 })));
}

/** Reads a unified diff, as `git diff` prints it: one change a file. Text that is none gives an empty list. */
export function readPatch(text: string): (FileDiff & { path: string })[] {
  try {
    return parsePatch(text)
      .filter((one) => one.hunks.length > 0)
      .map((one) => ({ path: (one.newFileName ?? one.oldFileName ?? "").replace(/^[ab]\//, ""), ...fromHunks(one.hunks) }));
  } catch {
    return [];
  }
}

function split(text: string, sign: string): string[] {
  return text === ""
    ? []
    : text
        .replace(/\n$/, "")
        .split("\n")
        .map((line) => sign + line);
}

function fromHunks(hunks: readonly { oldStart: number; newStart: number; lines: readonly string[] }[]): FileDiff {
  const out: FileDiff = { hunks: [], added: 0, removed: 0 };
  for (const hunk of hunks) {
    let before = hunk.oldStart;
    let after = hunk.newStart;
    const lines: DiffLine[] = [];
    for (const line of hunk.lines) {
      const pieces = [{ text: line.slice(1), changed: false }];
      if (line.startsWith("-")) lines.push({ kind: "del", before: before++, after: undefined, pieces });
      else if (line.startsWith("+")) lines.push({ kind: "add", before: undefined, after: after++, pieces });
      else if (line.startsWith(" ") || line === "") lines.push({ kind: "same", before: before++, after: after++, pieces });
    }
    markWords(lines);
    out.added += lines.filter((line) => line.kind === "add").length;
    out.removed += lines.filter((line) => line.kind === "del").length;
    out.hunks.push({ before: hunk.oldStart, after: hunk.newStart, lines });
  }
  return out;
}

/** Where lines were replaced by others, marks the words that differ in each pair that is alike; new lines have no marks. */
function markWords(lines: DiffLine[]): void {
  let at = 0;
  while (at < lines.length) {
    const dels = run(lines, at, "del");
    const adds = run(lines, at + dels.length, "add");
    if (dels.length > 0 && adds.length > 0) pair(dels, adds);
    at += dels.length + adds.length || 1;
  }
}

function run(lines: readonly DiffLine[], from: number, kind: DiffLine["kind"]): DiffLine[] {
  const out: DiffLine[] = [];
  for (let at = from; lines[at]?.kind === kind; at += 1) out.push(lines[at] as DiffLine);
  return out;
}

/** Each line that went is set against the most similar one that came, in order. */
function pair(dels: readonly DiffLine[], adds: readonly DiffLine[]): void {
  let from = 0;
  for (const del of dels) {
    let best: { at: number; score: number } | undefined;
    for (let at = from; at < adds.length && at < from + 20; at += 1) {
      const score = likeness(textOf(del), textOf(adds[at] as DiffLine));
      if (score > (best?.score ?? 0.4)) best = { at, score };
    }
    if (!best) continue;
    const add = adds[best.at] as DiffLine;
    markPair(del, add);
    from = best.at + 1;
  }
}

function textOf(line: DiffLine): string {
  return line.pieces[0]?.text ?? "";
}

/** How much of two lines is the same words, from 0 to 1; a line that grew is like itself too. */
function likeness(one: string, other: string): number {
  const [a, b] = [words(one), words(other)];
  if (a.length === 0 || b.length === 0) return 0;
  const rest = new Map<string, number>();
  for (const word of a) rest.set(word, (rest.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of b) {
    const left = rest.get(word) ?? 0;
    if (left > 0) {
      shared += 1;
      rest.set(word, left - 1);
    }
  }
  return shared / (a.length + b.length) + shared / (2 * Math.min(a.length, b.length));
}

function words(text: string): string[] {
  return text.length > LONGEST_LINE ? [] : (text.match(/\w+|[^\w\s]/g) ?? []);
}

function markPair(del: DiffLine, add: DiffLine): void {
  const changes = diffWordsWithSpace(textOf(del), textOf(add));
  del.pieces = changes.filter((one) => !one.added).map((one) => ({ text: one.value, changed: one.removed === true }));
  add.pieces = changes.filter((one) => !one.removed).map((one) => ({ text: one.value, changed: one.added === true }));
}
