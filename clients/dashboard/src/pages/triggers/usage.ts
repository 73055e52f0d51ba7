import type { UsageRow } from "@reprise/client";
import { toMs } from "../../lib/format.ts";

/** What a trigger did in the days that were asked about. */
export interface TriggerUsage {
  runCount: number;
  succeededCount: number;
  failedCount: number;
  notStartedCount: number;
  costUsd: number;
  /** Runs of each day, oldest first. */
  days: number[];
  /** Beginning of the last day with a run. */
  lastDay: number | undefined;
}

/** The rows of one question, by day and trigger, as one line a trigger. */
export function byTrigger(rows: readonly UsageRow[], days: readonly number[]): Map<string, TriggerUsage> {
  const out = new Map<string, TriggerUsage>();
  for (const row of rows) {
    const one = out.get(row.triggerId) ?? {
      runCount: 0,
      succeededCount: 0,
      failedCount: 0,
      notStartedCount: 0,
      costUsd: 0,
      days: days.map(() => 0),
      lastDay: undefined,
    };
    out.set(row.triggerId, one);
    one.runCount += row.runCount;
    one.succeededCount += row.succeededCount;
    one.failedCount += row.failedCount;
    one.notStartedCount += row.notStartedCount;
    one.costUsd += row.usage?.costUsd ?? 0;
    const start = toMs(row.bucketStartTime);
    if (start === undefined) continue;
    const at = days.findLastIndex((day) => day <= start);
    if (at >= 0) one.days[at] = (one.days[at] ?? 0) + row.runCount;
    if (row.runCount > 0) one.lastDay = Math.max(one.lastDay ?? 0, start);
  }
  return out;
}

/** Part of the finished runs that succeeded; undefined when none has finished. */
export function successRate(usage: Pick<TriggerUsage, "succeededCount" | "failedCount">): number | undefined {
  const finished = usage.succeededCount + usage.failedCount;
  return finished === 0 ? undefined : usage.succeededCount / finished;
}

/** Midnights of the last days, oldest first, today last. */
export function lastDays(count: number, now = new Date()): number[] {
  return Array.from({ length: count }, (_, at) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - (count - 1 - at)).getTime());
}
