import { Code, ConnectError } from "@connectrpc/connect";
import { RepriseError } from "@reprise/client";
import { afterEach, expect, test, vi } from "vitest";
import { LiveRows } from "../src/data/rows.ts";
import { followList, StreamSlot, whileVisible } from "../src/data/stream.ts";
import { visible } from "../src/data/visible.ts";

afterEach(() => {
  vi.useRealTimers();
  visible.value = true;
});

test("a list stream that breaks is opened again; a refusal ends it", async () => {
  vi.useFakeTimers();
  let opened = 0;
  const seen: number[] = [];
  const refused = new RepriseError(
    "no",
    Code.NotFound,
    { reason: "RESOURCE_NOT_FOUND", metadata: {}, fields: [], retryAfterMs: undefined },
    undefined,
  );
  const work = followList<number>(
    async function* () {
      opened += 1;
      yield opened;
      throw opened < 3 ? new ConnectError("cut", Code.Unavailable) : refused;
    },
    (message) => seen.push(message),
    new AbortController().signal,
  ).catch((thrown: unknown) => thrown);
  await vi.runAllTimersAsync();
  expect(await work).toBe(refused);
  expect(seen).toEqual([1, 2, 3]);
});

test("a stream that falls silent is given up and opened again", async () => {
  vi.useFakeTimers();
  const stop = new AbortController();
  const aborted: boolean[] = [];
  let opened = 0;
  const work = followList<number>(
    async function* (signal) {
      opened += 1;
      signal.addEventListener("abort", () => aborted.push(true));
      yield opened;
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new ConnectError("aborted", Code.Canceled))));
    },
    () => {},
    stop.signal,
    100,
  );
  await vi.advanceTimersByTimeAsync(99);
  expect([opened, aborted.length]).toEqual([1, 0]);
  // Given up after 100 ms of silence, and opened again after the first wait, which is 250 ms at most.
  for (let waited = 0; opened < 2 && waited < 300; waited += 5) await vi.advanceTimersByTimeAsync(5);
  expect([opened, aborted.length]).toEqual([2, 1]);
  stop.abort();
  await work;
});

test("a hidden tab closes its stream and opens it when it is seen again", () => {
  const signals: AbortSignal[] = [];
  const stop = whileVisible(new StreamSlot(), async (signal) => void signals.push(signal));
  expect(signals.map((one) => one.aborted)).toEqual([false]);
  visible.value = false;
  expect(signals.map((one) => one.aborted)).toEqual([true]);
  visible.value = true;
  expect(signals.map((one) => one.aborted)).toEqual([true, false]);
  stop();
  expect(signals.map((one) => one.aborted)).toEqual([true, true]);
});

test("a slot holds one stream: the next one takes it", () => {
  const slot = new StreamSlot();
  const first = slot.take(new AbortController().signal);
  const second = slot.take(new AbortController().signal);
  expect([first.aborted, second.aborted]).toEqual([true, false]);
});

test("rows change in place, and new ones wait until they are let in", () => {
  const rows = new LiveRows<{ id: string; n: number }>((row) => row.id);
  for (const id of ["a", "b", "c"]) rows.apply({ id, n: 1 });
  expect(rows.rows.value).toEqual([]);
  rows.complete();
  expect(rows.rows.value.map((row) => row.id)).toEqual(["c", "b", "a"]);
  rows.apply({ id: "b", n: 2 });
  rows.apply({ id: "d", n: 1 });
  rows.apply({ id: "d", n: 3 });
  expect(rows.rows.value.map((row) => `${row.id}${row.n}`)).toEqual(["c1", "b2", "a1"]);
  expect(rows.heldCount.value).toBe(1);
  rows.release();
  expect(rows.rows.value.map((row) => `${row.id}${row.n}`)).toEqual(["d3", "c1", "b2", "a1"]);
  // After a reconnect the snapshot comes again, and nothing moves.
  for (const id of ["a", "b", "c", "d"]) rows.apply({ id, n: 9 });
  rows.complete();
  expect([rows.rows.value.map((row) => row.n), rows.heldCount.value]).toEqual([[9, 9, 9, 9], 0]);
});
