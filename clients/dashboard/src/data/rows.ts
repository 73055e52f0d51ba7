import { batch, computed, type ReadonlySignal, signal } from "@preact/signals";

/**
 * The rows of a live list, newest first. What is shown changes in place; a new row, which would move the page, waits
 * behind the "n new" chip until `release`.
 */
export class LiveRows<T> {
  readonly #shown = signal<readonly T[]>([]);
  readonly #held = signal<readonly T[]>([]);
  readonly #ready = signal(false);
  readonly #idOf: (row: T) => string;
  readonly #limit: number;

  /** The rows on the page. */
  readonly rows: ReadonlySignal<readonly T[]> = computed(() => this.#shown.value);
  /** The rows on the page and those that wait: everything that is known of the list. */
  readonly known: ReadonlySignal<readonly T[]> = computed(() => [...this.#held.value, ...this.#shown.value]);
  /** How many rows wait. */
  readonly heldCount: ReadonlySignal<number> = computed(() => this.#held.value.length);
  /** Whether the first snapshot is complete. */
  readonly ready: ReadonlySignal<boolean> = computed(() => this.#ready.value);

  constructor(idOf: (row: T) => string, limit = 500) {
    this.#idOf = idOf;
    this.#limit = limit;
  }

  /** Takes a row as it now is. */
  apply(row: T): void {
    const id = this.#idOf(row);
    if (replace(this.#shown, row, id, this.#idOf) || replace(this.#held, row, id, this.#idOf)) return;
    this.#held.value = [row, ...this.#held.peek()].slice(0, this.#limit);
  }

  /** The snapshot is complete: the first one is shown whole, later ones have changed rows in place. */
  complete(): void {
    if (this.#ready.peek()) return;
    batch(() => {
      this.#ready.value = true;
      this.release();
    });
  }

  /** Shows what waited. */
  release(): void {
    batch(() => {
      this.#shown.value = [...this.#held.peek(), ...this.#shown.peek()].slice(0, this.#limit);
      this.#held.value = [];
    });
  }

  /** Adds older rows below, from a page of the list. */
  append(rows: readonly T[]): void {
    const known = new Set([...this.#shown.peek(), ...this.#held.peek()].map(this.#idOf));
    this.#shown.value = [...this.#shown.peek(), ...rows.filter((row) => !known.has(this.#idOf(row)))];
  }

  /** Forgets everything: other filters. */
  clear(): void {
    batch(() => {
      this.#shown.value = [];
      this.#held.value = [];
      this.#ready.value = false;
    });
  }
}

function replace<T>(rows: { value: readonly T[]; peek(): readonly T[] }, row: T, id: string, idOf: (row: T) => string): boolean {
  const at = rows.peek().findIndex((one) => idOf(one) === id);
  if (at < 0) return false;
  const next = [...rows.peek()];
  next[at] = row;
  rows.value = next;
  return true;
}
