import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Delivery, DeliveryOutcome, Source, type Trigger, UsageBucket, UsageGroup, type UsageRow } from "@reprise/client";
import { useEffect, useMemo } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { Page } from "../app/page.tsx";
import { navigate, query, setQuery } from "../app/router.ts";
import { hrefs } from "../app/routes.ts";
import { ButtonLink, Empty, Loading, Segments, Sparkline, State } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { Choice, Find } from "../components/form.tsx";
import { type Column, List, MoreButton, RowAction, RowActions } from "../components/list.tsx";
import { Age, CopyBlock, Money, When } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useDeliveryRows } from "../data/lists.ts";
import { useAction, usePages, useQuery } from "../data/query.ts";
import { formatCount, formatShare, plural, toMs } from "../lib/format.ts";
import { legible } from "../lib/legible.ts";
import { deliveryOutcome, sourceName } from "../lib/words.ts";
import { newTriggerHref } from "./trigger/address.ts";
import { byTrigger, lastDays, successRate, type TriggerUsage } from "./triggers/usage.ts";
import "../style/triggers.css";

const DAYS = 7;
const SOURCES = [Source.GITHUB, Source.LINEAR, Source.CLICKUP, Source.STANDARD_WEBHOOKS, Source.GENERIC_HMAC, Source.MANUAL] as const;

interface Row {
  trigger: Trigger;
  usage: TriggerUsage | undefined;
  last: Delivery | undefined;
}

/** Every trigger with what it did this week. */
export default function TriggersPage() {
  const source = SOURCES.find((one) => String(one) === query("source"));
  const state = query("state") === "disabled" ? "disabled" : query("state") === "enabled" ? "enabled" : "all";
  const words = query("q");
  const enabled = state === "all" ? {} : { enabled: state === "enabled" };
  const triggers = usePages([source, state], async (pageToken, signal) => {
    const request = { pageSize: 200, pageToken, source: source ?? Source.UNSPECIFIED, ...enabled };
    const page = await reprise.triggers.listTriggers(request, { signal });
    return { items: page.triggers, next: page.nextPageToken };
  });
  const usage = useUsage();
  const deliveries = useDeliveryRows({ pageSize: 500 });
  // The newest delivery of each trigger. Deliveries are no rows here, so that new ones move nothing and need not wait.
  const last = deliveries.rows.rows.value;
  const held = deliveries.rows.heldCount.value;
  useEffect(() => {
    if (held > 0) deliveries.rows.release();
  }, [held]);
  const newest = useMemo(() => {
    const map = new Map<string, Delivery>();
    for (const one of last) if (!map.has(one.triggerId)) map.set(one.triggerId, one);
    return map;
  }, [last]);
  const toggle = useAction(async (trigger: Trigger) => {
    await reprise.triggers.updateTrigger({ trigger: { id: trigger.id, enabled: !(trigger.enabled ?? true) } });
    triggers.reload();
  });
  useKeys("Triggers", { n: { label: "New trigger", run: () => void navigate(newTriggerHref) } });
  const rows = triggers.items
    .filter((one) => words === "" || `${one.slug} ${one.displayName}`.toLowerCase().includes(words.toLowerCase()))
    .map((trigger): Row => ({ trigger, usage: usage.data?.get(trigger.id), last: newest.get(trigger.id) }));
  const filtered = source !== undefined || state !== "all" || words !== "";
  return (
    <Page title="Triggers">
      <div class="bar">
        <Segments
          label="State"
          options={[
            { value: "all", label: "all" },
            { value: "enabled", label: "enabled" },
            { value: "disabled", label: "disabled" },
          ]}
          value={state}
          onChange={(value) => setQuery({ state: value === "all" ? undefined : value })}
        />
        <Choice
          label="All sources"
          value={source === undefined ? "" : String(source)}
          options={SOURCES.map((one) => ({ value: String(one), label: sourceName(one) }))}
          onChange={(value) => setQuery({ source: value })}
        />
        <Find label="Find a trigger" value={words} onInput={(q) => setQuery({ q })} />
        <span class="grow" />
        <ButtonLink primary href={newTriggerHref}>
          New trigger
        </ButtonLink>
      </div>
      <div class="sec first">
        <ErrorNotice error={triggers.error} onRetry={triggers.reload} />
        <ErrorNotice error={usage.error} onRetry={usage.reload} />
        <ErrorNotice error={toggle.error} />
        {triggers.loading && triggers.items.length === 0 && !triggers.error && <Loading />}
        {(!triggers.loading || triggers.items.length > 0) && !(triggers.error && rows.length === 0) && (
          <List
            title="Triggers"
            count={triggers.hasMore ? `${rows.length}+` : rows.length}
            rows={rows}
            columns={columns((trigger) => void toggle.run(trigger))}
            template="cols-triggers"
            idOf={(row) => row.trigger.id}
            hrefOf={(row) => hrefs.trigger(row.trigger.id)}
            empty={<Nothing filtered={filtered} />}
          />
        )}
        <MoreButton hasMore={triggers.hasMore} loading={triggers.loading} onMore={triggers.more} />
      </div>
    </Page>
  );
}

/** One question for all triggers, by day, so that no trigger is asked about by itself. */
function useUsage() {
  return useQuery<Map<string, TriggerUsage>>(
    ["usage"],
    async (signal) => {
      const days = lastDays(DAYS);
      const rows: UsageRow[] = [];
      let pageToken = "";
      do {
        const answer = await reprise.runs.queryUsage(
          {
            startTime: timestampFromMs(days[0] ?? 0),
            timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
            bucket: UsageBucket.DAY,
            groupBy: [UsageGroup.TRIGGER],
            pageSize: 500,
            pageToken,
          },
          { signal },
        );
        rows.push(...answer.rows);
        pageToken = answer.nextPageToken;
      } while (pageToken !== "" && rows.length < 20_000);
      return byTrigger(rows, days);
    },
    60_000,
  );
}

function columns(toggle: (trigger: Trigger) => void): readonly Column<Row>[] {
  return [
    {
      narrow: "corner",
      cell: ({ trigger }) => ((trigger.enabled ?? true) ? <State mark="ok" word="enabled" /> : <State mark="none" word="disabled" />),
    },
    {
      label: "trigger",
      narrow: "first",
      cell: ({ trigger }) => (
        <>
          <b>{trigger.slug}</b> <span class="f2">{legible(trigger.displayName ?? "")}</span>
        </>
      ),
    },
    {
      label: "source",
      narrow: "line",
      cell: (row) => (
        <span class="f2" title={sourceName(row.trigger.source)}>
          {sourceName(row.trigger.source)}
          <span class="narrow">
            {" "}
            · <LastFire row={row} />
            {row.usage && row.usage.runCount > 0 && (
              <>
                {" "}
                · <Money usd={row.usage.costUsd} />
              </>
            )}
          </span>
        </span>
      ),
    },
    { label: "last fire", narrow: "hide", cell: (row) => <LastFire row={row} /> },
    {
      label: "this week",
      narrow: "hide",
      cell: ({ usage }) =>
        usage && usage.runCount > 0 ? <Sparkline values={usage.days} label={`Runs a day: ${usage.days.join(", ")}`} /> : null,
    },
    {
      label: "runs",
      right: true,
      narrow: "hide",
      cell: ({ usage }) => <span class="f2">{usage ? formatCount(usage.runCount) : "–"}</span>,
    },
    { label: "succeeded", right: true, narrow: "hide", cell: ({ usage }) => <Rate usage={usage} /> },
    {
      label: "cost",
      right: true,
      narrow: "hide",
      cell: ({ usage }) => (usage && usage.runCount > 0 ? <Money usd={usage.costUsd} /> : <span class="f3">–</span>),
    },
    {
      label: "",
      narrow: "hide",
      cell: ({ trigger }) => (
        <RowActions>
          <RowAction label={(trigger.enabled ?? true) ? "Disable" : "Enable"} onClick={() => toggle(trigger)} />
        </RowActions>
      ),
    },
  ];
}

function LastFire({ row: { last, usage, trigger } }: { row: Row }) {
  if (last) {
    const { word } = deliveryOutcome(last.outcome);
    const plain = last.outcome === DeliveryOutcome.QUEUED || last.outcome === DeliveryOutcome.COALESCED;
    return (
      <>
        <Age ms={toMs(last.receiveTime)} suffix=" ago" />{" "}
        <span class={last.outcome === DeliveryOutcome.REJECTED ? "c-red" : "f3"}>{plain ? last.eventKind : word}</span>
      </>
    );
  }
  if (usage?.lastDay !== undefined) return <When ms={usage.lastDay} />;
  return <span class="f3">{trigger.source === Source.MANUAL ? "not fired yet" : "nothing arrived yet"}</span>;
}

function Rate({ usage }: { usage: TriggerUsage | undefined }) {
  const rate = usage && successRate(usage);
  if (usage === undefined || rate === undefined) return <span class="f3">–</span>;
  return (
    <span class={usage.failedCount > 0 ? "c-red" : "f2"} title={`${plural(usage.failedCount, "run")} failed`}>
      {formatShare(rate)}
    </span>
  );
}

function Nothing({ filtered }: { filtered: boolean }) {
  if (filtered) return <Empty text="No trigger is like this." link={{ href: "/triggers", label: "All triggers" }} />;
  return (
    <Empty
      text="A trigger says which webhooks of one sender may do something, which conversation each belongs to, and what the agent is told. Make one here, or from a shell:"
      command={<CopyBlock text={'reprise trigger create reviews --source github --prompt "Review the pull request."'} />}
      link={{ href: newTriggerHref, label: "New trigger" }}
    />
  );
}
