import type { JournalEntry, Run, Usage } from "@reprise/client";
import { runEnded } from "../../lib/words.ts";

/** Each answer of the model is followed by what was used so far; further back nothing newer can be. */
const LOOKED_AT = 500;

/**
 * A live run with what its present attempt has used by now. The run itself counts an attempt once it is over; until
 * then the journal says how far it is.
 */
export function withLiveUsage(run: Run | undefined, entries: readonly JournalEntry[]): Run | undefined {
  if (!run || runEnded(run)) return run;
  for (let at = entries.length - 1; at >= Math.max(0, entries.length - LOOKED_AT); at -= 1) {
    const entry = entries[at];
    if (entry?.kind.case !== "usage") continue;
    if (entry.attempt !== run.attempt) return run;
    const { usage, contextTokens, contextWindowTokens } = entry.kind.value;
    return { ...run, contextTokens, contextWindowTokens, ...(usage ? { usage: plus(run.usage, usage) } : {}) };
  }
  return run;
}

/** Both together; the share of the cache is that of the later one, as it is for a run. */
function plus(before: Usage | undefined, now: Usage): Usage {
  if (!before) return now;
  return {
    ...now,
    inputTokens: before.inputTokens + now.inputTokens,
    outputTokens: before.outputTokens + now.outputTokens,
    cacheReadTokens: before.cacheReadTokens + now.cacheReadTokens,
    cacheWriteTokens: before.cacheWriteTokens + now.cacheWriteTokens,
    costUsd: before.costUsd + now.costUsd,
  };
}
