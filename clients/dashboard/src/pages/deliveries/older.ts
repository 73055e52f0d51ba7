import { type Delivery, RepriseError } from "@reprise/client";
import { useState } from "preact/hooks";
import { reprise } from "../../data/api.ts";
import type { LiveRows } from "../../data/rows.ts";
import { type DeliveryFilter, justAfter } from "./filters.ts";

const PAGE = 100;

/** Deliveries older than the live rows, read below them when asked. */
export function useOlder(rows: LiveRows<Delivery>, filter: DeliveryFilter) {
  const [state, setState] = useState<{ of: unknown; loading: boolean; end: boolean; error?: RepriseError }>();
  const own = state?.of === rows ? state : undefined;
  const shown = rows.rows.value;
  const more = () => {
    if (own?.loading) return;
    const before = new Set(shown.map((row) => row.id));
    setState({ of: rows, loading: true, end: false });
    reprise.triggers.listDeliveries({ ...filter, endTime: justAfter(shown.at(-1)), pageSize: PAGE }).then(
      ({ deliveries, nextPageToken }) => {
        rows.append(deliveries);
        const grown = deliveries.some((row) => !before.has(row.id));
        setState({ of: rows, loading: false, end: nextPageToken === "" || !grown });
      },
      (thrown: unknown) => setState({ of: rows, loading: false, end: false, error: RepriseError.from(thrown) }),
    );
  };
  // A snapshot that is not full holds everything there is.
  const hasMore = shown.length >= PAGE && own?.end !== true;
  return { more, hasMore, loading: own?.loading === true, error: own?.error };
}
