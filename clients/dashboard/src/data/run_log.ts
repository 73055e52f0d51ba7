import { batch, signal } from "@preact/signals";
import { type JournalEntry, RepriseError, type Run, type WatchRunEvent, type WatchRunOptions, watchRunEvents } from "@reprise/client";
import { useEffect, useMemo } from "preact/hooks";
import { formatSpan } from "../lib/format.ts";
import { reprise } from "./api.ts";
import { runSlot, whileVisible } from "./stream.ts";

/** Text that is being written: it has no sequence yet, and its entry will replace it. */
export interface Writing {
  blockId: string;
  thinking: boolean;
  text: string;
  /** Length of the text in Unicode characters, as the contract counts. */
  characters: number;
}

/** A place where the stream broke and was taken up again, after the entry with this sequence. */
export interface Seam {
  afterSequence: number;
  text: string;
}

/** Entries of the first look, and of a page of older ones. */
const FIRST = 200;
const PAGE = 500;
/** While the tail is followed, older entries beyond this are dropped; scrolling up reads them again. */
const MOST_FOLLOWED = 20_000;

/** What is read from: the API, or a test. */
export interface RunLogSource {
  watch: (options: WatchRunOptions) => AsyncIterable<WatchRunEvent>;
  page: (request: { before?: number; after?: number; size: number }, signal: AbortSignal) => Promise<JournalEntry[]>;
}

/**
 * The journal of one run: a window of its entries without gaps, which grows at its end by the stream and at its
 * beginning by pages. Changes are shown once a frame, however fast they come.
 */
export class RunLog {
  /** The run as it now is. */
  readonly run = signal<Run | undefined>(undefined);
  /** The window, oldest first. A new array whenever it changed. */
  readonly entries = signal<readonly JournalEntry[]>([]);
  /** Text that is being written, in order. */
  readonly writing = signal<readonly Writing[]>([]);
  /** Where the stream was taken up again. */
  readonly seams = signal<readonly Seam[]>([]);
  /** How the log stands; `paged`: the window ends before the newest entry, and `newer` goes on. */
  readonly state = signal<"opening" | "live" | "broken" | "paged" | "ended" | "failed">("opening");
  /** Why it failed, or broke last. */
  readonly error = signal<RepriseError | undefined>(undefined);
  /** Grows when the stream has to be opened anew: at the tail, or where the pages ended. */
  readonly generation = signal(0);
  /** Whether a page is being read. */
  readonly paging = signal(false);
  /** Whether the reader follows the tail; the page sets it. */
  following = true;

  readonly #source: RunLogSource;
  readonly #at: number | undefined;
  #pending: WatchRunEvent[] = [];
  #frame: number | undefined;
  #opened = false;

  constructor(source: RunLogSource, at?: number) {
    this.#source = source;
    this.#at = at;
  }

  /** Sequence of the first entry held; 0 when there is none. */
  get first(): number {
    return this.entries.peek()[0]?.sequence ?? 0;
  }

  /** Sequence of the last entry held; 0 when there is none. */
  get last(): number {
    return this.entries.peek().at(-1)?.sequence ?? 0;
  }

  /** Whether there are entries before the window. */
  get hasOlder(): boolean {
    return this.first > Math.max(1, this.run.value?.firstSequence ?? 1);
  }

  /** Opens the log, or goes on where it was left: from the tail, or around the entry that the address names. */
  async follow(stop: AbortSignal): Promise<void> {
    try {
      if (!this.#opened && this.#at !== undefined) await this.#openAt(this.#at, stop);
      if (this.state.peek() === "paged" || this.state.peek() === "ended") return;
      await this.#watch(stop);
    } catch (thrown) {
      if (!stop.aborted) this.#fail(thrown);
    }
  }

  /** Reads a page before the window. */
  async older(): Promise<void> {
    if (this.paging.peek() || !this.hasOlder) return;
    await this.#page(async (signal) => {
      const page = await this.#source.page({ before: this.first, size: PAGE }, signal);
      this.entries.value = [...page.filter((one) => one.sequence < this.first), ...this.entries.peek()];
    });
  }

  /** Reads a page after the window, when the log was opened in the middle; at the end the log goes live. */
  async newer(): Promise<boolean> {
    if (this.paging.peek() || this.state.peek() !== "paged") return false;
    let atEnd = false;
    await this.#page(async (signal) => {
      const page = await this.#source.page({ after: this.last, size: PAGE }, signal);
      this.entries.value = [...this.entries.peek(), ...page.filter((one) => one.sequence > this.last)];
      atEnd = page.length < PAGE;
    });
    if (atEnd) this.#reopen();
    return atEnd;
  }

  /** Drops the window and opens the tail, for "jump to live" from a window in the middle. */
  toTail(): void {
    batch(() => {
      this.entries.value = [];
      this.writing.value = [];
      this.seams.value = [];
      this.#opened = true;
      this.#reopen();
    });
  }

  #reopen(): void {
    this.state.value = "opening";
    this.generation.value += 1;
  }

  async #openAt(sequence: number, stop: AbortSignal): Promise<void> {
    this.entries.value = await this.#source.page({ after: Math.max(0, sequence - FIRST / 2), size: FIRST }, stop);
    this.#opened = true;
    if (this.entries.peek().length === FIRST) this.state.value = "paged";
  }

  async #watch(stop: AbortSignal): Promise<void> {
    const place = this.last > 0 ? { afterSequence: this.last } : { tail: FIRST };
    for await (const event of this.#source.watch({ ...place, includePartial: true, signal: stop })) {
      this.#opened = true;
      this.#pending.push(event);
      this.#schedule();
    }
    this.#flush();
    if (!stop.aborted) this.state.value = "ended";
  }

  #fail(thrown: unknown): void {
    this.#flush();
    this.error.value = RepriseError.from(thrown);
    this.state.value = "failed";
  }

  async #page(read: (signal: AbortSignal) => Promise<void>): Promise<void> {
    this.paging.value = true;
    try {
      await read(new AbortController().signal);
    } catch (thrown) {
      this.error.value = RepriseError.from(thrown);
    } finally {
      this.paging.value = false;
    }
  }

  #schedule(): void {
    this.#frame ??= requestAnimationFrame(() => this.#flush());
  }

  #flush(): void {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
    const events = this.#pending;
    this.#pending = [];
    if (events.length > 0) batch(() => this.#apply(events));
  }

  #apply(events: readonly WatchRunEvent[]): void {
    const added: JournalEntry[] = [];
    let writing = this.writing.peek();
    let last = this.last;
    for (const event of events) {
      switch (event.kind) {
        case "run":
          this.run.value = event.run;
          break;
        case "entry":
          if (event.entry.sequence <= last) break;
          last = event.entry.sequence;
          added.push(event.entry);
          writing = without(writing, event.entry);
          break;
        case "delta":
          writing = written(writing, event.delta);
          break;
        case "broken":
          this.state.value = "broken";
          this.error.value = event.error;
          continue;
        case "reconnected":
          this.seams.value = [
            ...this.seams.peek(),
            { afterSequence: last, text: `reconnected after ${formatSpan(event.afterMs)}, nothing lost` },
          ];
          break;
      }
      this.state.value = "live";
    }
    this.writing.value = writing;
    if (added.length > 0) this.entries.value = this.#cut([...this.entries.peek(), ...added]);
  }

  #cut(entries: JournalEntry[]): JournalEntry[] {
    return this.following && entries.length > MOST_FOLLOWED ? entries.slice(-MOST_FOLLOWED / 2) : entries;
  }
}

/** The entry of a block takes the place of what was written of it. */
function without(writing: readonly Writing[], entry: JournalEntry): readonly Writing[] {
  if (entry.kind.case === "outcome") return [];
  if (entry.kind.case !== "text" && entry.kind.case !== "thinking") return writing;
  const { blockId } = entry.kind.value;
  return writing.filter((one) => one.blockId !== blockId);
}

/** A piece of text: where its offset, in characters, is not the end of what is held, everything from there is replaced. */
function written(
  writing: readonly Writing[],
  delta: { blockId: string; thinking: boolean; offset: number; text: string },
): readonly Writing[] {
  const held = writing.find((one) => one.blockId === delta.blockId);
  const added = countCharacters(delta.text);
  if (!held) return [...writing, { blockId: delta.blockId, thinking: delta.thinking, text: delta.text, characters: added }];
  const kept = delta.offset === held.characters ? held.text : Array.from(held.text).slice(0, delta.offset).join("");
  return writing.map((one) => (one === held ? { ...one, text: kept + delta.text, characters: delta.offset + added } : one));
}

function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** The log of a run over the tab's one run stream; `at` opens it around an entry. */
export function useRunLog(runId: string, at?: number): RunLog {
  const log = useMemo(() => new RunLog(apiSource(runId), at), [runId, at]);
  const generation = log.generation.value;
  useEffect(() => whileVisible(runSlot, (stop) => log.follow(stop)), [log, generation]);
  return log;
}

function apiSource(runId: string): RunLogSource {
  return {
    watch: (options) => watchRunEvents(reprise.runs, runId, options),
    page: async ({ before, after, size }, signal) => {
      const position =
        before === undefined ? { case: "afterSequence" as const, value: after ?? 0 } : { case: "beforeSequence" as const, value: before };
      const answer = await reprise.runs.listJournalEntries(
        { runId, position, newestFirst: before !== undefined, pageSize: size },
        { signal },
      );
      return before === undefined ? answer.entries : answer.entries.toReversed();
    },
  };
}
