import { watchRunEvents } from "@reprise/client";
import { reprise } from "./api.ts";
import type { RunLogSource } from "./run_log.ts";

/** A run as the API tells it. */
export function apiSource(runId: string, includeRaw: boolean): RunLogSource {
  return {
    // A page looks for its server as long as it is open.
    watch: (options) => watchRunEvents(reprise.runs, runId, { ...options, includeRaw, reachWithinMs: Number.POSITIVE_INFINITY }),
    page: async ({ before, after, kinds, size }, signal) => {
      const newestFirst = after === undefined;
      const position =
        before !== undefined
          ? { case: "beforeSequence" as const, value: before }
          : { case: "afterSequence" as const, value: Math.max(0, after ?? 0) };
      const answer = await reprise.runs.listJournalEntries(
        {
          runId,
          kinds: [...kinds],
          newestFirst,
          includeRaw,
          pageSize: size,
          ...(before === undefined && after === undefined ? {} : { position }),
        },
        { signal },
      );
      return { entries: newestFirst ? answer.entries.toReversed() : answer.entries, more: answer.nextPageToken !== "" };
    },
  };
}
