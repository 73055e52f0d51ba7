import { Code } from "@connectrpc/connect";
import { type Delivery, DeliveryOutcome, DeliveryView, type Run, RunState, type Trigger } from "@reprise/client";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { tight } from "../app/narrow.ts";
import { Page, PageHead, type PageProps } from "../app/page.tsx";
import { place, query, setQuery } from "../app/router.ts";
import { hrefs } from "../app/routes.ts";
import { Button, ButtonLink, Empty, Loading, Segments, State } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { clock, Id, Span } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { type Query, useQuery } from "../data/query.ts";
import { durationMs, formatBytes, formatExact, toMs } from "../lib/format.ts";
import { legible } from "../lib/legible.ts";
import { deliveryOutcome, runEnded, runState, type Shown, sourceName } from "../lib/words.ts";
import "../style/deliveries.css";
import { actorName, answerStatus, eventName, originWord, reasonOf } from "./deliveries/filters.ts";
import { Path, Words } from "./deliveries/path.tsx";
import { Headers, Payload } from "./deliveries/payload.tsx";
import { ReplayDialog } from "./deliveries/replay.tsx";
import { SideList } from "./deliveries/side_list.tsx";
import { sinceReceipt, wayOf } from "./deliveries/way.ts";

/** One delivery beside the list it stands in: which way it went, and why it stopped where it did. */
export default function DeliveryPage({ params }: PageProps) {
  const id = params["delivery"] ?? "";
  const read = useQuery(
    [id],
    async (signal) => (await reprise.triggers.getDelivery({ deliveryId: id, view: DeliveryView.FULL }, { signal })).delivery,
  );
  const delivery = read.data;
  const back = `/deliveries${place.value.query.size > 0 ? `?${place.value.query}` : ""}`;
  return (
    <Page
      title={delivery ? eventName(delivery) : <Id id={id} />}
      trail={[{ href: back, label: "Deliveries" }]}
      tab={delivery ? `${eventName(delivery)} ${delivery.threadKey}` : "Delivery"}
      {...(delivery ? { mark: deliveryOutcome(delivery.outcome).mark } : {})}
      aside={
        !tight.value && (
          <>
            older <kbd>j</kbd> &nbsp; newer <kbd>k</kbd>
          </>
        )
      }
    >
      <div class="split">
        {!tight.value && <SideList currentId={id} onChanged={read.reload} />}
        <article class="detail" aria-label="Delivery">
          {delivery ? <Detail key={id} delivery={delivery} read={read} /> : <Missing id={id} read={read} />}
        </article>
      </div>
    </Page>
  );
}

function Missing({ id, read }: { id: string; read: Query<Delivery | undefined> }) {
  if (!read.error) return <Loading />;
  if (read.error.code !== Code.NotFound) return <ErrorNotice error={read.error} onRetry={read.reload} />;
  return (
    <div class="sec">
      <Empty
        text={`There is no delivery ${id}. Deliveries are listed until their retention ends; how long that is, is a setting.`}
        link={{ href: "/deliveries", label: "All deliveries" }}
      />
    </div>
  );
}

/** A rule of the trigger stopped these; another rule might not have. */
const NOT_WANTED = new Set([DeliveryOutcome.FILTERED, DeliveryOutcome.SELF_AUTHORED]);

type Tab = "path" | "payload" | "headers";
const TABS: readonly Tab[] = ["path", "payload", "headers"];

function Detail({ delivery, read }: { delivery: Delivery; read: Query<Delivery | undefined> }) {
  const [replaying, setReplaying] = useState(false);
  const trigger = useQuery(["trigger", delivery.triggerId], async (signal) =>
    delivery.triggerId ? (await reprise.triggers.getTrigger({ triggerId: delivery.triggerId }, { signal })).trigger : undefined,
  );
  const run = useRun(delivery.runId);
  const asked = query("tab") as Tab;
  const tab = TABS.includes(asked) ? asked : "path";
  const replayable = trigger.error?.code !== Code.NotFound;
  const count = delivery.headers.length;
  useKeys("Delivery", {
    r: { label: "Replay", run: () => replayable && setReplaying(true) },
    p: { label: "Path", run: () => setQuery({ tab: undefined }) },
    b: { label: "Payload", run: () => setQuery({ tab: "payload" }) },
    h: { label: "Headers", run: () => setQuery({ tab: "headers" }) },
    "/": { label: "Find", run: () => document.querySelector<HTMLInputElement>("[data-find]")?.focus() },
  });
  return (
    <>
      <PageHead
        title={eventName(delivery)}
        detail={delivery.threadKey || delivery.title}
        state={<State {...stateOf(delivery, run.data)} />}
        buttons={
          <>
            {trigger.data && NOT_WANTED.has(delivery.outcome) && (
              <ButtonLink href={hrefs.trigger(delivery.triggerSlug)}>Try a filter</ButtonLink>
            )}
            {replayable && <Button onClick={() => setReplaying(true)}>Replay…</Button>}
          </>
        }
        meta={<Meta delivery={delivery} trigger={trigger.data} />}
      />
      <Links delivery={delivery} />
      <div class="bar tabs">
        <Segments
          label="What is shown"
          options={[
            { value: "path", label: "Path" },
            { value: "payload", label: "Payload", count: formatBytes(delivery.bodyBytes) },
            { value: "headers", label: "Headers", ...(count > 0 ? { count } : {}) },
          ]}
          value={tab}
          onChange={(value) => setQuery({ tab: value === "path" ? undefined : value })}
        />
      </div>
      <div class="body">
        <ErrorNotice error={read.error ?? run.error} onRetry={read.reload} />
        {tab === "path" && <Way delivery={delivery} run={run.data} trigger={trigger.data} />}
        {tab === "payload" && <Payload delivery={delivery} />}
        {tab === "headers" && <Headers headers={delivery.headers} loading={read.loading} />}
      </div>
      {replaying && <ReplayDialog delivery={delivery} trigger={trigger.data} onClose={() => setReplaying(false)} />}
    </>
  );
}

/** The outcome; while its run has not started, that it waits. */
function stateOf(delivery: Delivery, run: Run | undefined): Shown {
  const waits = run !== undefined && (run.state === RunState.QUEUED || run.state === RunState.WAITING);
  return waits && delivery.outcome === DeliveryOutcome.QUEUED ? runState(run.state) : deliveryOutcome(delivery.outcome);
}

/** The run behind a delivery, followed until it has ended. */
function useRun(runId: string): Query<Run | undefined> {
  const [ended, setEnded] = useState(false);
  const run = useQuery(
    ["run", runId],
    async (signal) => (runId ? (await reprise.runs.getRun({ runId }, { signal })).run : undefined),
    ended || !runId ? undefined : 2000,
  );
  useEffect(() => setEnded(run.data !== undefined && runEnded(run.data)), [run.data]);
  // A run may be gone before its delivery is.
  return run.error?.code === Code.NotFound ? { ...run, error: undefined } : run;
}

function Meta({ delivery, trigger }: { delivery: Delivery; trigger: Trigger | undefined }) {
  const status = answerStatus(delivery);
  const took = durationMs(delivery.ackDuration);
  return (
    <>
      <span>
        {status === undefined ? originWord(delivery.origin) : sourceName(delivery.source)} to{" "}
        {trigger ? <a href={hrefs.trigger(delivery.triggerSlug)}>{delivery.triggerSlug}</a> : delivery.triggerSlug || "no trigger"}
      </span>
      {actorName(delivery) && <span>by {legible(actorName(delivery))}</span>}
      <span>{formatExact(toMs(delivery.receiveTime) ?? 0)}</span>
      <Id id={delivery.id} />
      {status !== undefined && (
        <span>
          answered {status}
          {took !== undefined && took > 0 && ` in ${sinceReceipt(took)}`}
        </span>
      )}
      {delivery.url && /^https?:/.test(delivery.url) && (
        <a href={delivery.url} target="_blank" rel="noopener noreferrer">
          {legible(delivery.title) || "at the sender"}
        </a>
      )}
    </>
  );
}

/** Deliveries that this one repeats, and those that repeat it. */
function Links({ delivery }: { delivery: Delivery }) {
  const link = (id: string) => <Id key={id} id={id} href={`${hrefs.delivery(id)}${location.search}`} />;
  const lines: ComponentChildren[] = [];
  if (delivery.duplicateOfDeliveryId) lines.push(<span>repeats {link(delivery.duplicateOfDeliveryId)}</span>);
  if (delivery.replayOfDeliveryId) lines.push(<span>replay of {link(delivery.replayOfDeliveryId)}</span>);
  if (delivery.replayedByDeliveryIds.length > 0) {
    lines.push(<span class="ids">replayed as {delivery.replayedByDeliveryIds.map((id) => link(id))}</span>);
  }
  return lines.length > 0 ? <div class="meta links">{lines}</div> : null;
}

function Way({ delivery, run, trigger }: { delivery: Delivery; run: Run | undefined; trigger: Trigger | undefined }) {
  const steps = wayOf(delivery, run, clock.value);
  const reason = reasonOf(delivery);
  return (
    <>
      {delivery.steps.length === 0 && reason && (
        <p class="part">
          <Words text={reason} />
        </p>
      )}
      <Path
        steps={steps}
        trigger={trigger}
        walkedAt={toMs(delivery.receiveTime)}
        extra={{
          ...(delivery.providerDeliveryId ? { received: <span class="m">{delivery.providerDeliveryId}</span> } : {}),
          ...(delivery.sessionId
            ? {
                THREAD_KEY: (
                  <>
                    → session <Id id={delivery.sessionId} href={hrefs.session(delivery.sessionId)} />
                  </>
                ),
              }
            : {}),
          ...(delivery.duplicateOfDeliveryId
            ? { DEDUPE: <Id id={delivery.duplicateOfDeliveryId} href={hrefs.delivery(delivery.duplicateOfDeliveryId)} /> }
            : {}),
          ...(delivery.runId ? { run: <RunLink id={delivery.runId} run={run} /> } : {}),
        }}
      />
    </>
  );
}

function RunLink({ id, run }: { id: string; run: Run | undefined }) {
  return (
    <span class="run-of">
      <Id id={id} href={hrefs.run(id)} />
      {run && (
        <State {...runState(run.state)}>
          {run.startTime && <Span from={toMs(run.startTime)} to={runEnded(run) ? toMs(run.endTime) : undefined} />}
        </State>
      )}
    </span>
  );
}
