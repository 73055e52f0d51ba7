import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type QueryUsageResponse, UsageBucket, UsageGroup, type UsageRow } from "@reprise/client";
import { useState } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { Page } from "../app/page.tsx";
import { query, setQuery } from "../app/router.ts";
import { Empty, type Fact, Facts, Loading, Segments } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { Choice } from "../components/form.tsx";
import { Plot } from "../components/plot.tsx";
import { CopyBlock, clock } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useQuery } from "../data/query.ts";
import { formatCount, formatMoney, formatShare, plural } from "../lib/format.ts";
import "../style/costs.css";
import { BREAKDOWNS, Breakdown, type BreakdownName } from "./costs/breakdown.tsx";
import { bucketName, dateOf, daysOf, intoBuckets, isZone, ownZone, RANGES, type Range, type RangeName, rangeOf } from "./costs/buckets.ts";
import { cacheShare, isContinued, type Saving, savings, totalCost } from "./costs/figures.ts";
import { Formula } from "./costs/formula.tsx";

const RANGE_LABELS: Record<RangeName, string> = { day: "24 h", week: "7 d", month: "30 d", quarter: "90 d" };

/** What the address says about the time: a named span, or two dates; and the zone whose days count. */
function readRange(now: number): { range: Range; name: RangeName | "dates"; from: string; to: string; zone: string } {
  const asked = query("zone");
  const zone = isZone(asked) ? asked : ownZone();
  const today = dateOf(now, zone);
  const [from, to] = [query("from"), query("to")];
  if (isDate(from) && isDate(to) && from <= to)
    return { range: daysOf(from, [to, today].sort()[0] ?? to, zone), name: "dates", from, to, zone };
  const name = (query("range") in RANGES ? query("range") : "week") as RangeName;
  const range = rangeOf(name, zone, now);
  return { range, name, from: dateOf(range.start, zone), to: today, zone };
}

function isDate(text: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));
}

/** What runs cost, by day, trigger, thread and model; what memory saves, and what was not started. */
export default function CostsPage() {
  const minute = Math.floor(clock.value / 60_000);
  const { range, name, from, to, zone } = readRange(minute * 60_000);
  const triggerId = query("trigger");
  const by = (BREAKDOWNS.some((one) => one.value === query("by")) ? query("by") : "trigger") as BreakdownName;
  const [formula, setFormula] = useState<Saving["kind"]>();
  const bounds = { startTime: timestampFromMs(range.start), endTime: timestampFromMs(range.end), timeZone: zone, triggerId };
  const key = [range.start, range.end, range.bucket, zone, triggerId];
  const buckets = useQuery(
    ["buckets", ...key],
    (signal) =>
      readAll({ ...bounds, bucket: range.bucket === "hour" ? UsageBucket.HOUR : UsageBucket.DAY, groupBy: [UsageGroup.LINEAGE] }, signal),
    60_000,
  );
  useKeys("Costs", {
    ...Object.fromEntries(
      (Object.keys(RANGES) as RangeName[]).map((one, at) => [
        `${at + 1}`,
        { label: `The last ${RANGE_LABELS[one]}`, run: () => choose(one) },
      ]),
    ),
    f: { label: "How savings are reckoned", run: () => setFormula("continuing") },
  });
  const nothing =
    buckets.data !== undefined && (buckets.data.total?.runCount ?? 0) === 0 && (buckets.data.total?.notStartedCount ?? 0) === 0;
  return (
    <Page title="Costs">
      <Filters name={name} from={from} to={to} zone={zone} triggerId={triggerId} />
      <ErrorNotice error={buckets.error} onRetry={buckets.reload} />
      <Strip answer={buckets.data} onFormula={setFormula} />
      {nothing ? (
        <div class="sec">
          <Empty
            text="Nothing ran in this time. What a run costs is reported by Claude and stands here as soon as it ends."
            command={<CopyBlock text="reprise trigger fire SLUG --watch" />}
            link={{ href: "/triggers", label: "Triggers" }}
          />
        </div>
      ) : (
        <>
          <Charts answer={buckets.data} range={range} zone={zone} />
          <Breakdown by={by} bounds={bounds} deps={key} onBy={(value) => setQuery({ by: value === "trigger" ? undefined : value })} />
        </>
      )}
      {formula && <Formula kind={formula} bounds={bounds} deps={key} onClose={() => setFormula(undefined)} />}
    </Page>
  );
}

/** Time, zone and trigger; each stands in the address. */
function Filters({ name, from, to, zone, triggerId }: { name: string; from: string; to: string; zone: string; triggerId: string }) {
  const triggers = useQuery(["triggers"], async (signal) => (await reprise.triggers.listTriggers({ pageSize: 500 }, { signal })).triggers);
  const slugs = new Set([...(triggers.data ?? []).map((one) => one.slug), ...(triggerId ? [triggerId] : [])]);
  return (
    <div class="bar wrap">
      <Segments
        label="Time"
        options={(Object.keys(RANGES) as RangeName[]).map((value) => ({ value, label: RANGE_LABELS[value] }))}
        value={name as RangeName}
        onChange={choose}
      />
      <span class="dates">
        <DateField label="From" value={from} max={to} onChange={(value) => setQuery({ from: value, to, range: undefined })} />
        <span class="f3">–</span>
        <DateField label="To" value={to} min={from} onChange={(value) => setQuery({ from, to: value, range: undefined })} />
      </span>
      <Choice
        label="All triggers"
        value={triggerId}
        options={[...slugs].sort().map((slug) => ({ value: slug, label: slug }))}
        onChange={(trigger) => setQuery({ trigger })}
      />
      <ZoneChoice zone={zone} />
    </div>
  );
}

function choose(range: RangeName): void {
  setQuery({ range: range === "week" ? undefined : range, from: undefined, to: undefined });
}

/** All rows of a query: 400 days by six ways to get a memory are five pages at most. */
async function readAll(request: Parameters<typeof reprise.runs.queryUsage>[0], signal: AbortSignal): Promise<QueryUsageResponse> {
  const first = await reprise.runs.queryUsage({ ...request, pageSize: 500 }, { signal });
  let next = first.nextPageToken;
  while (next) {
    const page = await reprise.runs.queryUsage({ ...request, pageSize: 500, pageToken: next }, { signal });
    first.rows.push(...page.rows);
    next = page.nextPageToken;
  }
  return first;
}

function DateField(props: { label: string; value: string; min?: string; max?: string; onChange: (value: string) => void }) {
  const { label, value, min, max, onChange } = props;
  return (
    <input
      type="date"
      class="input date"
      aria-label={label}
      value={value}
      min={min}
      max={max}
      onChange={(event) => isDate(event.currentTarget.value) && onChange(event.currentTarget.value)}
    />
  );
}

function ZoneChoice({ zone }: { zone: string }) {
  const settings = useQuery(["settings"], async (signal) => (await reprise.settings.getSettings({}, { signal })).settings);
  const own = ownZone();
  const names = [...new Set([own, settings.data?.sessions?.timeZone ?? "UTC", "UTC", zone])].filter(Boolean);
  return (
    <span class="zone">
      <Choice
        label={`${own}, here`}
        value={zone === own ? "" : zone}
        options={names.filter((name) => name !== own).map((name) => ({ value: name, label: name }))}
        onChange={(value) => setQuery({ zone: value })}
      />
    </span>
  );
}

/** The strip of figures; the two savings open their formula. */
function Strip({ answer, onFormula }: { answer: QueryUsageResponse | undefined; onFormula: (kind: Saving["kind"]) => void }) {
  const rows = answer?.rows ?? [];
  const [again, fresh] = [rows.filter(isContinued), rows.filter((row) => !isContinued(row))];
  const total = answer?.total;
  const facts: Fact[] = [
    {
      label: "Cost",
      value: answer ? formatMoney(total?.usage?.costUsd ?? 0) : "–",
      rest: total ? plural(total.runCount, "run") : "",
      below: total ? `${formatCount(total.failedCount)} failed` : "",
    },
    { label: "A fresh run", ...average(fresh, answer) },
    { label: "A continued run", ...average(again, answer) },
    ...savings(total).map((saving) => ({
      label: saving.label,
      value: answer ? saving.value : "–",
      rest: saving.rest,
      below: (
        <button type="button" class="plain how" onClick={() => onFormula(saving.kind)}>
          how it is reckoned
        </button>
      ),
    })),
  ];
  return <Facts top facts={facts} />;
}

function average(rows: readonly UsageRow[], answer: QueryUsageResponse | undefined): Pick<Fact, "value" | "rest" | "below"> {
  const count = rows.reduce((sum, row) => sum + row.runCount, 0);
  const share = cacheShare(rows);
  return {
    value: !answer || count === 0 ? "–" : formatMoney(totalCost(rows) / count),
    rest: answer ? `on average, ${plural(count, "run")}` : "",
    below: share === undefined ? "" : `cache ${formatShare(share, 1)}`,
  };
}

/** A round amount beside an axis, where the decimals of small amounts say nothing. */
function atTick(usd: number): string {
  return formatMoney(usd).replace(/(\.\d\d)00$/, "$1");
}

function Charts({ answer, range, zone }: { answer: QueryUsageResponse | undefined; range: Range; zone: string }) {
  if (!answer) {
    return (
      <div class="sec">
        <Loading />
      </div>
    );
  }
  const buckets = intoBuckets(answer.rows, range.starts);
  const positions = range.starts.map((start) => bucketName(start, range.bucket, zone));
  const every = range.bucket === "hour" ? "hour" : "day";
  const costs = (kept: (row: UsageRow) => boolean) => buckets.map((rows) => totalCost(rows.filter(kept)));
  return (
    <div class="sec charts">
      <figure>
        <h2>Cost by the {every}</h2>
        <Plot
          label={`Cost by the ${every}, fresh against continued`}
          positions={positions}
          format={atTick}
          series={[
            { label: "continued", kind: "bar", tone: "quiet", values: costs(isContinued) },
            { label: "fresh", kind: "bar", tone: "copper", values: costs((row) => !isContinued(row)) },
          ]}
        />
      </figure>
      <figure>
        <h2>Cache health</h2>
        <Plot
          label={`Share of input read from the prompt cache, by the ${every}`}
          positions={positions}
          format={(value) => formatShare(value)}
          series={[
            {
              label: "continued",
              kind: "line",
              tone: "green",
              share: true,
              values: buckets.map((rows) => cacheShare(rows.filter(isContinued)) ?? null),
            },
            {
              label: "fresh",
              kind: "line",
              tone: "copper",
              share: true,
              values: buckets.map((rows) => cacheShare(rows.filter((row) => !isContinued(row))) ?? null),
            },
          ]}
        />
      </figure>
    </div>
  );
}
