import { signal } from "@preact/signals";
import { RepriseError } from "@reprise/client";
import { reprise } from "../../data/api.ts";
import type { Kinds } from "../../data/run_log.ts";

/** A page of entries that match: their sequences, and how many match in all. */
export interface HitPage {
  sequences: readonly number[];
  next: string;
  count: number;
}

/** What is searched in: the API, or a test. */
export type HitSource = (request: { query: string; kinds: Kinds; pageToken: string }) => Promise<HitPage>;

/** The server counts so far. */
const MOST_COUNTED = 10_000;

/** The hits of one search through the whole run, read by pages as the reader walks over them. */
export class Hits {
  /** Which hit the reader is at, from 1; 0: none. */
  readonly at = signal(0);
  /** How many entries match. */
  readonly count = signal(0);
  /** Sequence of the present hit. */
  readonly sequence = signal<number | undefined>(undefined);
  readonly busy = signal(false);
  readonly error = signal<RepriseError | undefined>(undefined);
  /** Whether the first answer is there. */
  readonly ready = signal(false);

  readonly #source: HitSource;
  readonly #query: string;
  readonly #kinds: Kinds;
  #found: number[] = [];
  #next: string | undefined;
  #first: Promise<boolean> | undefined;

  constructor(source: HitSource, query: string, kinds: Kinds) {
    this.#source = source;
    this.#query = query;
    this.#kinds = kinds;
  }

  /** `3/17`, or `17` before the reader went to one; more than can be counted are `10,000+`. */
  get text(): string {
    if (!this.ready.value) return "";
    const count = this.count.value;
    const shown = count >= MOST_COUNTED ? "10,000+" : count.toLocaleString("en");
    if (count === 0) return "none";
    return this.at.value === 0 ? shown : `${this.at.value.toLocaleString("en")}/${shown}`;
  }

  /** Reads the first page. */
  async start(): Promise<void> {
    if (this.ready.peek()) return;
    this.#first ??= this.#more();
    if (!(await this.#first)) this.#first = undefined;
  }

  /** Goes to the next hit; behind the last one comes the first. */
  async step(by: 1 | -1): Promise<void> {
    // Whoever presses Enter before the first answer is there means its first hit.
    await this.start();
    if (this.busy.peek() || this.#found.length === 0) return;
    let to = this.at.peek() - 1 + (this.at.peek() === 0 && by < 0 ? 0 : by);
    if (to < 0) {
      // Only what was read can be gone to from behind.
      while (this.#next) if (!(await this.#more())) return;
      to = this.#found.length - 1;
    }
    if (to >= this.#found.length && this.#next) await this.#more();
    this.#go(to >= this.#found.length ? 0 : to);
  }

  #go(index: number): void {
    this.at.value = index + 1;
    this.sequence.value = this.#found[index];
  }

  async #more(): Promise<boolean> {
    this.busy.value = true;
    try {
      const page = await this.#source({ query: this.#query, kinds: this.#kinds, pageToken: this.#next ?? "" });
      this.#found.push(...page.sequences);
      this.#next = page.next || undefined;
      this.count.value = Math.max(page.count, this.#found.length);
      this.ready.value = true;
      return true;
    } catch (thrown) {
      this.error.value = RepriseError.from(thrown);
      return false;
    } finally {
      this.busy.value = false;
    }
  }
}

/** Searches a run on the server. */
export function searchRun(runId: string): HitSource {
  return async ({ query, kinds, pageToken }) => {
    const answer = await reprise.runs.listJournalEntries({ runId, query, kinds: [...kinds], pageToken, pageSize: 500 });
    return { sequences: answer.entries.map((one) => one.sequence), next: answer.nextPageToken, count: answer.matchCount };
  };
}
