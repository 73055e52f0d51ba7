import { type Client, Code } from "@connectrpc/connect";
import { Backoff, sleep } from "./backoff.js";
import { RepriseError } from "./errors.js";
import type { JournalEntry } from "./gen/reprise/v1/journal_pb.js";
import type { Run } from "./gen/reprise/v1/run_pb.js";
import type { Delta, RunService, WatchRunResponse } from "./gen/reprise/v1/run_service_pb.js";

/** Where a watch begins and what it brings. */
export interface WatchRunOptions {
  /** Begin after this entry. 0, the default, is the beginning. */
  afterSequence?: number;
  /** Begin with the last so many entries instead. */
  tail?: number;
  /** Bring the agent's own line with each entry. */
  includeRaw?: boolean;
  /** Bring text while it is being written. */
  includePartial?: boolean;
  /** Ends the watch quietly. */
  signal?: AbortSignal;
  /** Give up after so many failures in a row. Default: a server that has spoken is looked for without end. */
  maxRetries?: number;
  /** Give up when the server has not said a first word within this time. Infinity: never. Default 30,000. */
  reachWithinMs?: number;
  /** The stream counts as broken after this silence; the server speaks at least every 10 s. Default 30,000. */
  silenceMs?: number;
}

/** What a watch tells: the run as it is, an entry, text that is being written, or how the connection fares. */
export type WatchRunEvent =
  | { kind: "run"; run: Run }
  | { kind: "entry"; entry: JournalEntry }
  | { kind: "delta"; delta: Delta }
  | { kind: "broken"; error: RepriseError; retryInMs: number }
  | { kind: "reconnected"; afterMs: number };

/**
 * Follows a run to its end, over broken connections: it goes on at the last sequence, so that no entry comes twice and
 * none is left out. Ends when the run has ended; throws what no waiting helps against, and what keeps a server from being
 * reached at all.
 */
export async function* watchRunEvents(
  runs: Client<typeof RunService>,
  runId: string,
  options: WatchRunOptions = {},
): AsyncGenerator<WatchRunEvent, void, undefined> {
  const backoff = new Backoff();
  let place: WatchPosition =
    options.tail === undefined ? { case: "afterSequence", value: options.afterSequence ?? 0 } : { case: "tail", value: options.tail };
  const reachUntil = Date.now() + (options.reachWithinMs ?? 30_000);
  let reached = false;
  let brokenAt: number | undefined;
  while (!options.signal?.aborted) {
    const request = { runId, position: place, includeRaw: options.includeRaw ?? false, includePartial: options.includePartial ?? false };
    let failure: RepriseError;
    try {
      for await (const message of untilSilent(
        (signal) => runs.watchRun(request, { signal }),
        options.silenceMs ?? 30_000,
        options.signal,
      )) {
        backoff.reset();
        reached = true;
        if (brokenAt !== undefined) {
          yield { kind: "reconnected", afterMs: Date.now() - brokenAt };
          brokenAt = undefined;
        }
        const event = toEvent(message);
        // The place moves before the reader has the event: a reader that stops in the middle asks again by itself.
        place = { case: "afterSequence", value: message.sequence };
        if (event) yield event;
      }
      return;
    } catch (thrown) {
      if (options.signal?.aborted) return;
      failure = RepriseError.from(thrown);
    }
    if (!failure.transient || backoff.tries >= (options.maxRetries ?? Number.POSITIVE_INFINITY)) throw failure;
    brokenAt ??= Date.now();
    const retryInMs = backoff.next(failure.retryAfterMs);
    if (!reached && Date.now() + retryInMs >= reachUntil) throw failure;
    yield { kind: "broken", error: failure, retryInMs };
    await sleep(retryInMs, options.signal);
  }
}

type WatchPosition = { case: "afterSequence" | "tail"; value: number };

function toEvent(message: WatchRunResponse): WatchRunEvent | undefined {
  switch (message.event.case) {
    case "run":
      return { kind: "run", run: message.event.value };
    case "entry":
      return { kind: "entry", entry: message.event.value };
    case "delta":
      return { kind: "delta", delta: message.event.value };
    default:
      // A heartbeat, or a kind that this client does not know yet.
      return undefined;
  }
}

/**
 * The messages of a stream, given up with DEADLINE_EXCEEDED after `silenceMs` without one. A reader that leaves early, an
 * abort from outside and the silence all close the connection.
 */
export async function* untilSilent<T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  silenceMs: number,
  outer?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const own = new AbortController();
  const abort = () => own.abort();
  if (outer?.aborted) own.abort();
  outer?.addEventListener("abort", abort);
  let silent = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listen = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      silent = true;
      own.abort();
    }, silenceMs);
  };
  try {
    listen();
    for await (const message of open(own.signal)) {
      // A slow reader is not the server's silence.
      clearTimeout(timer);
      yield message;
      listen();
    }
  } catch (thrown) {
    if (silent)
      throw new RepriseError(
        `the server was silent for ${silenceMs} ms`,
        Code.DeadlineExceeded,
        { reason: "", metadata: {}, fields: [], retryAfterMs: undefined },
        thrown,
      );
    throw thrown;
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
    own.abort();
  }
}
