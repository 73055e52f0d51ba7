import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Lineage, UsageRowSchema } from "@reprise/client";
import { expect, test } from "vitest";
import { bucketName, dateOf, daysOf, intoBuckets, isZone, lastHours, plusDays, rangeOf, startOfDate } from "../src/pages/costs/buckets.ts";
import { cacheShare, isContinued, savings, totalCost } from "../src/pages/costs/figures.ts";

const HOUR = 3_600_000;
const row = (more: MessageInitShape<typeof UsageRowSchema>) => create(UsageRowSchema, more);
const iso = (ms: number) => new Date(ms).toISOString();

test.each([
  ["2026-11-26", "UTC", "2026-11-26T00:00:00.000Z"],
  ["2026-11-26", "Europe/Berlin", "2026-11-25T23:00:00.000Z"],
  ["2026-11-26", "Asia/Kathmandu", "2026-11-25T18:15:00.000Z"],
  ["2026-11-26", "America/Los_Angeles", "2026-11-26T08:00:00.000Z"],
  // Midnight does not exist: the clock goes from 23:59 to 01:00.
  ["2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00.000Z"],
  ["2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00.000Z"],
])("%s begins in %s", (date, zone, begin) => {
  expect(iso(startOfDate(date, zone))).toBe(begin);
  expect(dateOf(startOfDate(date, zone), zone)).toBe(date);
});

test("days are as long as the zone's clock makes them", () => {
  const { starts, end } = daysOf("2026-10-24", "2026-10-26", "Europe/Berlin");
  expect(starts.length).toBe(3);
  const lengths = [...starts.slice(1), end].map((next, at) => (next - (starts[at] ?? 0)) / HOUR);
  expect(lengths).toEqual([24, 25, 24]);
  expect(plusDays("2026-02-28", 1)).toBe("2026-03-01");
});

test("a span of days ends today in its zone, not in another", () => {
  const now = Date.parse("2026-11-26T23:30:00Z");
  expect(
    rangeOf("week", "UTC", now)
      .starts.map((start) => dateOf(start, "UTC"))
      .at(-1),
  ).toBe("2026-11-26");
  expect(
    rangeOf("week", "Europe/Berlin", now)
      .starts.map((start) => dateOf(start, "Europe/Berlin"))
      .at(-1),
  ).toBe("2026-11-27");
  expect(rangeOf("day", "UTC", now)).toMatchObject({
    bucket: "hour",
    start: Date.parse("2026-11-26T00:00:00Z"),
    end: Date.parse("2026-11-27T00:00:00Z"),
  });
});

test("rows fall into their buckets, empty ones stay empty, and others are left out", () => {
  const starts = lastHours(3, 10 * HOUR + 5);
  expect(starts).toEqual([8 * HOUR, 9 * HOUR, 10 * HOUR]);
  const rows = [10, 8, 8, 2].map((hour) => row({ bucketStartTime: timestampFromMs(hour * HOUR), runCount: hour }));
  expect(intoBuckets(rows, starts).map((bucket) => bucket.map(({ runCount }) => runCount))).toEqual([[8, 8], [], [10]]);
  expect(intoBuckets([row({ runCount: 1 })], starts).flat()).toEqual([]);
});

test("names of buckets and zones", () => {
  expect(bucketName(Date.parse("2026-11-25T23:00:00Z"), "day", "Europe/Berlin")).toBe("Thu 26 Nov");
  expect(bucketName(Date.parse("2026-11-26T13:00:00Z"), "hour", "Europe/Berlin")).toBe("Thu 14:00");
  expect(isZone("Europe/Berlin")).toBe(true);
  expect(isZone("Mars/Olympus")).toBe(false);
  expect(isZone("")).toBe(false);
});

test("a share of a sum is not the mean of shares", () => {
  const rows = [
    row({ usage: { cacheReadTokens: 900n, cacheWriteTokens: 90n, inputTokens: 10n, costUsd: 0.25 } }),
    row({ usage: { cacheReadTokens: 0n, cacheWriteTokens: 1000n, costUsd: 0.5 } }),
  ];
  expect(cacheShare(rows)).toBeCloseTo(0.45);
  expect(cacheShare([row({})])).toBeUndefined();
  expect(totalCost(rows)).toBe(0.75);
});

test("continued, restored and forked runs went on with a conversation; renewed and recovered ones did not", () => {
  const lineages = [Lineage.CONTINUED, Lineage.RESTORED, Lineage.FORKED, Lineage.FRESH, Lineage.RENEWED, Lineage.RECOVERED];
  expect(lineages.map((lineage) => isContinued({ lineage }))).toEqual([true, true, true, false, false, false]);
});

test("without a fresh run to compare with, a saving is unknown, not zero", () => {
  expect(savings(row({ basisCount: 0, continuedCount: 4, notStartedCount: 2 })).map(({ value }) => value)).toEqual(["unknown", "unknown"]);
  const known = savings(row({ basisCount: 3, continuedCount: 4, savedUsd: -0.5, notSpentUsd: 0, notStartedCount: 1 }));
  expect(known.map(({ value, rest }) => [value, rest])).toEqual([
    ["−$0.50", "4 continued runs"],
    ["$0", "1 delivery"],
  ]);
});
