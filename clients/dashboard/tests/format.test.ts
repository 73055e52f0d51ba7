import { expect, test } from "vitest";
import {
  formatAge,
  formatBytes,
  formatMoney,
  formatOffset,
  formatShare,
  formatSpan,
  formatWhen,
  plural,
  shortId,
} from "../src/lib/format.ts";

test.each([
  [0, "0.0 s"],
  [6.1, "6.1 ms"],
  [98, "98.0 ms"],
  [99.6, "0.1 s"],
  [8_200, "8.2 s"],
  [9_960, "10 s"],
  [48_000, "48 s"],
  [59_600, "1 min"],
  [72_000, "1m 12s"],
  [120_000, "2 min"],
  [14 * 60_000, "14 min"],
  [59.7 * 60_000, "1 h"],
  [(11 * 60 + 54) * 60_000, "11h 54m"],
  [26 * 3_600_000, "1d 2h"],
  [3 * 86_400_000, "3 d"],
  [Number.NaN, "–"],
])("a span of %d ms is %s", (ms, expected) => expect(formatSpan(ms)).toBe(expected));

test.each([
  [0, "$0"],
  [0.0312, "$0.0312"],
  [0.0999, "$0.0999"],
  [0.1, "$0.10"],
  [7.419, "$7.42"],
  [1234.5, "$1,234.50"],
  [0.00001, "<$0.0001"],
  [-0.25, "−$0.25"],
])("%d dollars are %s", (usd, expected) => expect(formatMoney(usd)).toBe(expected));

test("ages are whole units", () => {
  expect([0, 59_999, 60_000, 3_599_999, 86_400_000 * 3].map(formatAge)).toEqual(["0 s", "59 s", "1 min", "59 min", "3 d"]);
});

test("sizes, shares, offsets, ids and counts", () => {
  expect([formatBytes(999), formatBytes(18_204), formatBytes(1_400_000n)]).toEqual(["999 B", "18 KB", "1.4 MB"]);
  expect([formatShare(0.967, 1), formatShare(0.967)]).toEqual(["96.7 %", "97 %"]);
  expect([formatOffset(14_900), formatOffset(3_662_000)]).toEqual(["00:14", "61:02"]);
  expect(shortId("run_01jd8m3c6zf5xbq2t9q17k2m")).toBe("…q17k2m");
  expect([plural(1, "run"), plural(1200, "run")]).toEqual(["1 run", "1,200 runs"]);
});

test("a moment is as short as it stays clear", () => {
  const now = new Date(2026, 10, 23, 12, 0).getTime();
  const at = (...parts: [number, number, number, number, number]) => formatWhen(new Date(...parts).getTime(), now);
  expect([at(2026, 10, 23, 9, 41), at(2026, 10, 22, 18, 20), at(2026, 9, 3, 1, 0), at(2025, 10, 23, 1, 0)]).toEqual([
    "09:41",
    "Sun 18:20",
    "3 Oct",
    "23 Nov 2025",
  ]);
});
