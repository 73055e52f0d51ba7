import type { JournalEntry, Run, Usage } from "@reprise/client";
import { runEnded } from "../../lib/words.ts";

/** Each answer of the model is followed by what was used so far; further back nothing newer can be. */
const LOOKED_AT = 500;

/**
 * A live run with what it has used by now. The run was told when something of note changed; the newest entry of its present
 * attempt is newer than that.
 */
export function withLiveUsage(run: Run | undefined, entries: readonly JournalEntry[]): Run | undefined {
  if (!run || runEnded(run)) return run;
  for (let at = entries.length - 1; at >= Math.max(0, entries.length - LOOKED_AT); at -= 1) {
    const entry = entries[at];
    if (entry?.kind.case !== "usage") continue;
    if (entry.attempt !== run.attempt) return run;
    const { usage, contextTokens, contextWindowTokens } = entry.kind.value;
    if (!usage) return run;
    const before = run.attempts.filter((attempt) => attempt.number < entry.attempt);
    return { ...run, contextTokens, contextWindowTokens, usage: before.reduce((sum, one) => plus(sum, one.usage), usage) };
  }
  return run;
}

/** Both together; the share of the cache is that of the later one, as it is for a run. */
function plus(now: Usage, before: Usage | undefined): Usage {
  if (!before) return now;
  return {
    ...now,
    inputTokens: now.inputTokens + before.inputTokens,
    outputTokens: now.outputTokens + before.outputTokens,
    cacheReadTokens: now.cacheReadTokens + before.cacheReadTokens,
    cacheWriteTokens: now.cacheWriteTokens + before.cacheWriteTokens,
    costUsd: now.costUsd + before.costUsd,
  };
}
