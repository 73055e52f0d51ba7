import { Component, type ComponentChildren, type RefObject } from "preact";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Heights } from "../lib/heights.ts";

/** What a page can ask of a list. */
export interface VirtualListHandle {
  /** Shows a row: at the top, with a little of what stands before it, or only so that it can be seen. */
  show: (key: string | number, place?: "top" | "near") => void;
  /** Shows the end. */
  showEnd: () => void;
}

interface Props<T> {
  items: readonly T[];
  keyOf: (item: T) => string | number;
  /** Draws a row. Give it a stable identity (`useCallback`): a row is drawn again only when it or its item changes. */
  render: (item: T) => ComponentChildren;
  /** Height of a row before it is measured. */
  estimate: (item: T) => number;
  label: string;
  /** Keep the end in view as the list grows. The list tells when the reader scrolls away or returns. */
  follow?: boolean;
  onFollow?: (follow: boolean) => void;
  /** The first or last rows are about to be seen: read more. */
  onNearStart?: () => void;
  onNearEnd?: () => void;
  handle?: RefObject<VirtualListHandle | null>;
  /** Class of the scrolling element. */
  class?: string;
  /** Scroll the whole page instead of an own box, for narrow screens. */
  page?: boolean;
  /** Below the last row, for what is being written now. */
  children?: ComponentChildren;
}

/** Pixels beyond both edges that are drawn too. */
const OVERSCAN = 600;
const NEAR_ROWS = 30;
const AT_END = 8;
/** Drawings within a tenth of a second that may follow from one another. */
const MOST_DRAWINGS = 30;

/** The row that stays where it is when rows above it appear or change their height, and where it is. */
interface Anchor {
  index: number;
  key: string | number | undefined;
  /** Of the top edge of the view, from the beginning of the row. */
  delta: number;
}

/**
 * A list of any length in which only what can be seen is drawn. Rows have the heights they have. The row at the top edge
 * stays in its place whatever happens above it, so older rows can be put in front while somebody reads.
 *
 * Own code, since the libraries for it keep an index in place, not a row, when rows are put in front, and measure with
 * one object a row, which a log of 100,000 entries feels.
 */
export function VirtualList<T>(props: Props<T>) {
  const { items, keyOf, render, estimate, label, follow = false, handle, page = false } = props;
  const latest = useRef(props);
  latest.current = props;
  const box = useRef<HTMLDivElement>(null);
  const inner = useRef<HTMLDivElement>(null);
  const [, redraw] = useState(0);
  const state = useMemo(() => new ListState<T>(), []);
  state.update(items, keyOf, estimate);

  const scroller = useCallback(() => (page ? box.current?.closest<HTMLElement>(".main") : box.current) ?? null, [page]);

  if (follow) state.expectEnd();
  const [start, end] = state.range();

  // After every drawing: measure, put the anchor back, and draw again if that brought other rows into view.
  useLayoutEffect(() => {
    const view = scroller();
    if (!view || !inner.current) return;
    state.measure(inner.current, keyOf, latest.current.items);
    state.place(view, inner.current, follow);
    const [newStart, newEnd] = state.range();
    // Heights settle within two or three drawings; should two ranges ever take turns, the page must not stand still.
    const mayRedraw = state.countDrawing(performance.now()) < MOST_DRAWINGS;
    if (mayRedraw && (newStart !== start || newEnd !== end)) redraw((was) => was + 1);
    else if (items.length > 0 && start < NEAR_ROWS) latest.current.onNearStart?.();
  });

  useEffect(() => {
    const view = scroller();
    if (!view) return;
    const onScroll = () => {
      if (!inner.current) return;
      const before = state.range();
      const wanted = state.scrolled(view, inner.current);
      state.nameAnchor(latest.current.items, latest.current.keyOf);
      const { onFollow, follow: following = false, onNearStart, onNearEnd } = latest.current;
      if (wanted !== undefined && wanted !== following) onFollow?.(wanted);
      const after = state.range();
      if (after[0] < NEAR_ROWS) onNearStart?.();
      if (after[1] > latest.current.items.length - NEAR_ROWS) onNearEnd?.();
      if (before[0] !== after[0] || before[1] !== after[1]) redraw((was) => was + 1);
    };
    view.addEventListener("scroll", onScroll, { passive: true });
    const resized = new ResizeObserver(() => redraw((was) => was + 1));
    resized.observe(view);
    return () => {
      view.removeEventListener("scroll", onScroll);
      resized.disconnect();
    };
  }, [state, scroller]);

  // Rows change their height when they are opened, or when the width changes.
  const observer = useMemo(
    () =>
      new ResizeObserver(() => {
        if (inner.current && state.measure(inner.current, latest.current.keyOf, latest.current.items)) redraw((was) => was + 1);
      }),
    [state],
  );
  useEffect(() => () => observer.disconnect(), [observer]);

  if (handle) {
    handle.current = {
      show: (key, place = "top") => {
        if (state.aim(key, latest.current.items, keyOf, place)) redraw((was) => was + 1);
      },
      showEnd: () => {
        state.aimAtEnd();
        redraw((was) => was + 1);
      },
    };
  }

  const rows: ComponentChildren[] = [];
  for (let at = start; at < end; at += 1) {
    const item = items[at];
    if (item === undefined) continue;
    const key = keyOf(item);
    rows.push(
      <Row
        key={key}
        item={item}
        index={at}
        count={items.length}
        render={render as (item: unknown) => ComponentChildren}
        observer={observer}
      />,
    );
  }
  return (
    <div class={`virtual${page ? " page" : ""} ${props.class ?? ""}`} ref={box} tabIndex={page ? undefined : 0}>
      <div ref={inner} role="list" aria-label={label} class="virtual-inner" style={{ height: `${state.heights.total}px` }}>
        <div class="virtual-rows" style={{ top: `${state.heights.offset(start)}px` }}>
          {rows}
        </div>
      </div>
      {props.children}
    </div>
  );
}

interface RowProps {
  item: unknown;
  index: number;
  count: number;
  render: (item: unknown) => ComponentChildren;
  observer: ResizeObserver;
}

class Row extends Component<RowProps> {
  #element: HTMLElement | null = null;

  override shouldComponentUpdate(next: RowProps): boolean {
    const { item, render, index, count } = this.props;
    return next.item !== item || next.render !== render || next.index !== index || (next.count !== count && next.index === next.count - 1);
  }

  override componentWillUnmount(): void {
    if (this.#element) this.props.observer.unobserve(this.#element);
  }

  readonly #take = (element: HTMLElement | null): void => {
    this.#element = element;
    if (element) this.props.observer.observe(element);
  };

  override render({ item, index, count, render }: RowProps): ComponentChildren {
    return (
      <div ref={this.#take} role="listitem" aria-posinset={index + 1} aria-setsize={count} class="virtual-row" data-index={index}>
        {render(item)}
      </div>
    );
  }
}

/** Where everything is: heights, the anchor, and what the view last was. Knows the DOM only through its arguments. */
export class ListState<T> {
  readonly heights = new Heights();
  #measured = new Map<string | number, number>();
  #first: string | number | undefined;
  #last: string | number | undefined;
  #anchor: Anchor = { index: 0, key: undefined, delta: 0 };
  #toEnd = false;
  #viewTop = 0;
  #viewHeight = 0;
  #setTop = -1;
  /** What stands behind the last row when the end is in view. */
  #behind = 0;
  #drawnSince = 0;
  #drawings = 0;

  /** Takes the items as they now are; finds out whether rows came at the end, in front, or all changed. */
  update(items: readonly T[], keyOf: (item: T) => string | number, estimate: (item: T) => number): void {
    const before = this.heights.count;
    const height = (item: T) => this.#measured.get(keyOf(item)) ?? estimate(item);
    const keyAt = (index: number) => {
      const item = items[index];
      return item === undefined ? undefined : keyOf(item);
    };
    const first = keyAt(0);
    const last = keyAt(items.length - 1);
    if (items.length === before && first === this.#first && last === this.#last) return;
    if (before > 0 && first === this.#first && keyAt(before - 1) === this.#last) {
      for (const item of items.slice(before)) this.heights.push(height(item));
    } else {
      const added = items.length - before;
      this.heights.reset(Float64Array.from(items, height));
      if (before > 0 && added > 0 && last === this.#last && keyAt(added) === this.#first) this.#anchor.index += added;
      else this.#findAnchor(items, keyOf);
      if (this.#measured.size > 4 * items.length + 1000) this.#forget(items, keyOf);
    }
    this.#first = first;
    this.#last = last;
  }

  #findAnchor(items: readonly T[], keyOf: (item: T) => string | number): void {
    const { key } = this.#anchor;
    const index = key === undefined ? -1 : items.findIndex((item) => keyOf(item) === key);
    if (index >= 0) this.#anchor.index = index;
    else this.#anchor = { index: Math.max(0, Math.min(this.#anchor.index, items.length - 1)), key: undefined, delta: 0 };
  }

  #forget(items: readonly T[], keyOf: (item: T) => string | number): void {
    const kept = new Map<string | number, number>();
    for (const item of items) {
      const height = this.#measured.get(keyOf(item));
      if (height !== undefined) kept.set(keyOf(item), height);
    }
    this.#measured = kept;
  }

  /** The rows to draw: from, and up to but without. */
  range(): [number, number] {
    const { count } = this.heights;
    if (count === 0) return [0, 0];
    const from = this.heights.indexAt(Math.max(0, this.#viewTop - OVERSCAN));
    const to = this.heights.indexAt(this.#viewTop + (this.#viewHeight || OVERSCAN) + OVERSCAN);
    return [from, Math.min(count, to + 1)];
  }

  /** Notes the heights of the rows that are drawn; true if one changed. */
  measure(inner: HTMLElement, keyOf: (item: T) => string | number, items: readonly T[]): boolean {
    let changed = false;
    for (const element of inner.querySelectorAll<HTMLElement>(":scope > .virtual-rows > .virtual-row")) {
      const index = Number(element.dataset["index"]);
      const item = items[index];
      if (item === undefined) continue;
      const { height } = element.getBoundingClientRect();
      if (height === 0) continue;
      this.#measured.set(keyOf(item), height);
      if (this.heights.set(index, height)) changed = true;
    }
    return changed;
  }

  /** Scrolls so that the anchor, or the end, is where it belongs. */
  place(view: HTMLElement, inner: HTMLElement, follow: boolean): void {
    // The total may have changed with this drawing's measures; the box must have room before it is scrolled.
    inner.style.height = `${this.heights.total}px`;
    const listTop = this.#listTop(view, inner);
    let top: number;
    if (follow || this.#toEnd) top = view.scrollHeight - view.clientHeight;
    else if (this.#anchor.key === undefined && this.#anchor.index === 0 && this.#anchor.delta === 0) top = view.scrollTop;
    else top = listTop + this.heights.offset(this.#anchor.index) + this.#anchor.delta;
    top = Math.max(0, Math.min(top, view.scrollHeight - view.clientHeight));
    if (Math.abs(top - view.scrollTop) >= 1) {
      view.scrollTop = top;
      this.#setTop = view.scrollTop;
    }
    this.#toEnd = false;
    this.#look(view, listTop);
    if (follow) this.#behind = this.#viewTop - Math.max(0, this.heights.total - this.#viewHeight);
  }

  /** The view was scrolled. Tells whether the reader now is at the end (true), left it (false), or neither. */
  scrolled(view: HTMLElement, inner: HTMLElement): boolean | undefined {
    const listTop = this.#listTop(view, inner);
    const own = Math.abs(view.scrollTop - this.#setTop) < 1;
    const wasTop = this.#viewTop + listTop;
    this.#look(view, listTop);
    if (own) return undefined;
    this.#setTop = -1;
    this.#holdHere();
    const atEnd = view.scrollTop + view.clientHeight >= view.scrollHeight - AT_END;
    if (atEnd) return true;
    return view.scrollTop < wasTop - 1 ? false : undefined;
  }

  /** Makes a row the anchor, so that it stands near the top; `near` leaves it where it is if it can be seen. */
  aim(key: string | number, items: readonly T[], keyOf: (item: T) => string | number, place: "top" | "near"): boolean {
    const index = items.findIndex((item) => keyOf(item) === key);
    if (index < 0) return false;
    const top = this.heights.offset(index);
    const bottom = top + this.heights.get(index);
    if (place === "near") {
      if (top >= this.#viewTop && bottom <= this.#viewTop + this.#viewHeight) return false;
      const below = bottom > this.#viewTop + this.#viewHeight && bottom - top < this.#viewHeight;
      this.#anchor = { index, key, delta: below ? bottom - top - this.#viewHeight : 0 };
    } else this.#anchor = { index, key, delta: -Math.min(80, this.#viewHeight / 4) };
    return true;
  }

  /** How many drawings there were within the present tenth of a second. */
  countDrawing(now: number): number {
    if (now - this.#drawnSince > 100) [this.#drawnSince, this.#drawings] = [now, 0];
    this.#drawings += 1;
    return this.#drawings;
  }

  /** While the end is followed, the rows that will be there are drawn at once, not those that were there before. */
  expectEnd(): void {
    this.#viewTop = Math.max(0, this.heights.total - this.#viewHeight + this.#behind);
  }

  /** The next drawing goes to the end. */
  aimAtEnd(): void {
    this.#toEnd = true;
  }

  #holdHere(): void {
    const index = this.heights.indexAt(Math.max(0, this.#viewTop));
    this.#anchor = { index, key: undefined, delta: this.#viewTop - this.heights.offset(index) };
  }

  /** Notes which row the anchor is, so that it is found again when the rows change as a whole. */
  nameAnchor(items: readonly T[], keyOf: (item: T) => string | number): void {
    const item = items[this.#anchor.index];
    if (item !== undefined) this.#anchor.key = keyOf(item);
  }

  #look(view: HTMLElement, listTop: number): void {
    this.#viewTop = view.scrollTop - listTop;
    this.#viewHeight = view.clientHeight;
  }

  /** Where the list begins in what is scrolled. */
  #listTop(view: HTMLElement, inner: HTMLElement): number {
    return inner.getBoundingClientRect().top - view.getBoundingClientRect().top + view.scrollTop;
  }
}

/** `↑` and `↓` through the rows of a list: the current key, and what the keys do (for `useKeys`). */
export function useWalk<T>(items: readonly T[], keyOf: (item: T) => string | number, handle: RefObject<VirtualListHandle | null>) {
  const [current, setCurrent] = useState<string | number>();
  const go = (step: number) => {
    const at = items.findIndex((item) => keyOf(item) === current);
    const next = items[at < 0 ? (step > 0 ? 0 : items.length - 1) : Math.max(0, Math.min(items.length - 1, at + step))];
    if (next === undefined) return;
    setCurrent(keyOf(next));
    handle.current?.show(keyOf(next), "near");
  };
  const keys = {
    arrowdown: { label: "Next entry", run: () => go(1) },
    arrowup: { label: "Entry before", run: () => go(-1) },
  };
  return { current, setCurrent, keys };
}
