import { create } from "@bufbuild/protobuf";
import { JournalEntrySchema, ToolResultEntrySchema } from "@reprise/client";
import { expect, test } from "vitest";
import { readProse } from "../src/lib/prose.ts";
import { type HitSource, Hits } from "../src/pages/run/hits.ts";
import { editOf, lineInAnswer, outputOf, restOf, toolState } from "../src/pages/run/tools.ts";

const answer = (text: string, isError = false, imageCount = 0) => create(ToolResultEntrySchema, { text, isError, imageCount });
const call = (name: string, input: object) =>
  create(JournalEntrySchema, {
    sequence: 1,
    kind: { case: "toolCall", value: { toolUseId: "t", name, inputJson: JSON.stringify(input) } },
  });
const told = (text: string) => create(JournalEntrySchema, { sequence: 2, kind: { case: "toolResult", value: { toolUseId: "t", text } } });

test("a failed command tells its exit code once", () => {
  const failed = answer("Exit code 101\nerror: no", true);
  expect(toolState(failed, false)).toMatchObject({ state: "failed", word: "failed, exit 101" });
  expect(outputOf(failed)).toBe("error: no");
  expect(outputOf(answer("Exit code 0 is good"))).toBe("Exit code 0 is good");
  expect(toolState(answer("Permission to use Bash has been denied.", true), false).state).toBe("denied");
  expect([toolState(undefined, false).state, toolState(undefined, true).state]).toEqual(["running", "unknown"]);
});

test("the rest of a row says how much there was", () => {
  expect(restOf("Read", answer("a\nb\n"))).toBe("2 lines");
  expect(restOf("Grep", answer("Found 7 files\na.rs"))).toBe("7 files");
  expect(restOf("Grep", answer("No files found"))).toBe("no hits");
  expect(restOf("Read", answer("", false, 2))).toBe("2 images");
  expect(restOf("Read", answer("nope", true))).toBe("");
});

test("an edit is numbered as its answer numbers it, and not at all where that is not known", () => {
  const edit = { file_path: "a.rs", old_string: "fn a() {\n    1\n}", new_string: "fn a() {\n    2\n}" };
  const known = editOf(call("Edit", edit), told("Updated:\n    17→// before\n    18→fn a() {\n    19→    2\n    20→}"));
  expect(known).toMatchObject({ added: 1, removed: 1 });
  expect(known?.hunks[0]?.lines[0]).toMatchObject({ before: 18, after: 18 });
  const unknown = editOf(call("Edit", edit), told("Updated."));
  expect(unknown?.hunks[0]?.lines.every((line) => line.before === undefined && line.after === undefined)).toBe(true);
});

test("other editing tools, broken input and tools that edit nothing", () => {
  expect(editOf(call("Write", { content: "a\nb\n" }))).toMatchObject({ added: 2, removed: 0 });
  const edits = [
    { old_string: "a", new_string: "b" },
    { old_string: "c", new_string: "" },
  ];
  expect(editOf(call("MultiEdit", { edits }))).toMatchObject({ added: 1, removed: 2 });
  expect(editOf(call("Bash", { command: "ls" }))).toBeUndefined();
  const cut = create(JournalEntrySchema, { kind: { case: "toolCall", value: { name: "Edit", inputJson: '{"old_string":"a' } } });
  expect(editOf(cut)).toBeUndefined();
});

test("the line is found by its first two lines, since the first alone may stand there often", () => {
  expect(lineInAnswer("}\nnext", "  3→}\n  4→other\n  5→}\n  6→next")).toBe(5);
  expect(lineInAnswer("\nnext", "  3→\n  4→next")).toBeUndefined();
});

test("code is set apart, and everything else stays as it was written", () => {
  expect(readProse("See `a` and **b**:\n\n```rust\nlet x = `y`;\n```\nDone <img src=x>")).toEqual([
    { kind: "text", text: "See " },
    { kind: "code", text: "a" },
    { kind: "text", text: " and " },
    { kind: "bold", text: "b" },
    { kind: "text", text: ":\n" },
    { kind: "block", text: "let x = `y`;" },
    { kind: "text", text: "Done <img src=x>" },
  ]);
  expect(readProse("```\nstill open")).toEqual([{ kind: "block", text: "still open" }]);
  expect(readProse("a * b ** c")).toEqual([{ kind: "text", text: "a * b ** c" }]);
});

/** Hits at every tenth entry, in pages of three. */
function everyTenth(total: number): HitSource & { asked: number } {
  const source = async ({ pageToken }: { pageToken: string }) => {
    source.asked += 1;
    const from = Number(pageToken || 0);
    const sequences = [1, 2, 3].map((one) => (from + one) * 10).filter((one) => one <= total * 10);
    return { sequences, next: from + 3 < total ? String(from + 3) : "", count: total };
  };
  source.asked = 0;
  return source;
}

test("hits are read as far as the reader walks, and the walk goes around both ends", async () => {
  const source = everyTenth(5);
  const hits = new Hits(source, "x", []);
  await hits.start();
  expect([hits.text, hits.sequence.value, source.asked]).toEqual(["5", undefined, 1]);
  await hits.step(1);
  expect([hits.text, hits.sequence.value]).toEqual(["1/5", 10]);
  for (let at = 0; at < 3; at += 1) await hits.step(1);
  expect([hits.text, hits.sequence.value, source.asked]).toEqual(["4/5", 40, 2]);
  await hits.step(1);
  await hits.step(1);
  expect(hits.text).toBe("1/5");
  await hits.step(-1);
  expect([hits.text, hits.sequence.value]).toEqual(["5/5", 50]);
});

test("walking back from nowhere begins at the last hit", async () => {
  const source = everyTenth(5);
  const hits = new Hits(source, "x", []);
  await hits.step(-1);
  expect([hits.text, hits.sequence.value, source.asked]).toEqual(["5/5", 50, 2]);
});

test("nothing found, and a search that failed", async () => {
  const none = new Hits(async () => ({ sequences: [], next: "", count: 0 }), "x", []);
  await none.step(1);
  expect([none.text, none.sequence.value]).toEqual(["none", undefined]);
  const broken = new Hits(() => Promise.reject(new Error("no")), "x", []);
  await broken.step(1);
  expect([broken.error.value?.message, broken.busy.value]).toEqual(["no", false]);
});
