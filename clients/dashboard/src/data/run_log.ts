import { batch, signal } from "@preact/signals";
import { type JournalEntry, RepriseError, type Run, type WatchRunEvent, type WatchRunOptions } from "@reprise/client";
import { useEffect, useMemo } from "preact/hooks";
import { formatSpan } from "../lib/format.ts";
import { isTooLarge, kindName, surplus, weigh } from "./journal.ts";
import { apiSource } from "./run_source.ts";
import { runSlot, whileVisible } from "./stream.ts";
import { type Writing, withDelta, withoutBlock } from "./writing.ts";

/** A place where the stream broke and was taken up again, after the entry with this sequence. */
export interface Seam {
  afterSequence: number;
  text: string;
}

/** Kinds of entries, by the contract's names: `tool_call`. */
export type Kinds = readonly string[];

/** What a page of entries is asked by. Without a position it is the end of the journal. */
export interface PageRequest {
  before?: number;
  after?: number;
  kinds: Kinds;
  size: number;
}

/** Entries in order, and whether there are more beyond them in the direction that was asked. */
export interface EntryPage {
  entries: readonly JournalEntry[];
  more: boolean;
}

/** What is read from: the API, or a test. */
export interface RunLogSource {
  watch: (options: WatchRunOptions) => AsyncIterable<WatchRunEvent>;
  page: (request: PageRequest, signal: AbortSignal) => Promise<EntryPage>;
}

/** Entries of the first look, and of a page. */
const FIRST = 200;
const PAGE = 500;
/** Least time between two changes of what is shown; a little less than two frames. */
const LEAST_MS = 30;
/** A page that failed is not asked for again before. */
const AGAIN_MS = 3000;

/**
 * The journal of one run: a window of its entries without gaps. While it is attached, the stream makes it grow at its
 * end; pages make it grow at both. It is cut at the far end when it becomes too large, so that a run of any length takes
 * the same memory. Changes are shown once a frame, however fast they come.
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
  /** How the stream stands. */
  readonly state = signal<"opening" | "live" | "broken" | "ended" | "failed">("opening");
  /** Why it failed, or broke last. */
  readonly error = signal<RepriseError | undefined>(undefined);
  /** Whether the window ends at the newest entry. */
  readonly attached = signal(false);
  /** Whether the window has been read at all. */
  readonly ready = signal(false);
  /** Whether a page is being read. */
  readonly paging = signal(false);
  /** Sequence of the newest entry that is known of, in the window or not. */
  readonly newest = signal(0);
  /** Whether there are entries before the window. */
  readonly hasOlder = signal(false);
  /** Whether the reader follows the tail; the page sets it. */
  following = true;

  readonly #source: RunLogSource;
  /** Kinds that the window holds; empty: all. */
  #kinds: Kinds = [];
  #at: number | undefined;
  #pending: WatchRunEvent[] = [];
  #frame: number | undefined;
  #shownAt = 0;
  /** Characters in the window, at least roughly. */
  #weight = 0;
  /** Entries that came while the page was read that may reach the end. */
  #arriving: JournalEntry[] | undefined;
  #begun = false;
  #pageAgainAt = 0;
  #reading = new AbortController();

  constructor(source: RunLogSource, at?: number, kinds: Kinds = []) {
    this.#source = source;
    this.#at = at;
    this.#kinds = kinds;
  }

  /** Sequence of the first entry held; 0 when there is none. */
  get first(): number {
    return this.entries.peek()[0]?.sequence ?? 0;
  }

  /** Sequence of the last entry held; 0 when there is none. */
  get last(): number {
    return this.entries.peek().at(-1)?.sequence ?? 0;
  }

  /** Whether the window is the whole journal. */
  get whole(): boolean {
    return this.#kinds.length === 0 && this.ready.peek() && this.attached.peek() && !this.hasOlder.peek();
  }

  /** Opens the stream, or goes on where it was left. */
  async follow(stop: AbortSignal): Promise<void> {
    if (this.state.peek() === "ended") return;
    const fromTail = this.newest.peek() === 0 && this.#at === undefined && this.#kinds.length === 0;
    if (fromTail) this.#begun = this.attached.value = true;
    try {
      for await (const event of this.#source.watch({ ...this.#place(fromTail), includePartial: true, signal: stop })) {
        if (event.kind === "run" && event.run.lastSequence === 0) this.ready.value = true;
        this.#pending.push(event);
        this.#schedule();
      }
      this.#flush();
      if (!stop.aborted) batch(() => this.#ended());
    } catch (thrown) {
      this.#flush();
      if (!stop.aborted) this.#fail(thrown);
    }
  }

  #ended(): void {
    this.state.value = "ended";
    if (this.writing.peek().length > 0) this.writing.value = [];
    // A run without entries has been read when its stream ends.
    if (this.attached.peek()) this.ready.value = true;
  }

  #place(fromTail: boolean): WatchRunOptions {
    if (fromTail) return { tail: FIRST };
    return this.newest.peek() > 0 ? { afterSequence: this.newest.peek() } : { tail: 0 };
  }

  /** Reads a page before the window. */
  older(): Promise<void> {
    if (!this.#mayPage() || !this.hasOlder.peek()) return Promise.resolve();
    return this.#read(async (signal) => {
      const page = await this.#source.page({ before: this.first, kinds: this.#kinds, size: PAGE }, signal);
      return () => {
        this.entries.value = [...page.entries, ...this.entries.peek()];
        this.hasOlder.value = page.more;
        this.#cutEnd();
      };
    });
  }

  /** Reads a page after the window; when it reaches the end the window is attached again. */
  newer(): Promise<void> {
    if (!this.#mayPage() || this.attached.peek()) return Promise.resolve();
    return this.#read(async (signal) => {
      this.#arriving = [];
      const page = await this.#source.page({ after: this.last, kinds: this.#kinds, size: PAGE }, signal);
      return () => {
        this.entries.value = [...this.entries.peek(), ...page.entries];
        if (!page.more) this.#attach();
        this.#cutStart();
      };
    });
  }

  /** Scrolling asks many times a second; a page that failed is asked for again only after a while. */
  #mayPage(): boolean {
    return this.ready.peek() && !this.paging.peek() && performance.now() >= this.#pageAgainAt;
  }

  /** Replaces the window by the end of the journal, for "jump to live". */
  toTail(): Promise<void> {
    if (this.attached.peek()) return Promise.resolve();
    return this.#replace(async (signal) => {
      this.#arriving = [];
      const page = await this.#source.page({ kinds: this.#kinds, size: FIRST }, signal);
      return () => {
        this.entries.value = page.entries;
        this.hasOlder.value = page.more;
        this.#attach();
      };
    });
  }

  /** Replaces the window by what stands around an entry. */
  openAt(sequence: number): Promise<void> {
    if (this.newest.peek() === 0) {
      this.#at = sequence;
      return Promise.resolve();
    }
    return this.#replace(async (signal) => {
      this.#arriving = [];
      const size = FIRST / 2;
      const [before, after] = await Promise.all([
        this.#source.page({ before: sequence, kinds: this.#kinds, size }, signal),
        this.#source.page({ after: sequence - 1, kinds: this.#kinds, size }, signal),
      ]);
      return () => {
        this.entries.value = [...before.entries, ...after.entries];
        this.hasOlder.value = before.more;
        this.attached.value = false;
        if (!after.more) this.#attach();
      };
    });
  }

  /** Holds only these kinds from now on; around an entry, or at the end. */
  hold(kinds: Kinds, at?: number): Promise<void> {
    if (kinds.join() === this.#kinds.join()) return Promise.resolve();
    this.#kinds = kinds;
    this.attached.value = false;
    // Before the stream is there it is enough to know what the window will be.
    if (this.newest.peek() === 0) {
      this.#begun = false;
      return Promise.resolve();
    }
    return at === undefined ? this.toTail() : this.openAt(at);
  }

  /** Whether an entry is of a kind that the window holds. */
  #holds(entry: JournalEntry): boolean {
    return this.#kinds.length === 0 || this.#kinds.includes(kindName(entry));
  }

  /** The window's end is the journal's: what came while the page was read is put behind it. */
  #attach(): void {
    const last = this.last;
    const missed = (this.#arriving ?? []).filter((entry) => entry.sequence > last);
    if (missed.length > 0) this.entries.value = [...this.entries.peek(), ...missed];
    this.attached.value = true;
  }

  /** Drops whatever page is being read, for a window at another place. */
  #replace(read: (signal: AbortSignal) => Promise<() => void>): Promise<void> {
    this.#reading.abort();
    this.#reading = new AbortController();
    this.paging.value = false;
    return this.#read(read);
  }

  async #read(read: (signal: AbortSignal) => Promise<() => void>): Promise<void> {
    const { signal } = this.#reading;
    this.paging.value = true;
    try {
      const apply = await read(signal);
      if (signal.aborted) return;
      this.#flush();
      batch(() => {
        apply();
        this.ready.value = true;
        this.error.value = undefined;
      });
    } catch (thrown) {
      if (!signal.aborted) this.error.value = RepriseError.from(thrown);
      this.#pageAgainAt = performance.now() + AGAIN_MS;
    } finally {
      if (!signal.aborted) {
        this.paging.value = false;
        this.#arriving = undefined;
      }
    }
  }

  #fail(thrown: unknown): void {
    batch(() => {
      this.error.value = RepriseError.from(thrown);
      this.state.value = "failed";
    });
  }

  #schedule(): void {
    this.#frame ??= requestAnimationFrame((now) => {
      this.#frame = undefined;
      // However fast they come, the eye has enough of so many changes a second, and the rest of the page has its time.
      if (now - this.#shownAt < LEAST_MS) return this.#schedule();
      this.#shownAt = now;
      this.#flush();
    });
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
    let newest = this.newest.peek();
    for (const event of events) {
      if (event.kind === "broken") {
        this.state.value = "broken";
        this.error.value = event.error;
        continue;
      }
      if (event.kind === "run") this.run.value = event.run;
      else if (event.kind === "delta") writing = withDelta(writing, event.delta);
      else if (event.kind === "reconnected") this.#seam(newest, event.afterMs);
      else if (event.entry.sequence > newest) {
        newest = event.entry.sequence;
        writing = withoutBlock(writing, event.entry);
        if (this.#holds(event.entry)) added.push(event.entry);
      }
      if (this.state.peek() === "broken") this.error.value = undefined;
      this.state.value = "live";
    }
    this.writing.value = writing;
    this.newest.value = newest;
    this.#add(added);
    if (!this.#begun && !this.attached.peek()) this.begin();
  }

  #seam(after: number, afterMs: number): void {
    this.seams.value = [...this.seams.peek(), { afterSequence: after, text: `reconnected after ${formatSpan(afterMs)}, nothing lost` }];
  }

  /** The stream is there: now the window is read, so that nothing can be lost between the two. Once more after a failure. */
  begin(): void {
    this.#begun = true;
    this.newest.value = Math.max(this.newest.peek(), this.run.peek()?.lastSequence ?? 0);
    void (this.#at === undefined ? this.toTail() : this.openAt(this.#at));
  }

  #add(added: readonly JournalEntry[]): void {
    if (added.length === 0) return;
    if (!this.attached.peek()) {
      this.#arriving?.push(...added);
      return;
    }
    const wasEmpty = this.entries.peek().length === 0;
    this.#weight += weigh(added);
    this.entries.value = [...this.entries.peek(), ...added];
    if (wasEmpty && this.#kinds.length === 0) this.hasOlder.value = this.first > Math.max(1, this.run.peek()?.firstSequence ?? 1);
    this.ready.value = true;
    // To weigh the whole window for every entry would take longer than to show it.
    if (!isTooLarge(this.entries.peek().length, this.#weight)) return;
    if (this.following) this.#cutStart();
    else this.#cutEnd();
  }

  #cutStart(): void {
    const drop = surplus(this.entries.peek());
    if (drop > 0) this.entries.value = this.entries.peek().slice(drop);
    this.#weight = weigh(this.entries.peek());
    if (drop === 0) return;
    this.seams.value = this.seams.peek().filter((one) => one.afterSequence >= this.first);
    this.hasOlder.value = true;
  }

  #cutEnd(): void {
    const entries = this.entries.peek();
    const drop = surplus(entries.toReversed());
    if (drop > 0) this.entries.value = entries.slice(0, entries.length - drop);
    this.#weight = weigh(this.entries.peek());
    if (drop === 0) return;
    this.attached.value = false;
  }
}

/** The log of a run over the tab's one run stream; `at` opens it around an entry, `raw` brings the agent's own lines. */
export function useRunLog(runId: string, at?: number, raw = false, kinds: Kinds = []): RunLog {
  // The kinds are what the log begins with; `hold` changes them.
  const log = useMemo(() => new RunLog(apiSource(runId, raw), at, kinds), [runId, at, raw]);
  useEffect(() => whileVisible(runSlot, (stop) => log.follow(stop)), [log]);
  return log;
}
