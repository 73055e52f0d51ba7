import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ConversationSchema,
  DeliveryOutcome,
  DeliverySchema,
  type ExportSessionResponse,
  ExportSessionResponseSchema,
  FailureReason,
  Lineage,
  RunKind,
  RunSchema,
  RunState,
  SessionOrder,
  SessionOrigin,
  SessionSchema,
  UsageSchema,
} from "@reprise/client";
import { expect, test } from "vitest";
import { archiveName, assemble } from "../src/pages/session/export.ts";
import { beginnings } from "../src/pages/session/facts.tsx";
import { firstSentence, historyOf, whatBecame, whatCame } from "../src/pages/session/history.ts";
import { eventWord, firstView, layOut, leastWidth, type RunBar, stretchesOf, xOf } from "../src/pages/session/timeline.ts";
import { merged } from "../src/pages/sessions/merge.ts";

const MIN = 60_000;
const HOUR = 60 * MIN;
const start = Date.UTC(2026, 10, 19, 16);

function run(id: string, from: number, minutes: number | undefined, more: Parameters<typeof create<typeof RunSchema>>[1] = {}) {
  return create(RunSchema, {
    id,
    state: minutes === undefined ? RunState.RUNNING : RunState.SUCCEEDED,
    lineage: Lineage.CONTINUED,
    generation: 1,
    createTime: timestampFromMs(start + from * MIN),
    startTime: timestampFromMs(start + from * MIN),
    ...(minutes === undefined ? {} : { endTime: timestampFromMs(start + (from + minutes) * MIN) }),
    ...(more as object),
  });
}

function delivery(id: string, at: number, outcome: DeliveryOutcome, runId = "", login = "maria") {
  return create(DeliverySchema, {
    id,
    outcome,
    runId,
    eventKind: "issue_comment",
    action: "created",
    actor: { login },
    receiveTime: timestampFromMs(start + at * MIN),
  });
}

test("empty time longer than the busy time around it is a break; shorter is not", () => {
  const spans = [
    [0, 4 * MIN],
    [6 * MIN, 8 * MIN],
    [17 * HOUR, 17 * HOUR + 2 * MIN],
  ] as const;
  expect(stretchesOf(spans, 5)).toEqual([
    { from: 0, to: 8 * MIN },
    { from: 17 * HOUR, to: 17 * HOUR + 2 * MIN },
  ]);
});

test("there are never more stretches than fit", () => {
  const spans = Array.from({ length: 40 }, (_, at) => [at * HOUR, at * HOUR + 1000] as const);
  expect(stretchesOf(spans, 5).length).toBeLessThanOrEqual(5);
});

test("busy times have one scale, and time goes on from left to right through the breaks", () => {
  const runs = [run("a", 0, 4), run("b", 17 * 60, 2)];
  const drawn = layOut({
    deliveries: [],
    runs,
    conversations: [],
    generation: 1,
    rememberedUntil: undefined,
    now: start + 17 * HOUR + 3 * MIN,
    width: 1200,
  });
  const [a, b] = drawn.bars;
  expect(drawn.breaks).toHaveLength(1);
  expect((a?.width ?? 0) / (b?.width ?? 1)).toBeCloseTo(2, 1);
  const places = Array.from({ length: 200 }, (_, at) => xOf(drawn.stretches, start + (at * 17.1 * HOUR) / 200));
  expect(places).toEqual([...places].sort((x, y) => x - y));
  expect(Math.max(...places)).toBeLessThanOrEqual(drawn.width);
});

test("the memory line goes across breaks, a reset is a gap in it", () => {
  const runs = [run("a", 0, 4), run("b", 600, 2), run("c", 610, 2, { generation: 2, lineage: Lineage.RENEWED })];
  const conversations = [
    create(ConversationSchema, { generation: 2, origin: SessionOrigin.RESET, startTime: timestampFromMs(start + 610 * MIN) }),
    create(ConversationSchema, { generation: 1, origin: SessionOrigin.FIRST, startTime: timestampFromMs(start) }),
  ];
  const now = start + 614 * MIN;
  const drawn = layOut({ deliveries: [], runs, conversations, generation: 2, rememberedUntil: Number.POSITIVE_INFINITY, now, width: 1200 });
  const [first, second] = drawn.memory;
  expect(drawn.memory).toHaveLength(2);
  expect((first?.x ?? 0) + (first?.width ?? 0)).toBeLessThan(second?.x ?? 0);
  expect((second?.x ?? 0) + (second?.width ?? 0)).toBeCloseTo(drawn.now);
  expect(drawn.starts.map((one) => one.label)).toEqual(["reset"]);
});

test("labels of one height do not overlap, and merged events are named once", () => {
  const runs = [run("r", 1, 1)];
  const deliveries = [0, 1, 2, 3].map((at) => delivery(`d${at}`, at / 600, DeliveryOutcome.COALESCED, "r"));
  deliveries.push(delivery("x", 0.02, DeliveryOutcome.FILTERED));
  const drawn = layOut({
    deliveries,
    runs,
    conversations: [],
    generation: 1,
    rememberedUntil: undefined,
    now: start + 5 * MIN,
    width: 1200,
  });
  const named = drawn.marks.filter((mark) => mark.up > 5);
  expect(named.map((mark) => [mark.label, mark.rest, mark.up])).toEqual([
    ["comment", "maria, 4 merged", 68],
    ["comment", "filtered", 36],
  ]);
});

test("a run that is live grows to now", () => {
  const drawn = layOut({
    deliveries: [],
    runs: [run("a", 0, undefined)],
    conversations: [],
    generation: 1,
    rememberedUntil: undefined,
    now: start + MIN,
    width: 1000,
  });
  expect(drawn.bars[0]).toMatchObject({ look: "run", label: "continued" });
  expect((drawn.bars[0]?.x ?? 0) + (drawn.bars[0]?.width ?? 0)).toBeCloseTo(drawn.now);
});

test("events have words", () => {
  expect(
    [
      ["pull_request", "opened"],
      ["issue_comment", "created"],
      ["pull_request_review", "submitted"],
      ["taskStatusUpdated", ""],
      ["", ""],
    ].map(([kind = "", action = ""]) => eventWord(kind, action)),
  ).toEqual(["opened", "comment", "review", "status updated", "event"]);
});

test("a small screen begins where the newest run goes on from the one before", () => {
  const room = 368;
  const runs = [run("r1", 0, 2), run("r2", 17 * 60, 3), run("r3", 17 * 60 + 9, undefined)];
  const drawn = layOut({
    deliveries: [],
    runs,
    conversations: [],
    rememberedUntil: Number.POSITIVE_INFINITY,
    generation: 1,
    now: start + 17 * HOUR + 30 * MIN,
    width: leastWidth(room),
  });
  const left = firstView(drawn, room);
  const [, before, newest] = drawn.bars;
  expect(before?.x).toBeGreaterThanOrEqual(left);
  expect((newest?.x ?? 0) + 90).toBeLessThanOrEqual(left + room);
  expect(drawn.memory.some((one) => one.x <= (newest?.x ?? 0) && one.x + one.width > (newest?.x ?? 0))).toBe(true);
});

test("a timeline begins at its end where that shows the last two runs, and never before its beginning", () => {
  const bars = (...at: number[]) => at.map((x) => ({ x, width: 600 - x }) as RunBar);
  expect(firstView({ bars: bars(500, 560), width: 640 }, 368)).toBe(272);
  expect(firstView({ bars: bars(100, 160), width: 640 }, 368)).toBe(88);
  // Too far apart for both: the newest, with the memory line that leads to it.
  expect(firstView({ bars: bars(24, 500), width: 640 }, 368)).toBe(228);
  expect(firstView({ bars: bars(), width: 640 }, 368)).toBe(272);
  expect(firstView({ bars: bars(24), width: 640 }, 368)).toBe(12);
  // Long past: what came since is newer.
  expect(firstView({ bars: [{ x: 24, width: 100 } as RunBar], width: 640 }, 368)).toBe(272);
});

test("a live run says no cost in the timeline before one is known", () => {
  const input = { deliveries: [], conversations: [], rememberedUntil: undefined, generation: 1, now: start + 5 * MIN, width: 880 };
  const usage = create(UsageSchema, { costUsd: 0.0904 });
  expect(layOut({ ...input, runs: [run("r", 0, undefined)] }).bars[0]?.rest).toBe("–");
  expect(layOut({ ...input, runs: [run("r", 0, undefined, { usage })] }).bars[0]?.rest).toBe("$0.0904");
});

test("the history has a line a run, with the deliveries it answers, and one for each that started none", () => {
  const runs = [run("r1", 1, 1), run("r2", 3, 1)];
  const deliveries = [
    delivery("d4", 4, DeliveryOutcome.DUPLICATE, "r2"),
    delivery("d3", 3, DeliveryOutcome.QUEUED, "r2"),
    delivery("d2", 1, DeliveryOutcome.COALESCED, "r1", "jonas"),
    delivery("d1", 1, DeliveryOutcome.QUEUED, "r1"),
  ];
  const rows = historyOf(runs, deliveries);
  expect(rows.map((row) => [row.id, row.deliveries.map((one) => one.id)])).toEqual([
    ["d4", ["d4"]],
    ["r2", ["d3"]],
    ["r1", ["d1", "d2"]],
  ]);
  expect(whatCame(rows[2]?.deliveries ?? [])).toBe("2 comments by maria and jonas, merged");
});

test("what became of a run is how it began and the first sentence it said, or why it failed", () => {
  expect(whatBecame(run("r", 0, 1, { resultText: "Three edits. Tests pass." }))).toBe("continued: Three edits.");
  const failure = { reason: FailureReason.MAX_COST, message: "the run reached $5" };
  expect(whatBecame(run("r", 0, 1, { state: RunState.FAILED, failure }))).toBe("max cost: the run reached $5");
  expect(firstSentence("v1.2 is out\nmore")).toBe("v1.2 is out");
});

test("beginnings are counted in words", () => {
  const runs = [run("a", 0, 1, { lineage: Lineage.FRESH }), run("b", 1, 1), run("c", 2, 1, { kind: RunKind.COMPACTION })];
  expect(beginnings(runs)).toBe("1 fresh, 1 continued, 1 compaction");
});

async function* stream(...parts: ExportSessionResponse["part"][]) {
  for (const part of parts)
    yield create(ExportSessionResponseSchema, { part } as Parameters<typeof create<typeof ExportSessionResponseSchema>>[1]);
}
const chunk = (offset: number, text: string) =>
  ({ case: "chunk", value: { offset: BigInt(offset), data: new TextEncoder().encode(text) } }) as unknown as ExportSessionResponse["part"];
const digest = (sha256: string, size: number) =>
  ({ case: "digest", value: { sha256, sizeBytes: BigInt(size) } }) as unknown as ExportSessionResponse["part"];
const ABCD = "88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589";

test("an export is put together and compared with its digest", async () => {
  const seen: number[] = [];
  const archive = await assemble(stream(chunk(0, "ab"), chunk(2, "cd"), digest(ABCD, 4)), (bytes) => seen.push(bytes));
  expect([await archive.blob.text(), archive.checked, seen]).toEqual(["abcd", true, [2, 4]]);
});

test("an export that is cut, holed or damaged is refused", async () => {
  await expect(assemble(stream(chunk(0, "ab")))).rejects.toThrow("before its digest");
  await expect(assemble(stream(chunk(0, "ab"), chunk(3, "d"), digest(ABCD, 4)))).rejects.toThrow("a piece is missing");
  await expect(assemble(stream(chunk(0, "abcd"), digest(ABCD, 5)))).rejects.toThrow("4 bytes");
  await expect(assemble(stream(chunk(0, "abce"), digest(ABCD, 4)))).rejects.toThrow("damaged");
});

test("an archive has a name that every system takes", () => {
  expect(archiveName("acme/shop#412", 2)).toBe("acme-shop-412-gen2.tar.zst");
  expect(archiveName("../..", 1)).toBe("session-gen1.tar.zst");
});

test("rows change in place; what would move them is counted", () => {
  const at = (id: string, seconds: number, turnCount = 1) =>
    create(SessionSchema, { id, turnCount, lastUseTime: timestampFromMs(start + seconds * 1000) });
  const { rows, news } = merged([at("a", 20), at("b", 10)], [at("c", 30), at("b", 25, 2), at("a", 20)], SessionOrder.LAST_USE);
  expect(rows.map((one) => [one.id, one.turnCount])).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  expect(news).toBe(1);
});
