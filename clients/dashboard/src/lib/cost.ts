import { CostBasis, type Run, type Usage } from "@reprise/client";
import { formatMoney } from "./format.ts";
import { runEnded } from "./words.ts";

/**
 * What a run has cost as far as that is known. A live run is metered with each answer of the model: before the first one
 * nobody knows; a run that never started has no cost.
 */
export function costOf(run: Pick<Run, "state" | "startTime" | "usage">): number | undefined {
  if (!run.startTime || (!runEnded(run) && isEmpty(run.usage))) return undefined;
  return run.usage?.costUsd ?? 0;
}

/** The cost of a run as a list shows it, and what is to be known of the figure. */
export function costText(run: Pick<Run, "state" | "startTime" | "usage">): { text: string; title?: string } {
  const cost = costOf(run);
  if (cost === undefined) return run.startTime ? { text: "–", title: "The model has not answered yet" } : { text: "–" };
  if (run.usage?.costBasis === CostBasis.METERED) {
    const title = runEnded(run)
      ? "Estimated from its tokens: it ended before the agent told its cost"
      : "So far, estimated from its tokens; the agent tells its cost at the end";
    return { text: `~${formatMoney(cost)}`, title };
  }
  if (run.usage?.costBasis === CostBasis.UNKNOWN) return { text: `≥${formatMoney(cost)}`, title: "The true cost may be higher" };
  return { text: formatMoney(cost) };
}

function isEmpty(usage: Usage | undefined): boolean {
  if (!usage) return true;
  const tokens = usage.inputTokens + usage.outputTokens + usage.cacheReadTokens + usage.cacheWriteTokens;
  return usage.costUsd === 0 && tokens === 0n;
}
