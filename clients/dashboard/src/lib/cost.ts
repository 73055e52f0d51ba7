import type { Run, Usage } from "@reprise/client";
import { runEnded } from "./words.ts";

/**
 * What a run has cost as far as that is known. The server adds up an attempt when it ends, so that a live run without any
 * usage has a cost that nobody knows yet; a run that never started has none.
 */
export function costOf(run: Pick<Run, "state" | "startTime" | "usage">): number | undefined {
  if (!run.startTime || (!runEnded(run) && isEmpty(run.usage))) return undefined;
  return run.usage?.costUsd ?? 0;
}

function isEmpty(usage: Usage | undefined): boolean {
  if (!usage) return true;
  const tokens = usage.inputTokens + usage.outputTokens + usage.cacheReadTokens + usage.cacheWriteTokens;
  return usage.costUsd === 0 && tokens === 0n;
}
