import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Lineage, UsageGroup, type UsageRow } from "@reprise/client";
import type { ComponentChildren } from "preact";
import { hrefs } from "../../app/routes.ts";
import { Loading, Meter, Segments } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { type Column, List, MoreButton } from "../../components/list.tsx";
import { Money } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { usePages } from "../../data/query.ts";
import { formatCount, formatMoney, formatShare } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { lineageWord } from "../../lib/words.ts";
import { perRun, savings } from "./figures.ts";

/** What a table of costs can be cut by. */
export const BREAKDOWNS = [
  { value: "trigger", label: "Triggers" },
  { value: "thread", label: "Threads" },
  { value: "model", label: "Models" },
  { value: "lineage", label: "Memory" },
] as const;

/** Name of a cut. */
export type BreakdownName = (typeof BREAKDOWNS)[number]["value"];

/** Time, zone and trigger of a query. */
export interface Bounds {
  startTime: Timestamp;
  endTime: Timestamp;
  timeZone: string;
  triggerId: string;
}

const GROUPS: Record<BreakdownName, UsageGroup> = {
  trigger: UsageGroup.TRIGGER,
  thread: UsageGroup.SESSION,
  model: UsageGroup.MODEL,
  lineage: UsageGroup.LINEAGE,
};

interface Props {
  by: BreakdownName;
  bounds: Bounds;
  deps: readonly unknown[];
  onBy: (by: BreakdownName) => void;
}

/** The same money, cut by trigger, thread, model, or how runs got their memory; the dearest first. Only the one shown is read. */
export function Breakdown({ by, bounds, deps, onBy }: Props) {
  const pages = usePages(["breakdown", by, ...deps], async (pageToken, signal) => {
    const answer = await reprise.runs.queryUsage({ ...bounds, groupBy: [GROUPS[by]], pageSize: 50, pageToken }, { signal });
    return { items: answer.rows, next: answer.nextPageToken };
  });
  const most = Math.max(...pages.items.map((row) => row.usage?.costUsd ?? 0), 0);
  const label = BREAKDOWNS.find((one) => one.value === by)?.label ?? "";
  return (
    <div class="sec">
      <div class="tools">
        <Segments label="Cut by" options={BREAKDOWNS} value={by} onChange={onBy} />
      </div>
      <ErrorNotice error={pages.error} />
      {pages.loading && pages.items.length === 0 ? (
        <Loading />
      ) : (
        <List
          title={label}
          count={pages.items.length}
          rows={pages.items}
          columns={columns(by, most)}
          template={by === "trigger" ? "cols-costs-trigger" : "cols-costs"}
          idOf={keyOf}
          hrefOf={hrefOf}
          empty={<p class="f3 none">Nothing in this time.</p>}
        />
      )}
      <MoreButton hasMore={pages.hasMore} loading={pages.loading} onMore={pages.more} />
    </div>
  );
}

const keyOf = (row: UsageRow) => `${row.triggerId} ${row.sessionId} ${row.model} ${row.lineage}`;

function hrefOf(row: UsageRow): string | undefined {
  if (row.sessionId) return hrefs.session(row.sessionId);
  return row.triggerSlug ? hrefs.trigger(row.triggerSlug) : undefined;
}

function columns(by: BreakdownName, most: number): Column<UsageRow>[] {
  const number = (label: string, cell: (row: UsageRow) => ComponentChildren): Column<UsageRow> => ({
    label,
    cell,
    right: true,
    narrow: "hide",
  });
  return [
    { narrow: "first", cell: (row) => <Name row={row} by={by} /> },
    {
      label: "share",
      narrow: "line",
      cell: (row) => <Meter value={row.usage?.costUsd ?? 0} max={most > 0 ? most * 1.26 : 1} label="Share of the dearest" />,
    },
    { label: "cost", right: true, narrow: "corner", cell: (row) => <Money usd={row.usage?.costUsd ?? 0} /> },
    number("runs", (row) => <span class="f2">{formatCount(row.runCount)}</span>),
    number("a run", (row) => (
      <span class="f2">
        <Money usd={perRun(row)} />
      </span>
    )),
    number("continued", (row) => <span class="f2">{row.runCount > 0 ? formatShare(row.continuedCount / row.runCount) : "–"}</span>),
    number("cache", (row) => <span class="f2">{row.usage?.cacheShare === undefined ? "–" : formatShare(row.usage.cacheShare)}</span>),
    ...(by === "trigger"
      ? [
          number("saved", (row) => <span class="f2">{savings(row)[0]?.value}</span>),
          number("not spent", (row) => <span class="f2">{row.notStartedCount === 0 ? formatMoney(0) : savings(row)[1]?.value}</span>),
        ]
      : []),
  ];
}

function Name({ row, by }: { row: UsageRow; by: BreakdownName }) {
  if (by === "trigger") return <span>{row.triggerSlug || "deleted trigger"}</span>;
  if (by === "model") return <span class="m">{row.model || "unknown"}</span>;
  if (by === "lineage") return <span>{row.lineage === Lineage.UNSPECIFIED ? "never started" : lineageWord(row.lineage)}</span>;
  return row.threadKey ? <span class="m">{legible(row.threadKey)}</span> : <span class="f2">no thread</span>;
}
