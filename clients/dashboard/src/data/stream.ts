import { effect } from "@preact/signals";
import { Backoff, RepriseError, untilSilent } from "@reprise/client";
import { epoch } from "./connection.ts";
import { visible } from "./visible.ts";

/** A server speaks at least every 10 s; after this silence a stream counts as broken. */
const SILENCE_MS = 30_000;

/** A place for one stream: a browser gives a page six connections, so a tab has one list stream and one run stream. */
export class StreamSlot {
  #holder: AbortController | undefined;

  /** Takes the place; whoever has it loses it. Aborting `outer` gives it back. */
  take(outer: AbortSignal): AbortSignal {
    this.#holder?.abort();
    const own = new AbortController();
    this.#holder = own;
    if (outer.aborted) own.abort();
    outer.addEventListener("abort", () => own.abort(), { once: true });
    return own.signal;
  }
}

/** The place of the tab's WatchRuns or WatchDeliveries. */
export const listSlot = new StreamSlot();
/** The place of the tab's WatchRun. */
export const runSlot = new StreamSlot();

/** Runs `work` in a slot while the tab can be seen; gives the function that ends it for good. */
export function whileVisible(slot: StreamSlot, work: (signal: AbortSignal) => Promise<void>): () => void {
  let turn: AbortController | undefined;
  const stopEffect = effect(() => {
    const seen = visible.value;
    turn?.abort();
    turn = undefined;
    if (!seen) return;
    turn = new AbortController();
    void work(slot.take(turn.signal));
  });
  return () => {
    stopEffect();
    turn?.abort();
  };
}

/**
 * Follows a list: opens the stream again when it broke or fell silent, until aborted. Throws what no waiting helps
 * against.
 */
export async function followList<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  take: (message: T) => void,
  signal: AbortSignal,
  silenceMs = SILENCE_MS,
): Promise<void> {
  const backoff = new Backoff();
  while (!signal.aborted) {
    let atLeast = 0;
    try {
      for await (const message of untilSilent(open, silenceMs, signal)) {
        backoff.reset();
        take(message);
      }
    } catch (thrown) {
      if (signal.aborted) return;
      const error = RepriseError.from(thrown);
      if (!error.transient) throw error;
      atLeast = error.retryAfterMs ?? 0;
    }
    await pause(backoff.next(atLeast), signal);
  }
}

/** Waits, but no longer than until the server is known to be back. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const before = epoch.peek();
    const done = () => {
      clearTimeout(timer);
      stop();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
    const stop = effect(() => {
      if (epoch.value !== before) queueMicrotask(done);
    });
  });
}
