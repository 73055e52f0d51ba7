import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type JournalEntry, JournalEntrySchema, RepriseError, RunSchema, type WatchRunEvent, type WatchRunOptions } from "@reprise/client";
import { expect, test } from "vitest";
import { RunLog, type RunLogSource } from "../src/data/run_log.ts";

const entry = (sequence: number, text = "") =>
  create(JournalEntrySchema, { sequence, kind: { case: "text", value: { blockId: `b${sequence}`, text } } });
const entries = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => entry(from + at));
const numbers = (log: RunLog) => log.entries.value.map((one) => one.sequence);

/** A run of `total` entries: what is asked of it, and a stream whose events the test gives. */
function fakeRun(total: number) {
  const asked: WatchRunOptions[] = [];
  const script: ((options: WatchRunOptions) => AsyncIterable<WatchRunEvent>)[] = [];
  const source: RunLogSource = {
    watch: (options) => {
      asked.push(options);
      return (script.shift() ?? async function* () {})(options);
    },
    page: async ({ before, after, size }): Promise<JournalEntry[]> => {
      const [from, to] =
        before === undefined ? [(after ?? 0) + 1, Math.min(total, (after ?? 0) + size)] : [Math.max(1, before - size), before - 1];
      return to < from ? [] : entries(from, to);
    },
  };
  return { source, asked, script };
}

const stop = () => new AbortController().signal;

test("the tail is read first, older pages are put in front, and the window has no gaps", async () => {
  const { source, asked, script } = fakeRun(1000);
  script.push(async function* () {
    yield { kind: "run", run: create(RunSchema, { firstSequence: 1, lastSequence: 1000 }) };
    for (const one of entries(801, 1000)) yield { kind: "entry", entry: one };
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect([asked[0]?.tail, log.first, log.last, log.hasOlder, log.state.value]).toEqual([200, 801, 1000, true, "ended"]);
  await log.older();
  await log.older();
  expect([log.first, log.hasOlder]).toEqual([1, false]);
  expect(numbers(log)).toEqual(Array.from({ length: 1000 }, (_, at) => at + 1));
});

test("a tab that was hidden goes on after the last entry it has", async () => {
  const { source, asked, script } = fakeRun(5);
  const hidden = new AbortController();
  script.push(async function* (options) {
    yield { kind: "entry", entry: entry(1) };
    yield { kind: "entry", entry: entry(2) };
    await new Promise<void>((resolve) => {
      options.signal?.addEventListener("abort", () => resolve());
      hidden.abort();
    });
  });
  script.push(async function* () {
    yield { kind: "entry", entry: entry(2) };
    yield { kind: "entry", entry: entry(3) };
  });
  const log = new RunLog(source);
  await log.follow(hidden.signal);
  expect(log.state.value).not.toBe("ended");
  await log.follow(stop());
  expect(asked[1]?.afterSequence).toBe(2);
  expect(numbers(log)).toEqual([1, 2, 3]);
});

test("a reconnect leaves a seam where it happened", async () => {
  const { source, script } = fakeRun(3);
  const error = new RepriseError("cut", Code.Unavailable, { reason: "", metadata: {}, fields: [], retryAfterMs: undefined }, undefined);
  script.push(async function* () {
    yield { kind: "entry", entry: entry(1) };
    yield { kind: "broken", error, retryInMs: 10 };
    yield { kind: "reconnected", afterMs: 2000 };
    yield { kind: "entry", entry: entry(2) };
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect(log.seams.value).toEqual([{ afterSequence: 1, text: "reconnected after 2.0 s, nothing lost" }]);
});

test("text that is written grows by characters, is replaced from its offset, and ends with its entry", async () => {
  const { source, script } = fakeRun(1);
  const log = new RunLog(source);
  const seen: string[] = [];
  log.writing.subscribe((writing) => void seen.push(writing.map((one) => one.text).join("|")));
  const delta = (offset: number, text: string) =>
    ({ kind: "delta", delta: { blockId: "b1", thinking: false, offset, text } }) as WatchRunEvent;
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  script.push(async function* () {
    yield delta(0, "ab😀");
    await frame();
    yield delta(3, "c");
    await frame();
    yield delta(1, "X");
    await frame();
    yield { kind: "entry", entry: entry(1, "aX") };
  });
  await log.follow(stop());
  expect(seen).toEqual(["", "ab😀", "ab😀c", "aX", ""]);
});

test("a deep link opens around its entry, pages on, and goes live at the end", async () => {
  const { source, asked } = fakeRun(1000);
  const log = new RunLog(source, 500);
  await log.follow(stop());
  expect([log.first, log.last, log.state.value, asked.length]).toEqual([401, 600, "paged", 0]);
  expect(await log.newer()).toBe(true);
  expect([log.last, log.generation.value]).toEqual([1000, 1]);
  await log.follow(stop());
  expect(asked[0]?.afterSequence).toBe(1000);
});

test("while the tail is followed, old entries are dropped and can be read again", async () => {
  const { source, script } = fakeRun(25_000);
  script.push(async function* () {
    yield { kind: "run", run: create(RunSchema, { firstSequence: 1 }) };
    for (const one of entries(1, 25_000)) yield { kind: "entry", entry: one };
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect(log.entries.value.length).toBeLessThanOrEqual(20_000);
  expect([log.last, log.hasOlder]).toEqual([25_000, true]);
});

test("what no waiting helps against is told", async () => {
  const { source, script } = fakeRun(0);
  // biome-ignore lint/correctness/useYield: the stream fails before its first message
  script.push(async function* () {
    throw new RepriseError(
      "no such run",
      Code.NotFound,
      { reason: "RESOURCE_NOT_FOUND", metadata: {}, fields: [], retryAfterMs: undefined },
      undefined,
    );
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect([log.state.value, log.error.value?.reason]).toEqual(["failed", "RESOURCE_NOT_FOUND"]);
});
