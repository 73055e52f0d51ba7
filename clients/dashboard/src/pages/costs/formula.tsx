import { UsageGroup } from "@reprise/client";
import { Button, Loading } from "../../components/basics.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { reprise } from "../../data/api.ts";
import { useQuery } from "../../data/query.ts";
import { formatCount } from "../../lib/format.ts";
import type { Bounds } from "./breakdown.tsx";
import { type Saving, savings } from "./figures.ts";

const WORDS = {
  continuing: {
    title: "Saved by continuing",
    formula: "saved = median cost of a fresh run × continued runs − what those really cost",
    why: "A run that continues its conversation need not read everything again, and what it re-reads comes from the prompt cache. What it would have cost otherwise nobody knows; the median of the same trigger's fresh runs in this time stands for it. It may be negative: long conversations cost more than a fresh start.",
  },
  "not starting": {
    title: "Saved by not starting",
    formula: "not spent = median cost of a run × deliveries stopped as own, a bot's or a loop's",
    why: "Comments of the agent itself, of bots, and of loops would each have been a run. What a filter or an author rule stopped for other reasons is not counted: it was never meant to run.",
  },
} as const;

/** The formula of a saving, with the numbers of each trigger. */
export function Formula({
  kind,
  bounds,
  deps,
  onClose,
}: {
  kind: Saving["kind"];
  bounds: Bounds;
  deps: readonly unknown[];
  onClose: () => void;
}) {
  const { title, formula, why } = WORDS[kind];
  const { data, error, loading } = useQuery(["formula", ...deps], (signal) =>
    reprise.runs.queryUsage({ ...bounds, groupBy: [UsageGroup.TRIGGER], pageSize: 500 }, { signal }),
  );
  const at = kind === "continuing" ? 0 : 1;
  const rows = (data?.rows ?? []).filter((row) => (at === 0 ? row.continuedCount > 0 : row.notStartedCount > 0));
  return (
    <Dialog title={title} wide onClose={onClose} end={<Button onClick={onClose}>Close</Button>}>
      <code class="formula">{formula}</code>
      <p>{why}</p>
      <ErrorNotice error={error} />
      {loading && !data && <Loading />}
      {data && rows.length === 0 && (
        <p>{at === 0 ? "No run continued a conversation in this time." : "Nothing of the kind was stopped in this time."}</p>
      )}
      {rows.length > 0 && (
        <table class="numbers">
          <thead>
            <tr>
              <th scope="col">trigger</th>
              <th scope="col">fresh runs behind the median</th>
              <th scope="col">{at === 0 ? "continued runs" : "not started"}</th>
              <th scope="col">{at === 0 ? "saved" : "not spent"}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={row.triggerId}>
                <th scope="row">{row.triggerSlug}</th>
                <td>{formatCount(row.basisCount)}</td>
                <td>{formatCount(at === 0 ? row.continuedCount : row.notStartedCount)}</td>
                <td>{savings(row)[at]?.value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p class="help">
        “Unknown” stands where a trigger had no fresh run in this time, so that there is no median. Costs are those that Claude reports.
      </p>
    </Dialog>
  );
}
