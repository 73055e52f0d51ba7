import { Lineage, type Run, RunKind, type Session } from "@reprise/client";
import { type Fact, Facts } from "../../components/basics.tsx";
import { Money } from "../../components/text.tsx";
import { formatCount, formatMoney, formatShare, plural } from "../../lib/format.ts";

/** The figures of a thread. */
export function SessionFacts({
  session,
  runs,
  savedUsd,
  waiting,
}: {
  session: Session;
  runs: readonly Run[];
  savedUsd: number | undefined;
  waiting: Run | undefined;
}) {
  const cost = session.usage?.costUsd ?? 0;
  const facts: Fact[] = [
    { label: "Runs", value: formatCount(session.runCount), rest: beginnings(runs) },
    { label: "Cost", value: <Money usd={cost} />, rest: instead(cost, savedUsd) },
    {
      label: "Cache health",
      value: session.lastCacheShare === undefined ? "–" : formatShare(session.lastCacheShare, 1),
      rest: session.lastCacheShare === undefined ? "no continued turn yet" : "of the last turn",
    },
    { label: "Context", value: formatCount(session.contextTokens), rest: ofWindow(runs) },
    { label: "Waiting", value: formatCount(session.queuedRunCount), rest: session.queuedRunCount > 0 ? waiting?.wait?.message : undefined },
  ];
  return <Facts facts={facts} />;
}

/** `1 fresh, 3 continued, 1 compaction`. */
export function beginnings(runs: readonly Run[]): string {
  const turns = runs.filter((run) => run.kind !== RunKind.COMPACTION);
  const continued = turns.filter((run) => run.lineage === Lineage.CONTINUED || run.lineage === Lineage.RESTORED).length;
  const begun = turns.filter((run) => run.lineage !== Lineage.UNSPECIFIED).length - continued;
  const words = [
    begun > 0 ? `${begun} fresh` : "",
    continued > 0 ? `${continued} continued` : "",
    runs.length > turns.length ? plural(runs.length - turns.length, "compaction") : "",
  ];
  return words.filter(Boolean).join(", ");
}

/** What it would have cost without memory, where the server can tell. */
function instead(cost: number, saved: number | undefined): string | undefined {
  if (saved === undefined || Math.abs(saved) < 0.00005) return undefined;
  return saved > 0
    ? `instead of about ${formatMoney(cost + saved)} without memory`
    : `about ${formatMoney(-saved)} more than without memory`;
}

function ofWindow(runs: readonly Run[]): string | undefined {
  const window = runs.find((run) => run.contextWindowTokens > 0n)?.contextWindowTokens;
  return window === undefined ? "tokens" : `of ${formatCount(window)}`;
}
