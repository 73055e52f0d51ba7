import { useCallback, useMemo, useRef } from "preact/hooks";
import { narrow } from "../../app/narrow.ts";
import { query } from "../../app/router.ts";
import { Empty, Loading } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { Icon } from "../../components/icon.tsx";
import { Searched } from "../../components/marked.tsx";
import { VirtualList, type VirtualListHandle } from "../../components/virtual_list.tsx";
import type { RunLog } from "../../data/run_log.ts";
import { formatCount, toMs } from "../../lib/format.ts";
import { runEnded } from "../../lib/words.ts";
import { LogBar } from "./bar.tsx";
import { EntryRow } from "./entry.tsx";
import { Prose } from "./prose.tsx";
import { RawRow } from "./raw.tsx";
import { type Group, keyOf, type Row, Rows, rowOfSequence } from "./rows.ts";
import { type Following, hiddenGroups, useFollowing, useHidden, useHits, useLogKeys, useOpenRows, usePlaceInLog } from "./use_log.ts";
import { isCard, type LogView, opensByItself, type TimeMode } from "./view.ts";

/** The live log: everything that happened in the run, and what happens now. */
export function Log({ log, runId, raw }: { log: RunLog; runId: string; raw: boolean }) {
  const hidden = hiddenGroups();
  const time = query("time") as TimeMode;
  const searched = query("q");
  const run = log.run.value;
  const ended = run !== undefined && runEnded(run);
  const builder = useMemo(() => new Rows(), [log]);
  const rows = builder.update(log.entries.value, log.seams.value, hidden, raw);
  const list = useRef<VirtualListHandle>(null);

  const following = useFollowing(log, list);
  const opened = useOpenRows(log);
  const at = usePlaceInLog(log, rows, list, opened, ended, following);
  const hits = useHits(runId, searched, hidden, at.goTo);
  useHidden(log, hidden, at.current);

  const startMs = toMs(run?.startTime ?? run?.createTime);
  const hit = hits.sequence.value === undefined ? undefined : rowOfSequence(rows, hits.sequence.value)?.key;
  const { open, version, toggle } = opened;
  const view = useMemo<LogView>(() => {
    const isOpen = (row: Row) => open.isOpen(row, opensByItself(row, ended));
    return { runId, time, startMs, ended, isOpen, toggle, current: at.current, hit };
  }, [runId, time, startMs, ended, open, version, at.current, hit]);
  useLogKeys(log, following, opened, at, () => {
    const row = rows.find((one) => one.key === at.current);
    if (row && isCard(row)) toggle(row, !view.isOpen(row));
  });

  const partial = log.hasOlder.value || !log.attached.value || hidden.length > 0;
  return (
    <>
      <LogBar {...{ runId, counts: builder.counts, partial, hidden, hits, searched, time, raw }} />
      <ErrorNotice error={searched === "" ? undefined : hits.error.value} />
      <ErrorNotice error={log.ready.value ? log.error.value : undefined} />
      <Searched.Provider value={searched}>
        {rows.length === 0 ? (
          <div class="log">
            <Nothing log={log} hidden={hidden} />
          </div>
        ) : (
          <Entries {...{ log, rows, raw, view, hidden, following, list }} />
        )}
      </Searched.Provider>
      {!following.following && rows.length > 0 && <Pill ended={ended} following={following} />}
    </>
  );
}

interface EntriesProps {
  log: RunLog;
  rows: readonly Row[];
  raw: boolean;
  view: LogView;
  hidden: readonly Group[];
  following: Following;
  list: { current: VirtualListHandle | null };
}

function Entries({ log, rows, raw, view, hidden, following, list }: EntriesProps) {
  const attached = log.attached.value;
  const render = useCallback((row: Row) => (raw ? <RawRow row={row} view={view} /> : <EntryRow row={row} view={view} />), [view, raw]);
  return (
    <VirtualList
      items={rows}
      keyOf={keyOf}
      render={render}
      estimate={estimate}
      label="What happened"
      class="log"
      page={narrow.value}
      follow={following.following && attached}
      onFollow={following.follow}
      onNearStart={() => void log.older()}
      onNearEnd={() => void log.newer()}
      handle={list}
    >
      {attached && !raw && <Writing log={log} hidden={hidden} />}
    </VirtualList>
  );
}

/** Brings back to the end. */
function Pill({ ended, following: { jump, behind } }: { ended: boolean; following: Following }) {
  return (
    <button type="button" class="pill" onClick={() => void jump()}>
      <Icon name="down" class="c-copper" />
      {ended ? "Jump to the end" : "Jump to live"}
      {!ended && behind > 0 && <span class="f2">{formatCount(behind)} new</span>}
    </button>
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
