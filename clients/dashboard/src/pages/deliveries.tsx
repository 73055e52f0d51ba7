import { type Delivery, Source, type Trigger } from "@reprise/client";
import { useState } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { Page } from "../app/page.tsx";
import { place, query } from "../app/router.ts";
import { hrefs } from "../app/routes.ts";
import { Button, Empty, Loading, State } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { type Column, List, MoreButton, NewChip } from "../components/list.tsx";
import { CopyBlock, clock } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useDeliveryRows } from "../data/lists.ts";
import { useQuery } from "../data/query.ts";
import { formatClock, formatExact, formatWhen, toMs } from "../lib/format.ts";
import { legible } from "../lib/legible.ts";
import { deliveryOutcome } from "../lib/words.ts";
import "../style/deliveries.css";
import { BulkReplay } from "./deliveries/bulk_replay.tsx";
import { FilterBar } from "./deliveries/filter_bar.tsx";
import { actorName, type DeliveryFilter, eventName, holds, isFiltered, readFilter, reasonOf } from "./deliveries/filters.ts";
import { useOlder } from "./deliveries/older.ts";
import { Words } from "./deliveries/path.tsx";

/** Everything that arrived, with what became of it and why; live. */
export default function DeliveriesPage() {
  const filter = readFilter();
  const list = useDeliveryRows(filter);
  const older = useOlder(list.rows, filter);
  const [replaying, setReplaying] = useState(false);
  useKeys("Deliveries", {
    "/": { label: "Find", run: () => document.querySelector<HTMLInputElement>("[data-find]")?.focus() },
    n: { label: "Show what is new", run: () => list.rows.release() },
    R: { label: "Replay by filter", run: () => setReplaying(true) },
  });
  const find = query("q");
  const all = list.rows.rows.value;
  const rows = all.filter((row) => holds(row, find));
  const search = place.value.query.toString();
  const ready = list.rows.ready.value;
  return (
    <Page title="Deliveries" aside={<NewChip rows={list.rows} what="delivery" many="deliveries" />}>
      <div class="bar wrap">
        <FilterBar rows={all} />
        <span class="grow" />
        <Button onClick={() => setReplaying(true)}>Replay these…</Button>
      </div>
      <ErrorNotice error={list.error.value ?? older.error} />
      <div class="sec">
        {!ready && !list.error.value && <Loading />}
        {ready && (
          <List
            title={find ? "Found" : "Newest first"}
            count={find ? `${rows.length} of the ${all.length} shown` : rows.length}
            rows={rows}
            columns={COLUMNS}
            template="cols-deliveries"
            idOf={(row) => row.id}
            hrefOf={(row) => `${hrefs.delivery(row.id)}${search ? `?${search}` : ""}`}
            empty={<Nothing filter={filter} find={find} />}
          />
        )}
        <MoreButton hasMore={older.hasMore} loading={older.loading} onMore={older.more} />
      </div>
      {replaying && <BulkReplay filter={filter} onClose={() => setReplaying(false)} />}
    </Page>
  );
}

const COLUMNS: Column<Delivery>[] = [
  {
    narrow: "first",
    cell: (row) => (
      <State {...deliveryOutcome(row.outcome)}>
        <span class="narrow">
          <Received row={row} />
        </span>
      </State>
    ),
  },
  { label: "received", narrow: "hide", cell: (row) => <Received row={row} /> },
  { label: "thread", narrow: "corner", cell: (row) => <span class="m">{legible(row.threadKey) || "–"}</span> },
  {
    label: "event",
    narrow: "line",
    cell: (row) => (
      <>
        {legible(eventName(row))}
        {actorName(row) && <span class="f3"> by {legible(actorName(row))}</span>}
      </>
    ),
  },
  { label: "why", narrow: "line", cell: (row) => <Why row={row} /> },
  { label: "trigger", narrow: "hide", cell: (row) => <span class="f2">{row.triggerSlug}</span> },
  { label: "run", narrow: "hide", right: true, cell: (row) => <RunOf row={row} /> },
];

function Received({ row }: { row: Delivery }) {
  const ms = toMs(row.receiveTime);
  if (ms === undefined) return <span>–</span>;
  const sameDay = new Date(ms).toDateString() === new Date(clock.value).toDateString();
  return (
    <time class="f2" dateTime={new Date(ms).toISOString()} title={formatExact(ms)}>
      {sameDay ? formatClock(ms) : formatWhen(ms, clock.value)}
    </time>
  );
}

/** The reason in words, or what the event is about when nothing stopped it. */
function Why({ row }: { row: Delivery }) {
  return (
    <span class="f2">
      <Words text={reasonOf(row) || row.title} />
    </span>
  );
}

/** A link inside a row that is a link itself cannot be; the run is a press away on the delivery's page. */
function RunOf({ row }: { row: Delivery }) {
  return row.runId ? <span class="id" title={row.runId}>{`…${row.runId.slice(-6)}`}</span> : <span class="f3">–</span>;
}

function Nothing({ filter, find }: { filter: DeliveryFilter; find: string }) {
  const { data } = useQuery(
    ["first-trigger"],
    async (signal) => (await reprise.triggers.listTriggers({ pageSize: 1 }, { signal })).triggers,
  );
  if (find) return <Empty text={`None of the deliveries shown has “${find}” in it.`} />;
  if (isFiltered(filter)) {
    return <Empty text="No delivery matches these filters." link={{ href: "/deliveries", label: "Show all deliveries" }} />;
  }
  const first = data?.[0];
  if (!data) return <Loading />;
  return first ? (
    <Empty
      text={`Nothing has arrived yet. Whatever a sender posts to a trigger's address appears here, also what is refused. Try ${first.slug}:`}
      command={<CopyBlock text={command(first)} />}
      link={{ href: hrefs.trigger(first.slug), label: `Set up the sender of ${first.slug}` }}
    />
  ) : (
    <Empty
      text="A delivery is one webhook, addressed to a trigger. There is no trigger yet."
      link={{ href: "/triggers", label: "Make a trigger" }}
    />
  );
}

/** A webhook signed as GitHub does it, whose secret was shown when the trigger was made; else the way without a sender. */
function command({ slug, source, webhookUrl }: Trigger): string {
  if (source !== Source.GITHUB || !webhookUrl) return `reprise trigger fire ${slug} --watch`;
  return [
    `body='{"zen":"Design for failure."}'`,
    `sig=$(printf %s "$body" | openssl dgst -sha256 -hmac "$SECRET" | sed 's/.* //')`,
    `curl -H "x-hub-signature-256: sha256=$sig" -H 'x-github-event: ping' -H 'content-type: application/json' \\`,
    `  -d "$body" '${webhookUrl}'`,
  ].join("\n");
}
