import { expect, test } from "vitest";
import { ListState } from "../src/components/virtual_list.tsx";
import { Heights } from "../src/lib/heights.ts";

function plainOffset(values: readonly number[], index: number): number {
  return values.slice(0, index).reduce((sum, one) => sum + one, 0);
}

test("offsets and places are those of a plain sum, whatever is set and added", () => {
  const heights = new Heights();
  const plain: number[] = [];
  let seed = 3;
  const random = (below: number) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  for (let round = 0; round < 3000; round += 1) {
    if (plain.length === 0 || random(3) > 0) {
      const height = 1 + random(90);
      plain.push(height);
      heights.push(height);
    } else {
      const index = random(plain.length);
      const height = 1 + random(400);
      plain[index] = height;
      heights.set(index, height);
    }
    if (round % 97 === 0) {
      const index = random(plain.length);
      const offset = plainOffset(plain, index);
      expect(heights.offset(index)).toBe(offset);
      expect(heights.indexAt(offset)).toBe(index);
      expect(heights.indexAt(offset + (plain[index] ?? 1) - 1)).toBe(index);
    }
  }
  expect(heights.total).toBe(plainOffset(plain, plain.length));
  const before = heights.total;
  heights.reset(Float64Array.from(plain));
  expect(heights.total).toBe(before);
  expect(heights.indexAt(before * 2)).toBe(plain.length - 1);
});

/** A scrolling element and a list in it, as far as the list looks at them. */
function fakeView(state: ListState<number>, height: number) {
  const view = {
    scrollTop: 0,
    clientHeight: height,
    get scrollHeight() {
      return Math.max(height, state.heights.total);
    },
    getBoundingClientRect: () => ({ top: 0 }),
  };
  const inner = {
    getBoundingClientRect: () => ({ top: -view.scrollTop }),
    style: {},
  };
  return { view: view as unknown as HTMLElement, inner: inner as unknown as HTMLElement };
}

const keyOf = (item: number) => item;
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const ROW = () => 30;

function scrollTo(state: ListState<number>, parts: { view: HTMLElement; inner: HTMLElement }, items: readonly number[], top: number) {
  parts.view.scrollTop = top;
  const wanted = state.scrolled(parts.view, parts.inner);
  state.nameAnchor(items, keyOf);
  return wanted;
}

test("the row at the top edge keeps its place when older rows are put in front", () => {
  const state = new ListState<number>();
  const parts = fakeView(state, 600);
  let items = range(1000, 1999);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  scrollTo(state, parts, items, 100);
  // Row 1003 begins 10 pixels above the edge.
  items = [...range(500, 999), ...items];
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  expect(parts.view.scrollTop).toBe(500 * 30 + 100);
});

test("the row at the top edge keeps its place when a row above it turns out taller", () => {
  const state = new ListState<number>();
  const parts = fakeView(state, 600);
  const items = range(1, 1000);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  scrollTo(state, parts, items, 3000);
  state.heights.set(10, 230);
  state.place(parts.view, parts.inner, false);
  expect(parts.view.scrollTop).toBe(3200);
});

test("the row at the top edge keeps its place when a filter takes others away", () => {
  const state = new ListState<number>();
  const parts = fakeView(state, 600);
  const items = range(1, 1000);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  scrollTo(state, parts, items, 499 * 30);
  const even = items.filter((one) => one % 2 === 0);
  state.update(even, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  expect(parts.view.scrollTop).toBe(249 * 30);
});

test("following keeps the end in view; scrolling up ends it, and scrolling to the end takes it up", () => {
  const state = new ListState<number>();
  const parts = fakeView(state, 600);
  let items = range(1, 100);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, true);
  expect(parts.view.scrollTop).toBe(100 * 30 - 600);
  // What the list itself did is not the reader's will.
  expect(state.scrolled(parts.view, parts.inner)).toBeUndefined();
  items = range(1, 150);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, true);
  expect(parts.view.scrollTop).toBe(150 * 30 - 600);
  expect(scrollTo(state, parts, items, 3000)).toBe(false);
  items = range(1, 200);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  expect(parts.view.scrollTop).toBe(3000);
  expect(scrollTo(state, parts, items, 200 * 30 - 600)).toBe(true);
});

test("only what can be seen is drawn, of however many", () => {
  const state = new ListState<number>();
  const parts = fakeView(state, 900);
  const items = range(1, 100_000);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  scrollTo(state, parts, items, 1_500_000);
  const [from, to] = state.range();
  expect(from).toBeLessThanOrEqual(50_000);
  expect(to).toBeGreaterThanOrEqual(50_030);
  expect(to - from).toBeLessThan(90);
});

test("a row is shown near the top, or left alone where it can be seen already", () => {
  const state = new ListState<number>();
  const parts = fakeView(state, 600);
  const items = range(1, 1000);
  state.update(items, keyOf, ROW);
  state.place(parts.view, parts.inner, false);
  expect(state.aim(500, items, keyOf, "top")).toBe(true);
  state.place(parts.view, parts.inner, false);
  expect(parts.view.scrollTop).toBe(499 * 30 - 80);
  expect(state.aim(505, items, keyOf, "near")).toBe(false);
  expect(state.aim(5000, items, keyOf, "top")).toBe(false);
});
