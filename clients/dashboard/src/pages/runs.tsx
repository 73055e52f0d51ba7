import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FailureReason, Lineage, type Run, RunState } from "@reprise/client";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Page } from "../app/page.tsx";
import { query, setQuery } from "../app/router.ts";
import { hrefs } from "../app/routes.ts";
import { Empty, Loading, Segments, State } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { Choice } from "../components/form.tsx";
import { type Column, List, MoreButton, NewChip } from "../components/list.tsx";
import { Age, CopyBlock, Cost, Span } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useRunRows } from "../data/lists.ts";
import { useAction, useQuery } from "../data/query.ts";
import { noteListed } from "../data/trail.ts";
import { formatShare, shortId, toMs } from "../lib/format.ts";
import { legible } from "../lib/legible.ts";
import { failureWord, lineageWord, runEnded, runState } from "../lib/words.ts";
import { memoryWords, waitText } from "./run/words.ts";
import "../style/run.css";

type Shown = "all" | "live" | "waiting" | "succeeded" | "failed" | "cancelled";

const STATES: Record<Shown, readonly RunState[]> = {
  all: [],
  live: [RunState.RUNNING, RunState.CANCELLING],
  waiting: [RunState.QUEUED, RunState.WAITING],
  succeeded: [RunState.SUCCEEDED],
  failed: [RunState.FAILED],
  cancelled: [RunState.CANCELLED],
};

const LABELS: readonly { value: Shown; label: string }[] = [
  { value: "all", label: "All" },
  { value: "live", label: "Running" },
  { value: "waiting", label: "Waiting" },
  { value: "failed", label: "Failed" },
  { value: "succeeded", label: "Succeeded" },
  { value: "cancelled", label: "Cancelled" },
];

const LINEAGES = [Lineage.FRESH, Lineage.CONTINUED, Lineage.RESTORED, Lineage.RECOVERED, Lineage.RENEWED, Lineage.FORKED];
const REASONS = Object.values(FailureReason).filter(
  (one): one is FailureReason => typeof one === "number" && one !== FailureReason.UNSPECIFIED,
);

/** Every run, newest first, live. */
export default function RunsPage() {
  const shown = shownStates(query("state"));
  const triggerId = query("trigger");
  const lineage = LINEAGES.find((one) => lineageWord(one) === query("lineage"));
  const reason = shown === "failed" || shown === "all" ? REASONS.find((one) => failureWord(one) === query("reason")) : undefined;
  const list = useRunRows({ triggerId, states: [...STATES[shown]], pageSize: 100 });
  const fits = (run: Run) =>
    (shown === "all" || STATES[shown].includes(run.state)) &&
    (lineage === undefined || run.lineage === lineage) &&
    (reason === undefined || run.failure?.reason === reason);
  const rows = list.rows.rows.value.filter(fits);
  const key = [shown, triggerId, lineage, reason].join();
  const older = useOlder(key, list.rows, {
    triggerId,
    states: [...STATES[shown]],
    ...(lineage ? { lineages: [lineage] } : {}),
    ...(reason ? { failureReasons: [reason] } : {}),
  });
  const ready = list.rows.ready.value;
  const ids = rows.map((run) => run.id);
  useEffect(() => noteListed(ids), [ids.join()]);
  const filtered = key !== "all,,,";
  return (
    <Page title="Runs" aside={<NewChip rows={list.rows} what="run" />}>
      <Filters shown={shown} triggerId={triggerId} lineage={lineage} reason={reason} />
      <ErrorNotice error={list.error.value ?? older.error} />
      <div class="sec runs">
        {ready || list.error.value ? (
          <List
            title="Runs"
            count={older.hasMore ? `${rows.length}+` : rows.length}
            rows={rows}
            columns={COLUMNS}
            template="cols-runs"
            idOf={(run) => run.id}
            hrefOf={(run) => hrefs.run(run.id)}
            empty={ready ? <NoRuns filtered={filtered} /> : null}
          />
        ) : (
          <Loading />
        )}
        {ready && <MoreButton hasMore={older.hasMore} loading={older.busy} onMore={older.more} />}
      </div>
    </Page>
  );
}

function shownStates(value: string): Shown {
  return LABELS.find((one) => one.value === value)?.value ?? "all";
}

function Filters({
  shown,
  triggerId,
  lineage,
  reason,
}: {
  shown: Shown;
  triggerId: string;
  lineage: Lineage | undefined;
  reason: FailureReason | undefined;
}) {
  const { data: triggers = [] } = useQuery(
    [],
    async (signal) => (await reprise.triggers.listTriggers({ pageSize: 500 }, { signal })).triggers,
  );
  const known = triggers.map((one) => ({ value: one.slug, label: one.displayName || one.slug }));
  // A trigger that is gone can still be filtered by, for its runs outlive it.
  const options =
    triggerId === "" || known.some((one) => one.value === triggerId) ? known : [...known, { value: triggerId, label: triggerId }];
  return (
    <div class="bar runs-bar">
      <Segments
        label="State"
        options={LABELS}
        value={shown}
        onChange={(value) => setQuery({ state: value === "all" ? undefined : value, reason: undefined })}
      />
      <span class="grow" />
      <Choice label="All triggers" value={triggerId} options={options} onChange={(value) => setQuery({ trigger: value || undefined })} />
      <Choice
        label="Any memory"
        value={lineage === undefined ? "" : lineageWord(lineage)}
        options={LINEAGES.map((one) => ({ value: lineageWord(one), label: lineageWord(one) }))}
        onChange={(value) => setQuery({ lineage: value || undefined })}
      />
      {shown === "failed" && (
        <Choice
          label="Any reason"
          value={reason === undefined ? "" : failureWord(reason)}
          options={REASONS.map((one) => ({ value: failureWord(one), label: failureWord(one) }))}
          onChange={(value) => setQuery({ reason: value || undefined })}
        />
      )}
    </div>
  );
}

const COLUMNS: readonly Column<Run>[] = [
  {
    cell: (run) => {
      const amber = run.state === RunState.SUCCEEDED && run.warnings.length > 0;
      return (
        <State {...runState(run.state)} {...(amber ? { mark: "waiting" as const } : {})}>
          {runEnded(run) ? <Age ms={toMs(run.endTime)} /> : <Span from={toMs(run.startTime ?? run.createTime)} />}
        </State>
      );
    },
    narrow: "first",
  },
  { label: "thread", cell: (run) => <span class="m">{legible(run.threadKey) || "–"}</span> },
  {
    label: "",
    cell: (run) => (
      <>
        {legible(run.title) || (note(run) === "" && <span class="f3">no title</span>)}
        {note(run) !== "" && <span class="f2"> {legible(note(run))}</span>}
      </>
    ),
  },
  { label: "trigger", cell: (run) => <span class="f2">{run.triggerSlug}</span>, narrow: "hide" },
  {
    label: "memory",
    cell: (run) => <span class="f2">{memoryWords(run)}</span>,
    narrow: "hide",
  },
  { label: "cost", cell: (run) => <Cost run={run} />, right: true, narrow: "hide" },
  {
    label: "cache",
    cell: (run) => <span class="f2">{run.usage?.cacheShare === undefined ? "–" : formatShare(run.usage.cacheShare)}</span>,
    right: true,
    narrow: "hide",
  },
  {
    label: "took",
    cell: (run) => (
      <span class="f2">
        <Span from={toMs(run.startTime)} to={toMs(run.endTime)} />
      </span>
    ),
    right: true,
    narrow: "hide",
  },
  {
    label: "run",
    cell: (run) => (
      <span class="id" title={run.id}>
        {shortId(run.id)}
      </span>
    ),
    right: true,
    narrow: "corner",
  },
];

/** Why it failed, or what it waits for: the rest of a row's sentence. */
function note(run: Run): string {
  if (run.failure) return `${failureWord(run.failure.reason)}: ${run.failure.message}`;
  return runEnded(run) || run.startTime ? "" : waitText(run);
}

/** Pages of runs older than those that the stream brought. */
function useOlder(
  key: string,
  rows: { rows: { value: readonly Run[] }; append: (rows: readonly Run[]) => void },
  filter: { triggerId: string; states: RunState[]; lineages?: Lineage[]; failureReasons?: FailureReason[] },
) {
  const PAGE = 100;
  const [end, setEnd] = useState<{ key: string; reached: boolean }>();
  const read = useAction(async () => {
    const oldest = rows.rows.value.at(-1);
    const ms = toMs(oldest?.createTime);
    // A millisecond more, since several runs may be made within one; those that are here already are known by their ids.
    const answer = await reprise.runs.listRuns({
      ...filter,
      pageSize: PAGE,
      ...(ms === undefined ? {} : { endTime: timestampFromMs(Math.ceil(ms) + 1) }),
    });
    rows.append(answer.runs);
    if (answer.nextPageToken === "") setEnd({ key, reached: true });
  });
  const few = useMemo(() => rows.rows.value.length < PAGE, [rows.rows.value]);
  const filteredHere = filter.lineages !== undefined || filter.failureReasons !== undefined;
  return {
    hasMore: !(end?.key === key && end.reached) && (!few || filteredHere),
    busy: read.busy,
    error: read.error,
    more: () => void read.run(),
  };
}

function NoRuns({ filtered }: { filtered: boolean }) {
  if (filtered) return <Empty text="No run fits these filters." link={{ href: "/runs", label: "Show all runs" }} />;
  return (
    <Empty
      text="No run yet. A run starts when a webhook passes the rules of a trigger, or when you fire a trigger by hand."
      command={<CopyBlock text="reprise trigger fire <slug>" />}
      link={{ href: "/triggers", label: "Triggers, with the address that each one listens on" }}
    />
  );
}
