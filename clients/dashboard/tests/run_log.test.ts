import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { JournalEntrySchema, RepriseError, RunSchema, RunState, type WatchRunEvent, type WatchRunOptions } from "@reprise/client";
import { expect, test, vi } from "vitest";
import { MOST } from "../src/data/journal.ts";
import { type PageRequest, RunLog, type RunLogSource } from "../src/data/run_log.ts";

const entry = (sequence: number, text = "") =>
  create(JournalEntrySchema, { sequence, kind: { case: "text", value: { blockId: `b${sequence}`, text } } });
const entries = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => entry(from + at));
const numbers = (log: RunLog) => log.entries.value.map((one) => one.sequence);

/** A run of `total` entries: what is asked of it, and a stream whose events the test gives. */
function fakeRun(total: number) {
  const asked: WatchRunOptions[] = [];
  const script: ((options: WatchRunOptions) => AsyncIterable<WatchRunEvent>)[] = [];
  const pages: PageRequest[] = [];
  const fake = { total, beforeAnswer: async () => {} };
  const source: RunLogSource = {
    watch: (options) => {
      asked.push(options);
      return (script.shift() ?? async function* () {})(options);
    },
    page: async (request) => {
      pages.push(request);
      const held = entries(1, fake.total).filter((one) => request.kinds.length === 0 || one.sequence % 10 === 0);
      const { before, after, size } = request;
      await fake.beforeAnswer();
      if (after !== undefined) {
        const found = held.filter((one) => one.sequence > after);
        return { entries: found.slice(0, size), more: found.length > size };
      }
      const found = held.filter((one) => before === undefined || one.sequence < before);
      return { entries: found.slice(-size), more: found.length > size };
    },
  };
  return { source, asked, script, pages, fake };
}

/** A stream that brings the run and what the test sends, until it is stopped. */
function liveStream() {
  let wake = () => {};
  const waiting: WatchRunEvent[] = [];
  const send = (...events: WatchRunEvent[]) => {
    waiting.push(...events);
    wake();
  };
  async function* open(options: WatchRunOptions): AsyncIterable<WatchRunEvent> {
    options.signal?.addEventListener("abort", () => wake());
    while (!options.signal?.aborted) {
      const event = waiting.shift();
      if (event) yield event;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  return { send, open };
}

const runNow = (lastSequence: number) =>
  ({ kind: "run", run: create(RunSchema, { firstSequence: 1, lastSequence, state: RunState.RUNNING }) }) as WatchRunEvent;
const came = (sequence: number) => ({ kind: "entry", entry: entry(sequence) }) as WatchRunEvent;

const stop = () => new AbortController().signal;

test("the tail is read first, older pages are put in front, and the window has no gaps", async () => {
  const { source, asked, script } = fakeRun(1000);
  script.push(async function* () {
    yield { kind: "run", run: create(RunSchema, { firstSequence: 1, lastSequence: 1000 }) };
    for (const one of entries(801, 1000)) yield { kind: "entry", entry: one };
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect([asked[0]?.tail, log.first, log.last, log.hasOlder.value, log.state.value]).toEqual([200, 801, 1000, true, "ended"]);
  await log.older();
  await log.older();
  expect([log.first, log.hasOlder.value]).toEqual([1, false]);
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
  script.push(async function* () {
    yield delta(0, "ab😀");
    await vi.waitFor(() => expect(seen.at(-1)).toBe("ab😀"));
    yield delta(3, "c");
    await vi.waitFor(() => expect(seen.at(-1)).toBe("ab😀c"));
    yield delta(1, "X");
    await vi.waitFor(() => expect(seen.at(-1)).toBe("aX"));
    yield { kind: "entry", entry: entry(1, "aX") };
  });
  await log.follow(stop());
  expect(seen).toEqual(["", "ab😀", "ab😀c", "aX", ""]);
});

test("a deep link opens around its entry under a live stream, pages on, and is attached at the end without a gap", async () => {
  const { source, asked, script, fake } = fakeRun(1000);
  const { send, open } = liveStream();
  script.push(open);
  const end = new AbortController();
  const log = new RunLog(source, 500);
  const following = log.follow(end.signal);
  send(runNow(1000));
  await vi.waitFor(() => expect(log.ready.value).toBe(true));

  expect([asked[0]?.tail, log.first, log.last, log.attached.value, log.hasOlder.value]).toEqual([0, 400, 599, false, true]);
  send(came(1001));
  await vi.waitFor(() => expect(log.newest.value).toBe(1001));
  expect([log.last, log.newest.value]).toEqual([599, 1001]);
  // While the last page is on its way, two more entries come: one is on the page, the other only in the stream.
  fake.total = 1001;
  fake.beforeAnswer = async () => {
    send(came(1002));
    await vi.waitFor(() => expect(log.newest.value).toBe(1002));
  };
  await log.newer();
  expect([log.attached.value, log.last]).toEqual([true, 1002]);
  expect(numbers(log)).toEqual(Array.from({ length: 1002 - 399 }, (_, at) => at + 400));
  end.abort();
  await following;
});

test("only kinds that are asked for are read and kept", async () => {
  const { source, script, pages } = fakeRun(1000);
  const { send, open } = liveStream();
  script.push(open);
  const end = new AbortController();
  const log = new RunLog(source, undefined, ["stderr"]);
  const following = log.follow(end.signal);
  send(runNow(1000));
  await vi.waitFor(() => expect(log.ready.value).toBe(true));

  expect(pages[0]).toMatchObject({ kinds: ["stderr"], size: 200 });
  expect([log.first, log.last, log.attached.value, log.hasOlder.value]).toEqual([10, 1000, true, false]);
  send(came(1001));
  await vi.waitFor(() => expect(log.newest.value).toBe(1001));
  expect([log.last, log.newest.value]).toEqual([1000, 1001]);
  await log.hold([]);
  expect(log.first).toBe(801);
  end.abort();
  await following;
});

test("while the tail is followed, old entries are dropped and can be read again", async () => {
  const { source, script } = fakeRun(25_000);
  script.push(async function* () {
    yield runNow(25_000);
    for (const one of entries(1, 25_000)) yield { kind: "entry", entry: one };
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect(log.entries.value.length).toBeLessThanOrEqual(MOST.entries);
  expect([log.last, log.hasOlder.value]).toEqual([25_000, true]);
  const { first } = log;
  await log.older();
  expect(log.first).toBe(first - 500);
});

test("a window of large entries is cut by what it weighs", async () => {
  const { source, script } = fakeRun(0);
  script.push(async function* () {
    yield runNow(0);
    for (let at = 1; at <= 2000; at += 1) yield { kind: "entry", entry: entry(at, "x".repeat(60_000)) };
  });
  const log = new RunLog(source);
  await log.follow(stop());
  expect(log.entries.value.length * 60_000).toBeLessThanOrEqual(MOST.characters);
  expect(log.last).toBe(2000);
});

test("a reader who scrolled up keeps the place: the window stops growing and goes on when the end is wanted", async () => {
  const { source, script, fake } = fakeRun(0);
  const { send, open } = liveStream();
  script.push(open);
  const end = new AbortController();
  const log = new RunLog(source);
  const following = log.follow(end.signal);
  log.following = false;
  send(runNow(0), ...Array.from({ length: 12_000 }, (_, at) => came(at + 1)));
  await vi.waitFor(() => expect(log.newest.value).toBe(12_000));

  expect([log.first, log.attached.value, log.newest.value]).toEqual([1, false, 12_000]);
  expect(log.entries.value.length).toBeLessThanOrEqual(MOST.entries);
  fake.total = 12_000;
  await log.toTail();
  expect([log.first, log.last, log.attached.value]).toEqual([11_801, 12_000, true]);
  end.abort();
  await following;
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
