/** Waits that double from a quarter of a second to ten seconds, each cut by up to a half at random. */
export class Backoff {
  #tries = 0;

  /** How often next was asked since the last success. */
  get tries(): number {
    return this.#tries;
  }

  /** How long to wait now, in milliseconds; at least what the server asked for. */
  next(atLeastMs = 0): number {
    const full = Math.min(250 * 2 ** this.#tries, 10_000);
    this.#tries += 1;
    return Math.max(full * (0.5 + Math.random() / 2), atLeastMs);
  }

  /** Something worked: the next wait is short again. */
  reset(): void {
    this.#tries = 0;
  }
}

/** Waits; an abort ends the wait at once, without an error. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
