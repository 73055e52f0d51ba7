import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type JournalEntry, JournalEntrySchema, RunState } from "@reprise/client";
import { expect, test } from "vitest";
import { Rows, rowOfSequence } from "../src/pages/run/rows.ts";
import { OpenRows, opensByItself, timeText } from "../src/pages/run/view.ts";

type Kind = Exclude<JournalEntry["kind"], { case: undefined }>;

/** Entries numbered from 1, a second apart. */
function journal(...kinds: { case: Kind["case"]; value?: object; parent?: string }[]): JournalEntry[] {
  return kinds.map(({ case: kind, value = {}, parent = "" }, at) =>
    create(JournalEntrySchema, {
      sequence: at + 1,
      time: timestampFromMs(1_000_000 + at * 1000),
      parentToolUseId: parent,
      kind: { case: kind, value } as never,
    }),
  );
}

const text = (words: string) => ({ case: "text" as const, value: { text: words } });
const call = (id: string, parent = "") => ({ case: "toolCall" as const, value: { toolUseId: id, name: "Bash" }, parent });
const result = (id: string, isError = false, parent = "") => ({ case: "toolResult" as const, value: { toolUseId: id, isError }, parent });

test("an answer stands in the row of its call, and only that row is another object", () => {
  const entries = journal(text("a"), call("t1"), text("b"), result("t1"));
  const rows = new Rows();
  const before = rows.update(entries.slice(0, 3), [], []);
  const after = rows.update(entries, [], []);
  expect(after.map((row) => row.key)).toEqual(["s1", "s2", "s3"]);
  expect(after[1]?.result?.sequence).toBe(4);
  expect(after.map((row, at) => row === before[at])).toEqual([true, false, true]);
  expect(rowOfSequence(after, 4)).toBe(after[1]);
  expect(rowOfSequence(after, 3)).toBe(after[2]);
  expect(rowOfSequence(after, 5)).toBeUndefined();
});

test("an answer whose call is not in the window stands alone until the page with the call is there", () => {
  const entries = journal(call("t1"), text("a"), result("t1"));
  const rows = new Rows();
  expect(rows.update(entries.slice(1), [], []).map((row) => row.entry?.kind.case)).toEqual(["text", "toolResult"]);
  expect(rows.update(entries, [], []).map((row) => row.entry?.kind.case)).toEqual(["toolCall", "text"]);
  expect(rows.rows[0]?.result?.sequence).toBe(3);
});

test("rows that stay as they were stay the same objects when older ones are put in front", () => {
  const entries = journal(text("a"), text("b"), call("t1"), result("t1"), text("c"));
  const rows = new Rows();
  const before = rows.update(entries.slice(1), [], []);
  const after = rows.update(entries, [], []);
  // The first one has another row before it now, so its time since the previous one changed.
  expect(after.slice(2).map((row, at) => row === before[at + 1])).toEqual([true, true]);
});

test("what a subagent does is indented by its depth", () => {
  const entries = journal(call("t1"), call("t2", "t1"), { ...text("deep"), parent: "t2" } as never, text("top"));
  expect(new Rows().update(entries, [], []).map((row) => row.depth)).toEqual([0, 1, 2, 0]);
});

test("hidden groups are counted but not shown, and their answers go nowhere", () => {
  const entries = journal(text("a"), call("t1"), result("t1"), { case: "stderr", value: { text: "x" } });
  const rows = new Rows();
  expect(rows.update(entries, [], ["tools"]).map((row) => row.group)).toEqual(["text", "stderr"]);
  expect(rows.counts).toEqual({ text: 1, tools: 1, thinking: 0, system: 0, stderr: 1 });
  expect(rows.update(entries, [], []).map((row) => row.group)).toEqual(["text", "tools", "stderr"]);
});

test("a seam stands behind the entry after which the stream broke", () => {
  const entries = journal(text("a"), text("b"), text("c"));
  const rows = new Rows();
  rows.update(entries.slice(0, 2), [], []);
  const seams = [{ afterSequence: 2, text: "reconnected" }];
  expect(rows.update(entries, seams, []).map((row) => row.seam ?? row.key)).toEqual(["s1", "s2", "reconnected", "s3"]);
  expect(new Rows().update(entries, seams, []).map((row) => row.seam ?? row.key)).toEqual(["s1", "s2", "reconnected", "s3"]);
});

test("the final answer is shown only where the log does not end with it", () => {
  const outcome = { case: "outcome" as const, value: { state: RunState.SUCCEEDED, resultText: "Done." } };
  expect(new Rows().update(journal(text("Done.\n"), outcome), [], []).at(-1)?.answer).toBeUndefined();
  expect(new Rows().update(journal(text("Almost."), outcome), [], []).at(-1)?.answer).toBe("Done.");
});

test("the raw view has a row for each entry", () => {
  const entries = journal(call("t1"), result("t1"), { case: "usage" });
  expect(new Rows().update(entries, [], [], true).map((row) => row.key)).toEqual(["r1", "r2", "r3"]);
});

test("what failed and what runs is open by itself, and a hand overrules that", () => {
  const [failed, running, fine] = new Rows().update(journal(call("a"), call("b"), call("c"), result("a", true), result("c")), [], []);
  if (!failed || !running || !fine) throw new Error("three rows");
  expect([failed, running, fine].map((row) => opensByItself(row, false))).toEqual([true, true, false]);
  expect(opensByItself(running, true)).toBe(false);
  const open = new OpenRows();
  open.set(failed.key, false);
  expect(open.isOpen(failed, true)).toBe(false);
  open.setAll("open");
  expect([open.isOpen(failed, true), open.isOpen(fine, false)]).toEqual([true, true]);
});

test("a time is told since the start, since the row before, or by the clock", () => {
  const rows = new Rows().update(journal(text("a"), text("b")), [], []);
  const second = rows[1];
  if (!second) throw new Error("two rows");
  expect(timeText(second, { time: "", startMs: 1_000_000 - 74_000 })).toBe("01:15");
  expect(timeText(second, { time: "previous", startMs: undefined })).toBe("+1.00");
  expect(timeText(second, { time: "clock", startMs: undefined })).toMatch(/^\d\d:\d\d:41$/);
});
