import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useKeys } from "../../app/keys.ts";
import { narrow } from "../../app/narrow.ts";
import { navigate, place, query, queryAll, setQuery } from "../../app/router.ts";
import { Empty, Loading } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { Icon } from "../../components/icon.tsx";
import { Searched } from "../../components/marked.tsx";
import { useWalk, VirtualList, type VirtualListHandle } from "../../components/virtual_list.tsx";
import type { RunLog } from "../../data/run_log.ts";
import { formatCount, toMs } from "../../lib/format.ts";
import { runEnded } from "../../lib/words.ts";
import { LogBar } from "./bar.tsx";
import { EntryRow } from "./entry.tsx";
import { Hits, searchRun } from "./hits.ts";
import { Prose } from "./prose.tsx";
import { RawRow } from "./raw.tsx";
import { GROUPS, type Group, KINDS, keyOf, type Row, Rows, rowBefore, rowOfSequence } from "./rows.ts";
import { isCard, type LogView, OpenRows, opensByItself, type TimeMode } from "./view.ts";

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

/** Entries of a run that is read from its beginning on a narrow screen. */
const SHORT = 150;

/** The live log: everything that happened in the run, and what happens now. */
export function Log({ log, runId, raw }: { log: RunLog; runId: string; raw: boolean }) {
  const hidden = hiddenGroups();
  const hiddenKey = hidden.join();
  const time = query("time") as TimeMode;
  const searched = query("q");
  const run = log.run.value;
  const builder = useMemo(() => new Rows(), [log]);
  const rows = builder.update(log.entries.value, log.seams.value, hidden, raw);
  const latest = useRef(rows);
  latest.current = rows;
  const list = useRef<VirtualListHandle>(null);

  // Following: the tail is kept in view, until the reader goes somewhere else.
  const [following, setFollowing] = useState(() => {
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

  // Rows that are open, and a new view for the rows when one of them changes.
  const open = useMemo(() => new OpenRows(), [log]);
  const [version, setVersion] = useState(0);
  const changed = () => setVersion((was) => was + 1);
  const setAll = (all: "open" | "closed") => {
    open.setAll(all);
    changed();
  };
  const ended = run !== undefined && runEnded(run);
  const toggle = useCallback(
    (row: Row, now: boolean) => {
      open.set(row.key, now);
      changed();
    },
    [open],
  );

  // A place in the log: a row that is there, or one that is read first.
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
    follow(false);
    wanted.current = sequence;
    if (rowOfSequence(latest.current, sequence)) arrive();
    else void log.openAt(sequence).then(arrive);
  };
  useEffect(arrive, [rows]);
  const { hash } = place.value;
  const firstHash = useRef(hash);
  useEffect(() => {
    if (firstHash.current === hash) return;
    firstHash.current = hash;
    const sequence = sequenceInHash(hash);
    if (sequence !== undefined) goTo(sequence);
  }, [hash]);

  // What is hidden is not read either, unless the whole run is here anyway.
  const [hasOlder, attached, ready] = [log.hasOlder.value, log.attached.value, log.ready.value];
  useEffect(() => {
    if (log.whole) return;
    const at = log.following || current === undefined ? undefined : Number(String(current).slice(1)) || undefined;
    void log.hold(kindsLeft(hidden), at);
  }, [log, hiddenKey, hasOlder, attached, ready]);

  // The search: what is typed is counted at once, and Enter goes to the next hit.
  const hits = useMemo(() => new Hits(searchRun(runId), searched, kindsLeft(hidden)), [runId, searched, hiddenKey]);
  useEffect(() => {
    if (searched === "") return;
    const timer = setTimeout(() => void hits.start(), 200);
    return () => clearTimeout(timer);
  }, [hits]);
  const hitAt = hits.sequence.value;
  useEffect(() => {
    if (hitAt !== undefined) goTo(hitAt);
  }, [hitAt]);
  const hit = hitAt === undefined ? undefined : rowOfSequence(rows, hitAt)?.key;

  const startMs = toMs(run?.startTime ?? run?.createTime);
  const view = useMemo<LogView>(
    () => ({
      runId,
      time,
      startMs,
      ended,
      isOpen: (row) => open.isOpen(row, opensByItself(row, ended)),
      toggle,
      current: current as string | undefined,
      hit,
    }),
    [runId, time, startMs, ended, open, version, current, hit],
  );
  const render = useCallback((row: Row) => (raw ? <RawRow row={row} view={view} /> : <EntryRow row={row} view={view} />), [view, raw]);

  useKeys("Log", {
    e: { label: "Expand all", run: () => setAll("open") },
    w: { label: "Collapse all", run: () => setAll("closed") },
    ...keys,
    arrowup: {
      label: keys.arrowup.label,
      run: () => {
        follow(false);
        keys.arrowup.run();
      },
    },
    enter: {
      label: "Open or close the entry",
      run: () => {
        const row = rows.find((one) => one.key === current);
        if (row && isCard(row)) toggle(row, !view.isOpen(row));
      },
    },
    f: { label: "Follow the end, or stop", run: () => (log.following ? follow(false) : void jump()) },
    home: { label: "Beginning", run: () => goTo(Math.max(1, run?.firstSequence ?? 1)) },
    end: { label: "End", run: () => void jump() },
    "/": { label: "Search", run: () => document.querySelector<HTMLInputElement>("[data-find]")?.focus() },
    escape: { label: "Leave the search", run: () => setQuery({ q: undefined }) },
  });

  const behind = attached ? log.newest.value - pausedAt.current : log.newest.value - log.last;
  return (
    <>
      <LogBar
        runId={runId}
        counts={builder.counts}
        partial={hasOlder || !attached || hidden.length > 0}
        hidden={hidden}
        hits={hits}
        searched={searched}
        time={time}
        raw={raw}
      />
      <ErrorNotice error={searched === "" ? undefined : hits.error.value} />
      <ErrorNotice error={ready ? log.error.value : undefined} />
      <Searched.Provider value={searched}>
        {rows.length === 0 ? (
          <div class="log">
            <Nothing log={log} hidden={hidden} />
          </div>
        ) : (
          <VirtualList
            items={rows}
            keyOf={keyOf}
            render={render}
            estimate={estimate}
            label="What happened"
            class="log"
            page={narrow.value}
            follow={following && attached}
            onFollow={follow}
            onNearStart={() => void log.older()}
            onNearEnd={() => void log.newer()}
            handle={list}
          >
            {attached && !raw && <Writing log={log} hidden={hidden} />}
          </VirtualList>
        )}
      </Searched.Provider>
      {!following && rows.length > 0 && (
        <button type="button" class="pill" onClick={() => void jump()}>
          <Icon name="down" class="c-copper" />
          {ended ? "Jump to the end" : "Jump to live"}
          {!ended && behind > 0 && <span class="f2">{formatCount(behind)} new</span>}
        </button>
      )}
    </>
  );
}

/** Text that is being written now. */
function Writing({ log, hidden }: { log: RunLog; hidden: readonly Group[] }) {
  return (
    <div class="writing" aria-live="off">
      {log.writing.value
        .filter((one) => !hidden.includes(one.thinking ? "thinking" : "text"))
        .map((one) => (
          <div key={one.blockId} class="e">
            <span class="at">now</span>
            {one.thinking ? <p class="think">{one.text}</p> : <Prose text={one.text} live />}
          </div>
        ))}
    </div>
  );
}

function Nothing({ log, hidden }: { log: RunLog; hidden: readonly Group[] }) {
  const run = log.run.value;
  if (!log.ready.value && log.error.value) return <ErrorNotice error={log.error.value} onRetry={() => log.begin()} />;
  if (!log.ready.value || log.paging.value) return <Loading />;
  if (hidden.length > 0) return <Empty text={`Nothing but ${hidden.join(", ")} so far, which is hidden. Press a kind above to show it.`} />;
  if (run && !runEnded(run))
    return (
      <Empty
        text={
          run.startTime
            ? "The agent is starting. The log goes on here by itself."
            : "It has not started yet. The log goes on here by itself."
        }
      />
    );
  return (
    <Empty
      text="The entries of this run are no longer kept. Settings say how many days a journal stays; what the run cost stays longer."
      link={{ href: "/settings", label: "Settings" }}
    />
  );
}

/** Height of a row before it is drawn; what it is measured to be later counts. */
function estimate(row: Row): number {
  const { entry } = row;
  if (!entry) return 24;
  const { kind } = entry;
  if (kind.case === "text" || kind.case === "thinking") return 12 + 20 * lines(kind.value.text, 90);
  if (kind.case === "stderr") return 4 + 18 * lines(kind.value.text, 140);
  return 32;
}

function lines(text: string, width: number): number {
  let count = 1 + Math.floor(text.length / width);
  for (let at = text.indexOf("\n"); at >= 0 && count < 500; at = text.indexOf("\n", at + 1)) count += 1;
  return Math.min(500, count);
}
