import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FailureReason, JournalEntrySchema, RunSchema, RunState, WaitReason } from "@reprise/client";
import { expect, test } from "vitest";
import { boardOf, failureOf, heldBoard, startsIn, waitsFor } from "../src/pages/now/board.ts";
import { lineOf } from "../src/pages/now/last_line.ts";
import { ActiveRuns } from "../src/pages/now/live.ts";

const at = (seconds: number) => timestampFromMs(1_700_000_000_000 + seconds * 1000);
const run = (id: string, state: RunState, more: MessageInitShape<typeof RunSchema> = {}) =>
  create(RunSchema, { id, state, sessionId: `ses_${id}`, ...more });
const never = () => false;

test("live runs stand longest first, so that a new one moves nothing", () => {
  const runs = [run("new", RunState.RUNNING, { startTime: at(9) }), run("old", RunState.CANCELLING, { startTime: at(1) })];
  expect(boardOf(runs, never).running.map(({ id }) => id)).toEqual(["old", "new"]);
});

test("a thread that waits is one row: its next run, and how many stand behind it", () => {
  const runs = [
    run("c", RunState.QUEUED, { sessionId: "s", queuePosition: 3, createTime: at(3) }),
    run("a", RunState.WAITING, { sessionId: "s", queuePosition: 1, createTime: at(1) }),
    run("b", RunState.QUEUED, { sessionId: "s", queuePosition: 2, createTime: at(2) }),
    run("x", RunState.QUEUED, { sessionId: "t", queuePosition: 1, createTime: at(0) }),
  ];
  expect(boardOf(runs, never).waiting.map(({ key, head, behind }) => [key, head.id, behind])).toEqual([
    ["t", "x", 0],
    ["s", "a", 2],
  ]);
});

test("a run that ended stays a moment where it ran, and is not among the failed yet", () => {
  const failed = run("f", RunState.FAILED, { startTime: at(1), endTime: at(5) });
  const lingering = boardOf([failed], () => true);
  expect([lingering.running.length, lingering.failed.length]).toEqual([1, 0]);
  const gone = boardOf([failed], never);
  expect([gone.running.length, gone.failed.length]).toEqual([0, 1]);
});

test("while somebody points at it rows change in place, and none comes, goes or moves", () => {
  const before = [
    run("a", RunState.RUNNING, { startTime: at(1) }),
    run("w", RunState.QUEUED, { sessionId: "s", queuePosition: 1, createTime: at(1) }),
  ];
  const shown = boardOf(before, never);
  const after = [
    run("a", RunState.SUCCEEDED, { startTime: at(1), endTime: at(8) }),
    run("w", RunState.RUNNING, { sessionId: "s", startTime: at(8) }),
    run("n", RunState.QUEUED, { sessionId: "u", createTime: at(9) }),
  ];
  const { board, come } = heldBoard(shown, boardOf(after, never), new Map(after.map((one) => [one.id, one])));
  expect(board.running.map(({ id, state }) => [id, state])).toEqual([["a", RunState.SUCCEEDED]]);
  expect(board.waiting.map(({ head }) => [head.id, head.state])).toEqual([["w", RunState.RUNNING]]);
  expect(come).toBe(2);
});

test("what waits says for what, merged with what, and since when it can be said", () => {
  const quiet = run("a", RunState.WAITING, {
    wait: { reason: WaitReason.QUIET_PERIOD, untilTime: at(11) },
    deliveryCount: 3,
  });
  expect(waitsFor({ key: "k", head: quiet, behind: 0 }, new Set())).toBe("quiet period: further events join it · 3 events merged into one");
  expect(startsIn(quiet, 1_700_000_000_000)).toBe("11 s");
  const queued = run("b", RunState.QUEUED);
  expect(waitsFor({ key: "k", head: queued, behind: 1 }, new Set(["ses_b"]))).toBe("behind the run of this thread · 1 more run behind it");
  expect(waitsFor({ key: "k", head: queued, behind: 0 }, new Set())).toBe("a free place");
  expect(startsIn(queued, 0)).toBeUndefined();
  expect(startsIn(quiet, 1_700_000_011_500)).toBe("now");
});

test("a failure says the word of the API and the sentence", () => {
  const failed = run("f", RunState.FAILED, { failure: { reason: FailureReason.SILENT, message: "no output for 300 s" } });
  expect(failureOf(failed)).toEqual({ word: "silent", text: "no output for 300 s" });
});

test("runs that ended while nobody watched are not in the next snapshot, and go", () => {
  const active = new ActiveRuns();
  active.begin();
  active.apply(run("a", RunState.RUNNING));
  active.apply(run("b", RunState.RUNNING));
  active.complete();
  active.apply(run("b", RunState.FAILED));
  active.begin();
  active.apply(run("c", RunState.QUEUED));
  expect([...active.runs.value.keys()]).toEqual(["a", "b", "c"]);
  active.complete();
  expect([...active.runs.value.keys()]).toEqual(["b", "c"]);
});

test("a page that is open for days keeps the last ended runs, and every live one", () => {
  const active = new ActiveRuns();
  active.begin();
  active.apply(run("live", RunState.RUNNING));
  for (let at = 0; at < 1000; at += 1) active.apply(run(`r${at}`, RunState.SUCCEEDED), at);
  expect(active.runs.value.size).toBe(101);
  expect(active.runs.value.has("live")).toBe(true);
  expect(active.endedAt("r999")).toBe(999);
  expect(active.endedAt("r0")).toBeUndefined();
});

test.each([
  [
    { case: "text" as const, value: { text: "one\n\ntwo  \n" } },
    { text: "two", code: false },
  ],
  [
    { case: "toolCall" as const, value: { name: "Bash", summary: "cargo test" } },
    { tool: "Bash", text: "cargo test", code: true },
  ],
  [
    { case: "toolResult" as const, value: { text: "a\nok" } },
    { text: "ok", code: true },
  ],
  [{ case: "usage" as const, value: {} }, undefined],
])("the last line of %j", (kind, line) => {
  expect(lineOf(create(JournalEntrySchema, { sequence: 1, kind }))).toEqual(line);
});
