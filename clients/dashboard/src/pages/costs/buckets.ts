import type { UsageRow } from "@reprise/client";
import { toMs } from "../../lib/format.ts";

const HOUR = 3_600_000;
const DAY = 86_400_000;

/** Begins of the hours that end with the one of `until`, oldest first. */
export function lastHours(count: number, until: number): number[] {
  const last = Math.floor(until / HOUR) * HOUR;
  return Array.from({ length: count }, (_, at) => last - (count - 1 - at) * HOUR);
}

/** The rows of each bucket, in the order of the begins; a bucket without rows is empty. Zones at half hours fit too. */
export function intoBuckets(rows: readonly UsageRow[], starts: readonly number[]): UsageRow[][] {
  const buckets: UsageRow[][] = starts.map(() => []);
  for (const row of rows) {
    const begin = toMs(row.bucketStartTime);
    if (begin === undefined) continue;
    const at = starts.findLastIndex((start) => start <= begin);
    buckets[at === -1 && starts[0] !== undefined && begin > starts[0] - HOUR ? 0 : at]?.push(row);
  }
  return buckets;
}

/** The zone of the browser. */
export function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** Whether a name is a time zone that this browser knows. */
export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return name !== "";
  } catch {
    return false;
  }
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** The wall clock of a zone at a moment, read as if it were UTC. */
function wallClock(ms: number, zone: string): number {
  let format = formats.get(zone);
  if (!format) {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    });
    formats.set(zone, format);
  }
  const parts = Object.fromEntries(format.formatToParts(ms).map((part) => [part.type, Number(part.value)]));
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

/** The date of a moment in a zone, `2026-11-26`. */
export function dateOf(ms: number, zone: string): string {
  return new Date(wallClock(ms, zone)).toISOString().slice(0, 10);
}

/** The first moment of a date in a zone, also on days that are an hour longer or shorter. */
export function startOfDate(date: string, zone: string): number {
  const wanted = Date.parse(`${date}T00:00:00Z`);
  let guess = wanted;
  for (let round = 0; round < 3; round += 1) guess += wanted - wallClock(guess, zone);
  // Where midnight is skipped, the clock jumps over it: the day begins with what comes after.
  if (dateOf(guess, zone) < date) guess += HOUR;
  return guess;
}

/** The date so many days later. */
export function plusDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * DAY).toISOString().slice(0, 10);
}

/** A span of time, and how it is cut. */
export interface Range {
  start: number;
  end: number;
  bucket: "hour" | "day";
  /** Begins of the buckets. */
  starts: number[];
}

/** Names of the spans that a press chooses. */
export const RANGES = { day: 1, week: 7, month: 30, quarter: 90 } as const;
export type RangeName = keyof typeof RANGES;

/** The longest span that is shown by days. */
export const MOST_DAYS = 400;

/**
 * The last so many days of a zone, today included; `day` is the last 24 hours, by hours. It ends with the last bucket, not
 * now, so that a further page of a table is a page of the same question.
 */
export function rangeOf(name: RangeName, zone: string, now: number): Range {
  if (name === "day") {
    const starts = lastHours(24, now);
    return { start: starts[0] ?? now, end: (starts.at(-1) ?? now) + HOUR, bucket: "hour", starts };
  }
  return daysOf(plusDays(dateOf(now, zone), 1 - RANGES[name]), dateOf(now, zone), zone);
}

/** The days from one date to another, both included. */
export function daysOf(from: string, to: string, zone: string): Range {
  const starts: number[] = [];
  for (let date = from; date <= to && starts.length < MOST_DAYS; date = plusDays(date, 1)) starts.push(startOfDate(date, zone));
  const last = starts.at(-1) ?? startOfDate(from, zone);
  return { start: starts[0] ?? last, end: startOfDate(plusDays(dateOf(last, zone), 1), zone), bucket: "day", starts };
}

/** Name of a bucket: `Thu 26 Nov`, or `14:00`. */
export function bucketName(start: number, bucket: Range["bucket"], zone: string): string {
  const options: Intl.DateTimeFormatOptions =
    bucket === "day"
      ? { weekday: "short", day: "numeric", month: "short" }
      : { hour: "2-digit", minute: "2-digit", hourCycle: "h23", weekday: "short" };
  return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }).format(start).replace(",", "");
}
