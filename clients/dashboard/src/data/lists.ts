import { type ReadonlySignal, signal } from "@preact/signals";
import { type Delivery, RepriseError, type Run, type WatchDeliveriesRequest, type WatchRunsRequest } from "@reprise/client";
import { useEffect, useMemo } from "preact/hooks";
import { reprise } from "./api.ts";
import { LiveRows } from "./rows.ts";
import { followList, listSlot, whileVisible } from "./stream.ts";

/** A live list and what is wrong with it. */
export interface LiveList<T> {
  rows: LiveRows<T>;
  error: ReadonlySignal<RepriseError | undefined>;
}

type Filter<R> = Partial<Omit<R, "$typeName" | "$unknown">>;

/** The newest runs that match, live, over the tab's one list stream. */
export function useRunRows(filter: Filter<WatchRunsRequest>): LiveList<Run> {
  return useLiveList<Run>(JSON.stringify(filter), (rows, signal) =>
    followList(
      (own) => reprise.runs.watchRuns(filter, { signal: own }),
      ({ event }) => {
        if (event.case === "run") rows.apply(event.value);
        else if (event.case === "snapshotComplete") rows.complete();
      },
      signal,
    ),
  );
}

/** The newest deliveries that match, live, over the tab's one list stream. */
export function useDeliveryRows(filter: Filter<WatchDeliveriesRequest>): LiveList<Delivery> {
  return useLiveList<Delivery>(JSON.stringify(filter), (rows, signal) =>
    followList(
      (own) => reprise.triggers.watchDeliveries(filter, { signal: own }),
      ({ event }) => {
        if (event.case === "delivery") rows.apply(event.value);
        else if (event.case === "snapshotComplete") rows.complete();
      },
      signal,
    ),
  );
}

function useLiveList<T extends { id: string }>(
  filterKey: string,
  follow: (rows: LiveRows<T>, signal: AbortSignal) => Promise<void>,
): LiveList<T> {
  const list = useMemo(() => ({ rows: new LiveRows<T>((row) => row.id), error: signal<RepriseError | undefined>(undefined) }), [filterKey]);
  useEffect(
    () =>
      whileVisible(listSlot, async (stop) => {
        list.error.value = undefined;
        try {
          await follow(list.rows, stop);
        } catch (thrown) {
          list.error.value = RepriseError.from(thrown);
        }
      }),
    [list],
  );
  return list;
}
