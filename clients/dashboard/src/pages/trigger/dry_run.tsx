import { type Delivery, DeliveryOutcome, DeliveryReason, type Evaluation, type Trigger } from "@reprise/client";
import { query, setQuery } from "../../app/router.ts";
import { hrefs } from "../../app/routes.ts";
import { Button, Empty, Loading, Segments, State } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { type Column, List } from "../../components/list.tsx";
import { CopyBlock, When } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useQuery } from "../../data/query.ts";
import { plural, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { deliveryOutcome, reasonWord } from "../../lib/words.ts";
import { type Draft, toTrigger } from "./draft.ts";

const COUNTS = ["50", "200", "500"] as const;

/** A delivery with what became of it and what would become of it now. */
interface Row {
  evaluation: Evaluation;
  delivery: Delivery | undefined;
}

/** The last deliveries, by the rules that are in the form. */
export function DryRun({ trigger, draft, dirty }: { trigger: Trigger; draft: Draft; dirty: boolean }) {
  const count = Number(COUNTS.find((one) => one === query("count")) ?? COUNTS[0]);
  const { data, error, loading, reload } = useQuery(["dry", trigger.id, trigger.etag, JSON.stringify(draft), count], async (signal) => {
    const [answer, listed] = await Promise.all([
      reprise.triggers.evaluateTrigger({ trigger: { ...toTrigger(draft), id: trigger.id }, deliveryCount: count }, { signal }),
      reprise.triggers.listDeliveries({ triggerId: trigger.id, pageSize: count }, { signal }),
    ]);
    return { rows: changedFirst(answer.evaluations, listed.deliveries), changed: answer.changedCount };
  });
  return (
    <>
      <div class="bar">
        <Segments
          label="How many deliveries"
          options={COUNTS.map((one) => ({ value: one, label: `last ${one}` }))}
          value={String(count) as (typeof COUNTS)[number]}
          onChange={(value) => setQuery({ count: value === COUNTS[0] ? undefined : value })}
        />
        <span class="grow" />
        <Button busy={loading} onClick={reload}>
          Run again
        </Button>
      </div>
      <div class="sec first">
        <ErrorNotice error={error} onRetry={reload} />
        <p class="f2 dry-summary" role="status">
          {data && summary(data.rows.length, data.changed, dirty)}
        </p>
        {!data && loading && <Loading />}
        {data && (
          <List
            title="Deliveries"
            count={data.rows.length}
            rows={data.rows}
            columns={COLUMNS}
            template="cols-dry"
            idOf={(row) => row.evaluation.deliveryId}
            hrefOf={(row) => hrefs.delivery(row.evaluation.deliveryId)}
            empty={
              <Empty
                text="No delivery of this trigger is kept, so there is nothing to try the rules on. Fire it once, or send a webhook."
                command={<CopyBlock text={`reprise trigger fire ${trigger.slug} --explain`} />}
              />
            }
          />
        )}
      </div>
    </>
  );
}

/** What changes stands first, else the order stays. */
export function changedFirst(evaluations: readonly Evaluation[], deliveries: readonly Delivery[]): Row[] {
  const known = new Map(deliveries.map((one) => [one.id, one]));
  const rows = evaluations.map((evaluation) => ({ evaluation, delivery: known.get(evaluation.deliveryId) }));
  return [...rows.filter((row) => row.evaluation.changed), ...rows.filter((row) => !row.evaluation.changed)];
}

function summary(count: number, changed: number, dirty: boolean): string {
  const rules = dirty ? "your changes" : "the saved rules";
  if (count === 0) return "";
  if (changed === 0) return `By ${rules} all ${plural(count, "delivery", "deliveries")} end as they did`;
  return `By ${rules} ${changed} of ${plural(count, "delivery", "deliveries")} would end otherwise`;
}

function Ended({ outcome, reason }: { outcome: DeliveryOutcome; reason: DeliveryReason }) {
  if (outcome === DeliveryOutcome.UNSPECIFIED) return <span class="f3">not judged</span>;
  return <State {...deliveryOutcome(outcome)}>{reason === DeliveryReason.UNSPECIFIED ? undefined : reasonWord(reason)}</State>;
}

const COLUMNS: readonly Column<Row>[] = [
  {
    label: "",
    narrow: "first",
    cell: ({ delivery }) => (
      <span class="f2">
        <When ms={toMs(delivery?.receiveTime)} />
      </span>
    ),
  },
  {
    label: "event",
    narrow: "line",
    cell: ({ delivery }) =>
      delivery ? (
        <>
          {legible([delivery.eventKind, delivery.action].filter(Boolean).join(".") || "event")}{" "}
          <span class="f3">{delivery.actor?.login ? `by ${legible(delivery.actor.login)}` : ""}</span>
        </>
      ) : (
        <span class="f3">–</span>
      ),
  },
  {
    label: "then",
    narrow: "line",
    cell: ({ evaluation }) => <Ended outcome={evaluation.outcomeThen} reason={evaluation.reasonThen} />,
  },
  {
    label: "now",
    narrow: "line",
    cell: ({ evaluation }) =>
      evaluation.changed ? (
        <b class="now" title={evaluation.message}>
          <Ended outcome={evaluation.outcomeNow} reason={evaluation.reasonNow} />
        </b>
      ) : (
        <span class="f3 wide" title={evaluation.message}>
          the same
        </span>
      ),
  },
  {
    label: "thread",
    narrow: "line",
    cell: ({ evaluation }) => <Thread evaluation={evaluation} />,
  },
];

const BROKEN: readonly DeliveryReason[] = [DeliveryReason.FILTER_FAILED, DeliveryReason.THREAD_KEY_FAILED];

function Thread({ evaluation }: { evaluation: Evaluation }) {
  const { threadKeyThen: then, threadKeyNow: now, message } = evaluation;
  if (BROKEN.includes(evaluation.reasonNow)) return <span class="c-red">{message}</span>;
  // What is stopped before its thread is read has none, which is no change of it.
  if (now === "" && evaluation.outcomeNow !== DeliveryOutcome.QUEUED) return <code class="f3">{legible(then) || "none"}</code>;
  if (then === now) return <code class="f2">{legible(now) || "none"}</code>;
  return (
    <code>
      <s class="f3">{legible(then) || "none"}</s> {legible(now) || "none"}
    </code>
  );
}
