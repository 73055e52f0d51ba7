import type { JournalEntry, ToolCallEntry, ToolResultEntry } from "@reprise/client";
import { diffTexts, type FileDiff } from "../../lib/diff.ts";
import { durationMs, plural } from "../../lib/format.ts";
import { type Json, parseJson } from "../../lib/json.ts";

/** A tool's input as an object; undefined when it is no JSON, for example because it was cut. */
export function readInput(call: ToolCallEntry): { [name: string]: Json } | undefined {
  const value = parseJson(call.inputJson);
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as { [name: string]: Json }) : undefined;
}

const text = (value: Json | undefined): string => (typeof value === "string" ? value : "");

const diffs = new WeakMap<JournalEntry, FileDiff | null>();

/** The change that a call of an editing tool makes; undefined for other tools. Computed once. */
export function editOf(entry: JournalEntry, result?: JournalEntry): FileDiff | undefined {
  const known = diffs.get(entry);
  if (known !== undefined) return known ?? undefined;
  const diff = entry.kind.case === "toolCall" ? computeEdit(entry.kind.value, result) : undefined;
  // While there is no answer the line numbers may still become known.
  if (!diff || result) diffs.set(entry, diff ?? null);
  return diff;
}

function computeEdit(call: ToolCallEntry, result: JournalEntry | undefined): FileDiff | undefined {
  if (!["Edit", "Write", "MultiEdit"].includes(call.name)) return undefined;
  const input = readInput(call);
  if (!input) return undefined;
  const answer = result?.kind.case === "toolResult" ? result.kind.value.text : "";
  if (call.name === "Write") return diffTexts("", text(input["content"]));
  if (call.name === "Edit") return editDiff(text(input["old_string"]), text(input["new_string"]), answer);
  const edits = Array.isArray(input["edits"]) ? input["edits"] : [];
  const all: FileDiff = { hunks: [], added: 0, removed: 0 };
  for (const one of edits) {
    if (typeof one !== "object" || one === null || Array.isArray(one)) continue;
    const fields = one as { [name: string]: Json };
    const diff = editDiff(text(fields["old_string"]), text(fields["new_string"]), answer);
    all.hunks.push(...diff.hunks);
    all.added += diff.added;
    all.removed += diff.removed;
  }
  return all;
}

function editDiff(before: string, after: string, answer: string): FileDiff {
  const line = lineInAnswer(after || before, answer);
  const diff = diffTexts(before, after, line ?? 1);
  if (line !== undefined) return diff;
  // Where the text stands in its file is not known, and made-up numbers would be read as true ones.
  for (const hunk of diff.hunks) for (const one of hunk.lines) one.before = one.after = undefined;
  return diff;
}

/** The number of the first changed line, from the numbered lines that the tool answers with: `    19→    pub fn delay`. */
export function lineInAnswer(changed: string, answer: string): number | undefined {
  const [first = "", second] = changed.split("\n");
  const lines = answer.split("\n").map((one) => /^\s*(\d+)(?:→|\t)(.*)$/.exec(one));
  for (const [at, found] of lines.entries()) {
    if (!found?.[2]?.endsWith(first) || first.trim() === "") continue;
    const next = lines[at + 1]?.[2];
    if (second === undefined || next === undefined || next.startsWith(second)) return Number(found[1]);
  }
  return undefined;
}

/** How a tool call ended, as its row says it. */
export interface ToolState {
  state: "running" | "ok" | "failed" | "denied" | "unknown";
  /** `failed, exit 101`. */
  word: string;
  /** Time between call and answer. */
  ms: number | undefined;
}

export function toolState(result: ToolResultEntry | undefined, ended: boolean): ToolState {
  if (!result) return ended ? { state: "unknown", word: "no answer", ms: undefined } : { state: "running", word: "running", ms: undefined };
  const ms = durationMs(result.duration);
  if (!result.isError) return { state: "ok", word: "", ms };
  if (/permission|not allowed|denied/i.test(result.text.slice(0, 300)) && exitCode(result.text) === undefined)
    return { state: "denied", word: "denied", ms };
  const code = exitCode(result.text);
  return { state: "failed", word: code === undefined ? "failed" : `failed, exit ${code}`, ms };
}

/** The exit code at the beginning of a failed command's output. */
function exitCode(output: string): number | undefined {
  const found = /^(?:Error: )?(?:Command failed with )?exit code:? (\d+)/i.exec(output.trimStart());
  return found ? Number(found[1]) : undefined;
}

/** Output without the line that only names the exit code, which the row says already. */
export function outputOf(result: ToolResultEntry): string {
  const output = result.text.replace(/^<tool_use_error>([\s\S]*)<\/tool_use_error>\s*$/, "$1");
  return result.isError ? output.replace(/^(?:Error: )?exit code:? \d+\n/i, "") : output;
}

/** What stands right in a closed row: `88 lines`, `7 hits in 3 files`. */
export function restOf(name: string, result: ToolResultEntry): string {
  if (result.imageCount > 0) return plural(result.imageCount, "image");
  if (result.isError || result.text === "") return "";
  const lines = countLines(result.text);
  if (name === "Read" || name === "Bash") return plural(lines, "line");
  if (name === "Grep" || name === "Glob") {
    const found = /^Found (\d+) (\w+)/.exec(result.text);
    if (found) return plural(Number(found[1]), found[2]?.replace(/s$/, "") ?? "hit");
    return result.text.startsWith("No ") ? "no hits" : plural(lines, "hit");
  }
  return "";
}

function countLines(output: string): number {
  let count = output.endsWith("\n") ? 0 : 1;
  for (let at = output.indexOf("\n"); at >= 0; at = output.indexOf("\n", at + 1)) count += 1;
  return count;
}
