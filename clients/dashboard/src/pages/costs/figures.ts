import { Lineage, type UsageRow } from "@reprise/client";
import { formatMoney, plural } from "../../lib/format.ts";

const CONTINUED = new Set([Lineage.CONTINUED, Lineage.RESTORED, Lineage.FORKED]);

/** Whether a row is of runs that went on with a conversation. */
export function isContinued(row: Pick<UsageRow, "lineage">): boolean {
  return CONTINUED.has(row.lineage);
}

/** The sum of what rows cost. */
export function totalCost(rows: readonly UsageRow[]): number {
  return rows.reduce((sum, row) => sum + (row.usage?.costUsd ?? 0), 0);
}

/** The share of all input that was read from the prompt cache, over all rows; undefined without any input. */
export function cacheShare(rows: readonly UsageRow[]): number | undefined {
  let [read, all] = [0, 0];
  for (const { usage } of rows) {
    if (!usage) continue;
    read += Number(usage.cacheReadTokens);
    all += Number(usage.cacheReadTokens + usage.cacheWriteTokens + usage.inputTokens);
  }
  return all > 0 ? read / all : undefined;
}

/** A saving as it is shown. */
export interface Saving {
  kind: "continuing" | "not starting";
  label: string;
  value: string;
  rest: string;
}

/** Both savings of a row; "unknown" where no fresh run stands behind the median. */
export function savings(row: UsageRow | undefined): Saving[] {
  const known = (row?.basisCount ?? 0) > 0;
  const money = (usd: number | undefined) => (known && usd !== undefined ? formatMoney(usd) : "unknown");
  const basis = known ? "" : "no fresh run to compare";
  return [
    {
      kind: "continuing",
      label: "Saved by continuing",
      value: money(row?.savedUsd),
      rest: basis || plural(row?.continuedCount ?? 0, "continued run"),
    },
    {
      kind: "not starting",
      label: "Saved by not starting",
      value: money(row?.notSpentUsd),
      rest: basis || plural(row?.notStartedCount ?? 0, "delivery", "deliveries"),
    },
  ];
}

/** What one run of a row cost on average; undefined without runs. */
export function perRun(row: UsageRow): number | undefined {
  return row.runCount > 0 ? (row.usage?.costUsd ?? 0) / row.runCount : undefined;
}
