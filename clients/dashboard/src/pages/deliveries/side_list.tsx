import type { Delivery } from "@reprise/client";
import { useEffect, useRef } from "preact/hooks";
import { place, query } from "../../app/router.ts";
import { hrefs } from "../../app/routes.ts";
import { Loading, State } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { MoreButton, NewChip, useNeighbours } from "../../components/list.tsx";
import { clock } from "../../components/text.tsx";
import { useDeliveryRows } from "../../data/lists.ts";
import { formatClock, formatExact, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { deliveryOutcome } from "../../lib/words.ts";
import { FindRows, OutcomeChoice } from "./filter_bar.tsx";
import { byDay, eventName, holds, readFilter, reasonOf, shortEvent } from "./filters.ts";
import { useOlder } from "./older.ts";

/** The list beside a delivery, with the filters of the address; `onChanged` hears when the open one changed. */
export function SideList({ currentId, onChanged }: { currentId: string; onChanged: () => void }) {
  const filter = readFilter();
  const list = useDeliveryRows(filter);
  const older = useOlder(list.rows, filter);
  const find = query("q");
  const rows = list.rows.rows.value.filter((row) => holds(row, find));
  const at = rows.findIndex((row) => row.id === currentId);
  const href = (row: Delivery | undefined) =>
    row && `${hrefs.delivery(row.id)}${place.value.query.size > 0 ? `?${place.value.query}` : ""}`;
  useNeighbours("Delivery", href(at < 0 ? undefined : rows[at + 1]), href(at < 0 ? rows[0] : rows[at - 1]));
  useChanges(rows[at], onChanged);
  const current = useRef<HTMLAnchorElement>(null);
  useEffect(() => current.current?.scrollIntoView({ block: "nearest" }), [currentId]);
  return (
    <section class="beside" aria-label="Deliveries">
      <div class="bar">
        <FindRows />
        <OutcomeChoice />
      </div>
      <div class="chips">
        <NewChip rows={list.rows} what="delivery" many="deliveries" />
      </div>
      <ErrorNotice error={list.error.value ?? older.error} />
      {!list.rows.ready.value && !list.error.value && <Loading />}
      {byDay(rows, clock.value).map(([day, group]) => (
        <section key={day} aria-label={day}>
          <h2>{day}</h2>
          {group.map((row) => (
            <a
              key={row.id}
              class="row"
              href={href(row)}
              aria-current={row.id === currentId ? "true" : undefined}
              {...(row.id === currentId ? { ref: current } : {})}
            >
              <time class="f2" title={formatExact(toMs(row.receiveTime) ?? 0)}>
                {formatClock(toMs(row.receiveTime) ?? 0)}
              </time>
              <State {...deliveryOutcome(row.outcome)} />
              <span class="cut" title={[eventName(row), reasonOf(row)].filter(Boolean).join(": ")}>
                <span class="m">{legible(row.threadKey || row.triggerSlug)}</span> <span class="f3">{legible(shortEvent(row))}</span>
              </span>
            </a>
          ))}
        </section>
      ))}
      {list.rows.ready.value && rows.length === 0 && (
        <p class="none f2">
          No delivery matches. <a href={place.value.path}>Clear the filters</a>
        </p>
      )}
      <MoreButton hasMore={older.hasMore} loading={older.loading} onMore={older.more} />
    </section>
  );
}

/** Tells when a row that was shown came again as another one. */
function useChanges(row: Delivery | undefined, onChanged: () => void): void {
  const before = useRef(row);
  useEffect(() => {
    if (row && before.current?.id === row.id && before.current !== row) onChanged();
    before.current = row;
  }, [row]);
}
