import { expect, test } from "vitest";
import { niceTicks } from "../src/components/plot.tsx";
import { diffTexts, readPatch } from "../src/lib/diff.ts";
import { BigNumber, parseJson, pathOf } from "../src/lib/json.ts";

test("changed words are marked where a line was changed, and not where it is new", () => {
  const before = "impl Backoff {\n    self.base * attempt\n}\n";
  const after = "impl Backoff {\n    /// Full jitter.\n    self.base * jitter\n}\n";
  const diff = diffTexts(before, after, 18);
  const lines = diff.hunks[0]?.lines ?? [];
  expect(lines.map((line) => [line.kind, line.before, line.after])).toEqual([
    ["same", 18, 18],
    ["del", 19, undefined],
    ["add", undefined, 19],
    ["add", undefined, 20],
    ["same", 20, 21],
  ]);
  const marked = lines.map((line) => line.pieces.filter((piece) => piece.changed).map((piece) => piece.text));
  expect(marked).toEqual([[], ["attempt"], [], ["jitter"], []]);
  expect([diff.added, diff.removed]).toEqual([2, 1]);
  for (const line of lines) expect(line.pieces.map((piece) => piece.text).join("")).not.toBe("");
});

test("a new file is all added, and a patch is read file by file", () => {
  expect(diffTexts("", "a\nb\n")).toMatchObject({ added: 2, removed: 0 });
  const patch = "--- a/src/x.rs\n+++ b/src/x.rs\n@@ -3,2 +3,2 @@\n same\n-old\n+new\n";
  const [file] = readPatch(patch);
  expect([file?.path, file?.hunks[0]?.before, file?.added, file?.removed]).toEqual(["src/x.rs", 3, 1, 1]);
  expect(readPatch("no patch at all")).toEqual([]);
});

test("JSON keeps what JavaScript numbers lose, and paths are those of an expression", () => {
  const value = parseJson('{"id": 12345678901234567890, "n": 1.5}') as Record<string, unknown>;
  if (value["id"] instanceof BigNumber) expect(value["id"].text).toBe("12345678901234567890");
  else expect(value["id"]).toBe(Number("12345678901234567890"));
  expect(value["n"]).toBe(1.5);
  expect(parseJson("{")).toBeUndefined();
  expect(pathOf(pathOf(pathOf("event", "labels"), 0), "x-y")).toBe('event.labels[0]["x-y"]');
});

test("an axis ends at a round value that holds the highest", () => {
  for (const highest of [0.03, 0.7, 3, 7.42, 128, 99_000]) {
    const ticks = niceTicks(highest);
    expect(ticks.at(-1)).toBeGreaterThanOrEqual(highest * 0.999);
    expect(ticks.length).toBeLessThanOrEqual(5);
  }
  expect(niceTicks(0)).toEqual([0, 1]);
});
