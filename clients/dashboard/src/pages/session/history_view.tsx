import type { Delivery, Run, Session } from "@reprise/client";
import { hrefs } from "../../app/routes.ts";
import { Empty, State } from "../../components/basics.tsx";
import { type Column, List, NewChip } from "../../components/list.tsx";
import { CopyBlock, Cost, clock, Span, When } from "../../components/text.tsx";
import type { LiveRows } from "../../data/rows.ts";
import { formatClock, formatDay, formatExact, formatShare, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { deliveryOutcome } from "../../lib/words.ts";
import { type HistoryRow, historyOf, shortState, whatBecame, whatCame, whyNot } from "./history.ts";

/** What happened in a thread, newest first. */
export function History({
  session,
  rows,
  deliveries,
  live,
}: {
  session: Session;
  rows: readonly Run[];
  deliveries: readonly Delivery[];
  live: LiveRows<Run>;
}) {
  const history = historyOf(rows, deliveries);
  const most = Math.max(...rows.map((run) => run.usage?.costUsd ?? 0), 0);
  return (
    <List
      title="History"
      rows={history}
      columns={columns(most)}
      template="cols-history"
      idOf={(row) => row.id}
      hrefOf={(row) => (row.run ? hrefs.run(row.run.id) : hrefs.delivery(row.id))}
      aside={live.heldCount.value > 0 ? <NewChip rows={live} what="run" /> : undefined}
      empty={<Nothing session={session} />}
    />
  );
}

function Nothing({ session }: { session: Session }) {
  if (!session.forkedFromSessionId) return <Empty text="Nothing has happened in this session yet, or its history is no longer kept." />;
  return (
    <Empty
      text="A copy is reached by its id alone: fire its trigger, replay a delivery or retry a run with it."
      command={<CopyBlock text={`reprise trigger fire ${session.triggerSlug} --session ${session.id} --prompt "…"`} />}
      link={{ href: `${hrefs.trigger(session.triggerId)}?tab=try&session=${session.id}`, label: "Fire it from here" }}
    />
  );
}

function columns(most: number): readonly Column<HistoryRow>[] {
  return [
    {
      narrow: "first",
      cell: (row) => (
        <span class="f2">
          <Moment ms={row.time} />
        </span>
      ),
    },
    { narrow: "corner", cell: (row) => <HowItStands row={row} /> },
    { narrow: "line", cell: (row) => <What row={row} /> },
    { narrow: "hide", cell: ({ run }) => (run?.usage && run.usage.costUsd > 0 ? <Compare value={run.usage.costUsd / most} /> : null) },
    {
      label: "cost",
      right: true,
      narrow: "hide",
      cell: ({ run }) => (run ? <Cost run={run} /> : null),
    },
    {
      label: "cache",
      right: true,
      narrow: "hide",
      cell: ({ run }) => (run?.usage?.cacheShare === undefined ? null : <span class="f2">{formatShare(run.usage.cacheShare)}</span>),
    },
  ];
}

/** Of today to the second, since a thread is followed closely; else as everywhere. */
function Moment({ ms }: { ms: number }) {
  if (formatDay(ms, clock.value) !== "Today") return <When ms={ms} />;
  return (
    <time dateTime={new Date(ms).toISOString()} title={formatExact(ms)}>
      {formatClock(ms)}
    </time>
  );
}

function HowItStands({ row: { run, deliveries } }: { row: HistoryRow }) {
  if (!run) return deliveries[0] ? <State {...deliveryOutcome(deliveries[0].outcome)} /> : null;
  const start = toMs(run.startTime);
  return <State {...shortState(run)}>{start === undefined ? undefined : <Span from={start} to={toMs(run.endTime)} />}</State>;
}

function What({ row: { run, deliveries } }: { row: HistoryRow }) {
  if (!run) {
    const [delivery] = deliveries;
    const why = delivery ? whyNot(delivery) : "";
    return (
      <span class="f2">
        {legible(whatCame(deliveries))}
        {why && legible(`, ${why}`)}
      </span>
    );
  }
  const [came, became] = [whatCame(deliveries) || run.requestedBy?.displayName || "", whatBecame(run)];
  return (
    <>
      {legible(came)} {came && became && <span class="f3">→</span>} {legible(became)}
    </>
  );
}

/** A bar as long as its run was dear. */
function Compare({ value }: { value: number }) {
  return <i class="cmp" style={{ "--v": `${Math.max(2, Math.round(64 * value))}px` }} />;
}
