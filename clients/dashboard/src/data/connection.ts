import { signal } from "@preact/signals";
import { Backoff, type RepriseError } from "@reprise/client";

/** How the server can be reached: not asked yet, yes, or no. */
export const connection = signal<"unknown" | "up" | "down">("unknown");
/** The error that says why it is down. */
export const downBecause = signal<RepriseError | undefined>(undefined);
/** When the next try is due, in milliseconds since the epoch; undefined while one is under way. */
export const nextTryAt = signal<number | undefined>(undefined);
/** Grows each time the server is back: what was read before is read again. */
export const epoch = signal(0);

const backoff = new Backoff();
let timer: ReturnType<typeof setTimeout> | undefined;
let probe: () => Promise<unknown> = () => Promise.resolve();

/** Names the call that finds out whether the server is back. */
export function setProbe(call: () => Promise<unknown>): void {
  probe = call;
}

/** A call was answered. */
export function noteUp(): void {
  const was = connection.peek();
  connection.value = "up";
  if (was !== "down") return;
  clearTimeout(timer);
  backoff.reset();
  downBecause.value = undefined;
  nextTryAt.value = undefined;
  epoch.value += 1;
}

/** A call was not answered: from now on the server is asked again, less and less often. */
export function noteDown(error: RepriseError): void {
  downBecause.value = error;
  if (connection.peek() === "down") return;
  connection.value = "down";
  schedule();
}

/** Asks at once. */
export function retryNow(): void {
  clearTimeout(timer);
  void tryOnce();
}

function schedule(): void {
  const wait = backoff.next(downBecause.peek()?.retryAfterMs);
  nextTryAt.value = Date.now() + wait;
  clearTimeout(timer);
  timer = setTimeout(() => void tryOnce(), wait);
}

async function tryOnce(): Promise<void> {
  nextTryAt.value = undefined;
  try {
    await probe();
  } catch {
    // Why it failed is noted where every call is looked at.
  }
  if (connection.peek() === "down") schedule();
}
