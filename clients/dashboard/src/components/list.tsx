import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { navigate } from "../app/router.ts";
import type { LiveRows } from "../data/rows.ts";
import { plural } from "../lib/format.ts";

/** A column: what it shows of a row, and how it stands. */
export interface Column<T> {
  /** Above the column, lower case. */
  label?: string;
  cell: (row: T) => ComponentChildren;
  right?: boolean;
  /** On a narrow screen: `first` and `corner` stand in one line, `line` on a line of its own, `hide` not at all. */
  narrow?: "first" | "corner" | "line" | "hide";
}

interface ListProps<T> {
  title: string;
  count?: number | string;
  rows: readonly T[];
  columns: readonly Column<T>[];
  /** Class with the columns' widths (`cols-…` in a style sheet): lists that stand together share one. */
  template: string;
  idOf: (row: T) => string;
  hrefOf?: (row: T) => string | undefined;
  /** Shown in place of rows when there are none. */
  empty?: ComponentChildren;
  /** Chosen row, for lists beside what they open. */
  currentId?: string;
  /** Right in the head. */
  aside?: ComponentChildren;
  /** Rows with ids in here appeared just now and fade in. */
  fresh?: ReadonlySet<string>;
}

/** Rows on hairlines under a head. A row with an address is a link as a whole; `↑` and `↓` walk over the rows. */
export function List<T>({ title, count, rows, columns, template, idOf, hrefOf, empty, currentId, aside, fresh }: ListProps<T>) {
  const element = useRef<HTMLElement>(null);
  const walk = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0 || !(event.target instanceof HTMLElement) || !event.target.classList.contains("row")) return;
    const all = [...(element.current?.querySelectorAll<HTMLElement>("a.row") ?? [])];
    all[all.indexOf(event.target) + step]?.focus();
    event.preventDefault();
  };
  return (
    <section class="list" aria-label={title} ref={element} onKeyDown={walk}>
      <div class={`row th ${template}`}>
        <h2>
          {title}
          {count !== undefined && <small>{count}</small>}
        </h2>
        {columns.slice(1).map((column, at) => (
          <span key={column.label ?? at} class={column.right ? "r" : ""}>
            {aside !== undefined && at === columns.length - 2 ? aside : column.label}
          </span>
        ))}
      </div>
      {rows.map((row) => {
        const id = idOf(row);
        const href = hrefOf?.(row);
        const cells = columns.map((column, at) => (
          <span key={column.label ?? at} class={`${column.right ? "r " : ""}cut n-${column.narrow ?? "line"}`}>
            {column.cell(row)}
          </span>
        ));
        const look = `row ${template}${fresh?.has(id) ? " new" : ""}`;
        return href ? (
          <a key={id} class={look} href={href} aria-current={id === currentId ? "true" : undefined}>
            {cells}
          </a>
        ) : (
          <div key={id} class={look}>
            {cells}
          </div>
        );
      })}
      {rows.length === 0 && empty}
    </section>
  );
}

/** Actions of a row: they appear on hover or focus, and stay where there is no hover. A press does not open the row. */
export function RowActions({ children }: { children: ComponentChildren }) {
  return (
    <span
      class="acts"
      onClick={(event) => {
        event.preventDefault();
        event.stopPropagation();
      }}
      onKeyDown={(event) => event.key === "Enter" && event.stopPropagation()}
    >
      {children}
    </span>
  );
}

/** An act in a row. */
export function RowAction({ label, onClick }: { label: string; onClick: () => void }) {
  return (
    <button type="button" onClick={onClick}>
      {label}
    </button>
  );
}

/** How many rows wait because they would move the page; a press shows them. */
export function NewChip<T>({ rows, what = "row", many = `${what}s` }: { rows: LiveRows<T>; what?: string; many?: string }) {
  const count = rows.heldCount.value;
  if (count === 0) return null;
  return (
    <button type="button" class="chip new" onClick={() => rows.release()}>
      {plural(count, `new ${what}`, `new ${many}`)}
    </button>
  );
}

/** Reads the next page of a list. */
export function MoreButton({ hasMore, loading, onMore }: { hasMore: boolean; loading: boolean; onMore: () => void }) {
  if (!hasMore) return null;
  return (
    <div class="more">
      <button type="button" class="btn" disabled={loading} onClick={onMore}>
        {loading ? "Reading…" : "Show older"}
      </button>
    </div>
  );
}

/** `j` and `k`: the next and the one before, where the page shows one of a list. */
export function useNeighbours(what: string, older: string | undefined, newer: string | undefined): void {
  useKeys(what, {
    ...(older ? { j: { label: `Older ${what.toLowerCase()}`, run: () => void navigate(older) } } : {}),
    ...(newer ? { k: { label: `Newer ${what.toLowerCase()}`, run: () => void navigate(newer) } } : {}),
  });
}
