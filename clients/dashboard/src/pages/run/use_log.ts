import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "../../app/keys.ts";
import { narrow } from "../../app/narrow.ts";
import { navigate, place, queryAll, setQuery } from "../../app/router.ts";
import { useWalk, type VirtualListHandle } from "../../components/virtual_list.tsx";
import type { RunLog } from "../../data/run_log.ts";
import { Hits, searchRun } from "./hits.ts";
import { GROUPS, type Group, KINDS, keyOf, type Row, rowBefore, rowOfSequence } from "./rows.ts";
import { isCard, OpenRows, opensByItself } from "./view.ts";

/** The sequence that an address names: `#s123`. */
export function sequenceInHash(hash: string): number | undefined {
  const found = /^#s(\d{1,9})$/.exec(hash);
  return found ? Number(found[1]) : undefined;
}

/** The groups that the address hides. */
export function hiddenGroups(): Group[] {
  const hidden = queryAll("hide");
  return GROUPS.filter((group) => hidden.includes(group));
}

/** The kinds of entries that are left; empty when nothing is hidden. */
export function kindsLeft(hidden: readonly Group[]): string[] {
  return hidden.length === 0 ? [] : GROUPS.filter((group) => !hidden.includes(group)).flatMap((group) => KINDS[group]);
}

/** The list as the page holds it. */
export type ListRef = { current: VirtualListHandle | null };

/** Entries of a run that is read from its beginning on a narrow screen. */
const SHORT = 150;

/** Whether the tail is kept in view, and how to stop that or come back. */
export interface Following {
  following: boolean;
  follow: (on: boolean) => void;
  /** Goes to the end and follows it. */
  jump: () => Promise<void>;
  /** How many entries came since the reader went elsewhere, or stand behind the window. */
  behind: number;
}

/** Follows the tail, until the reader goes somewhere else. */
export function useFollowing(log: RunLog, list: ListRef): Following {
  const [following, setFollowing] = useState(() => {
    const run = log.run.peek();
    // A narrow page scrolls as a whole, and begins with its head, where not too much stands before the end.
    if (narrow.peek() && run && run.lastSequence - run.firstSequence < SHORT) log.following = false;
    return log.following;
  });
  const pausedAt = useRef(log.newest.peek());
  const follow = (on: boolean) => {
    if (on && !log.attached.peek()) return;
    if (!on && log.following) pausedAt.current = log.newest.peek();
    log.following = on;
    setFollowing(on);
  };
  const jump = async () => {
    // A reload opens at the end, too.
    if (place.peek().hash !== "") await navigate(location.pathname + location.search, { replace: true });
    await log.toTail();
    follow(true);
    list.current?.showEnd();
  };
  const behind = log.newest.value - (log.attached.value ? pausedAt.current : log.last);
  return { following, follow, jump, behind };
}

/** The rows that are open; `version` grows when one of them changes. */
export function useOpenRows(log: RunLog) {
  const open = useMemo(() => new OpenRows(), [log]);
  const [version, setVersion] = useState(0);
  const toggle = useCallback(
    (row: Row, now: boolean) => {
      open.set(row.key, now);
      setVersion((was) => was + 1);
    },
    [open],
  );
  const setAll = (all: "open" | "closed") => {
    open.setAll(all);
    setVersion((was) => was + 1);
  };
  return { open, version, toggle, setAll };
}

type OpenState = ReturnType<typeof useOpenRows>;

/** Where the keyboard is in the log, and going to a sequence: to a row that is there, or one that is read first. */
export function usePlaceInLog(
  log: RunLog,
  rows: readonly Row[],
  list: ListRef,
  { open, toggle }: OpenState,
  ended: boolean,
  following: Following,
) {
  const latest = useRef(rows);
  latest.current = rows;
  const wanted = useRef<number | undefined>(sequenceInHash(place.peek().hash));
  const { current, setCurrent, keys } = useWalk(rows, keyOf, list);
  const arrive = () => {
    const sequence = wanted.current;
    if (sequence === undefined || !log.ready.peek() || log.paging.peek()) return;
    // What is hidden, or no longer kept, is stood for by what came before it.
    const row = rowOfSequence(latest.current, sequence) ?? rowBefore(latest.current, sequence);
    if (!row) return;
    wanted.current = undefined;
    if (isCard(row) && !open.isOpen(row, opensByItself(row, ended))) toggle(row, true);
    setCurrent(row.key);
    list.current?.show(row.key);
  };
  const goTo = (sequence: number) => {
    following.follow(false);
    wanted.current = sequence;
    if (rowOfSequence(latest.current, sequence)) arrive();
    else void log.openAt(sequence).then(arrive);
  };
  useEffect(arrive, [rows]);
  const { hash } = place.value;
  const lastHash = useRef(hash);
  useEffect(() => {
    if (lastHash.current === hash) return;
    lastHash.current = hash;
    const sequence = sequenceInHash(hash);
    if (sequence !== undefined) goTo(sequence);
  }, [hash]);
  return { current: current as string | undefined, keys, goTo };
}

/** What is hidden is not read either, unless the whole run is here anyway. */
export function useHidden(log: RunLog, hidden: readonly Group[], current: string | undefined): void {
  useEffect(() => {
    if (log.whole) return;
    const at = log.following || current === undefined ? undefined : Number(current.slice(1)) || undefined;
    void log.hold(kindsLeft(hidden), at);
  }, [log, hidden.join(), log.hasOlder.value, log.attached.value, log.ready.value]);
}

/** The search: what is typed is counted at once, and Enter goes to the next hit. */
export function useHits(runId: string, searched: string, hidden: readonly Group[], goTo: (sequence: number) => void): Hits {
  const hits = useMemo(() => new Hits(searchRun(runId), searched, kindsLeft(hidden)), [runId, searched, hidden.join()]);
  useEffect(() => {
    if (searched === "") return;
    const timer = setTimeout(() => void hits.start(), 200);
    return () => clearTimeout(timer);
  }, [hits]);
  const at = hits.sequence.value;
  useEffect(() => {
    if (at !== undefined) goTo(at);
  }, [at]);
  return hits;
}

/** The keys of the log. `openCurrent` opens or closes the row that the keyboard is at. */
export function useLogKeys(
  log: RunLog,
  { follow, jump }: Following,
  { setAll }: OpenState,
  { keys, goTo }: ReturnType<typeof usePlaceInLog>,
  openCurrent: () => void,
): void {
  const up = () => {
    follow(false);
    keys.arrowup.run();
  };
  useKeys("Log", {
    e: { label: "Expand all", run: () => setAll("open") },
    w: { label: "Collapse all", run: () => setAll("closed") },
    ...keys,
    arrowup: { label: keys.arrowup.label, run: up },
    enter: { label: "Open or close the entry", run: openCurrent },
    f: { label: "Follow the end, or stop", run: () => (log.following ? follow(false) : void jump()) },
    home: { label: "Beginning", run: () => goTo(Math.max(1, log.run.peek()?.firstSequence ?? 1)) },
    end: { label: "End", run: () => void jump() },
    "/": { label: "Search", run: () => document.querySelector<HTMLInputElement>("[data-find]")?.focus() },
    escape: { label: "Leave the search", run: () => setQuery({ q: undefined }) },
  });
}
