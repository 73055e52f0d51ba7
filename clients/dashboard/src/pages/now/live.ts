import { type ReadonlySignal, signal } from "@preact/signals";
import { RepriseError, type Run, RunState } from "@reprise/client";
import { useEffect, useMemo } from "preact/hooks";
import { reprise } from "../../data/api.ts";
import { followList, listSlot, whileVisible } from "../../data/stream.ts";
import { runEnded } from "../../lib/words.ts";

/** Most rows of the snapshot, as the contract allows. */
const SNAPSHOT = 500;
/** Ended runs that are remembered; the failed ones are listed by the server too. */
const ENDED_KEPT = 100;

/** The runs that have not ended, and those that ended since the page was opened. */
export class ActiveRuns {
  readonly #runs = signal<ReadonlyMap<string, Run>>(new Map());
  readonly #ready = signal(false);
  readonly #endedAt = new Map<string, number>();
  #snapshot: Set<string> | undefined;

  /** By id. A new map whenever something changed. */
  readonly runs: ReadonlySignal<ReadonlyMap<string, Run>> = this.#runs;
  /** Whether the first snapshot is complete. */
  readonly ready: ReadonlySignal<boolean> = this.#ready;

  /** The stream is opened, perhaps again: what ended meanwhile will not be in its snapshot. */
  begin(): void {
    this.#snapshot = new Set();
  }

  /** Takes a run as it now is. */
  apply(run: Run, now = Date.now()): void {
    this.#snapshot?.add(run.id);
    const next = new Map(this.#runs.peek());
    if (runEnded(run) && !this.#endedAt.has(run.id)) this.#endedAt.set(run.id, now);
    next.set(run.id, run);
    for (const id of [...this.#endedAt.keys()].slice(0, -ENDED_KEPT)) {
      this.#endedAt.delete(id);
      next.delete(id);
    }
    this.#runs.value = next;
  }

  /** The snapshot is complete: runs that it does not name have ended while nobody watched. */
  complete(): void {
    const named = this.#snapshot;
    this.#snapshot = undefined;
    if (named && named.size < SNAPSHOT) {
      const kept = [...this.#runs.peek()].filter(([id, run]) => named.has(id) || runEnded(run));
      if (kept.length < this.#runs.peek().size) this.#runs.value = new Map(kept);
    }
    this.#ready.value = true;
  }

  /** When the end of a run was seen here. */
  endedAt(id: string): number | undefined {
    return this.#endedAt.get(id);
  }
}

/** The runs of now, over the tab's one list stream. */
export function useActiveRuns(): { active: ActiveRuns; error: ReadonlySignal<RepriseError | undefined> } {
  const live = useMemo(() => ({ active: new ActiveRuns(), error: signal<RepriseError | undefined>(undefined) }), []);
  useEffect(
    () =>
      whileVisible(listSlot, async (stop) => {
        live.error.value = undefined;
        const states = [RunState.QUEUED, RunState.WAITING, RunState.RUNNING, RunState.CANCELLING];
        try {
          await followList(
            (own) => {
              live.active.begin();
              return reprise.runs.watchRuns({ states, pageSize: SNAPSHOT }, { signal: own });
            },
            ({ event }) => {
              if (event.case === "run") live.active.apply(event.value);
              else if (event.case === "snapshotComplete") live.active.complete();
            },
            stop,
          );
        } catch (thrown) {
          live.error.value = RepriseError.from(thrown);
        }
      }),
    [live],
  );
  return live;
}
