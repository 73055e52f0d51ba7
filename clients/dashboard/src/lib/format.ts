import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";

/** The last six characters of an id, as ids are shown; the whole one stands on hover. */
export function shortId(id: string): string {
  return id.length > 6 ? `…${id.slice(-6)}` : id;
}

/** Milliseconds since the epoch. */
export function toMs(time: Timestamp | undefined): number | undefined {
  return time && Number(time.seconds) * 1000 + time.nanos / 1e6;
}

/** Length in milliseconds. */
export function durationMs(duration: Duration | undefined): number | undefined {
  return duration && Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** A span for people: one unit takes a space (`8.2 s`, `14 min`), two take none (`1m 12s`, `11h 54m`). */
export function formatSpan(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  const s = Math.max(0, ms) / 1000;
  if (s < 0.001) return "0.0 s";
  if (s < 0.0995) return `${(s * 1000).toFixed(1)} ms`;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 59.5) return `${Math.round(s)} s`;
  const whole = Math.round(s);
  if (whole < 600) return two(whole, 60, "m", "s", "min");
  const minutes = Math.round(s / 60);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return two(minutes, 60, "h", "m", "h");
  const hours = Math.round(s / 3600);
  if (hours < 72) return two(hours, 24, "d", "h", "d");
  return `${Math.round(hours / 24)} d`;
}

function two(total: number, per: number, big: string, small: string, alone: string): string {
  const [high, low] = [Math.floor(total / per), total % per];
  return low === 0 ? `${high} ${alone}` : `${high}${big} ${low}${small}`;
}

/** How long a moment is past, in whole units: `48 s`, `14 min`, `3 h`, `3 d`. */
export function formatAge(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}

/** Two decimals from $0.10 up, four below. */
export function formatMoney(usd: number): string {
  const size = Math.abs(usd);
  if (size === 0) return "$0";
  const sign = usd < 0 ? "−" : "";
  if (size > 0 && size < 0.00005) return `${sign}<$0.0001`;
  return `${sign}$${size.toLocaleString("en", fraction(size < 0.1 ? 4 : 2))}`;
}

/** A share from 0 to 1: one decimal in facts, none in rows. */
export function formatShare(share: number, decimals: 0 | 1 = 0): string {
  return `${(share * 100).toLocaleString("en", fraction(decimals))} %`;
}

/** A count or a number of tokens with separators. */
export function formatCount(count: number | bigint): string {
  return count.toLocaleString("en");
}

/** A size: `18 KB`, `1.4 MB`. */
export function formatBytes(bytes: number | bigint): string {
  let size = Number(bytes);
  if (size < 1000) return `${size} B`;
  for (const unit of ["KB", "MB", "GB", "TB"]) {
    size /= 1000;
    if (size < 999.5) return `${size < 9.95 ? size.toFixed(1) : Math.round(size)} ${unit}`;
  }
  return `${Math.round(size)} PB`;
}

/** `3 runs`, `1 run`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

function fraction(digits: number): Intl.NumberFormatOptions {
  return { minimumFractionDigits: digits, maximumFractionDigits: digits };
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const hours = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", hour12: false });
const weekday = new Intl.DateTimeFormat("en-GB", { weekday: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayOfWeek = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** `12:05:12`. */
export function formatClock(ms: number): string {
  return clock.format(ms);
}

/** `23 Nov 12:05:12.044`, for a title or a fact. */
export function formatExact(ms: number): string {
  return `${day.format(ms)} ${clock.format(ms)}.${String(Math.floor(ms % 1000)).padStart(3, "0")}`;
}

/** As short as it stays clear: `09:41` today, `Sun 18:20` this week, `23 Nov` this year, `23 Nov 2025` before. */
export function formatWhen(ms: number, now = Date.now()): string {
  if (sameDay(ms, now)) return hours.format(ms);
  if (Math.abs(now - ms) < 6 * 86_400_000) return `${weekday.format(ms)} ${hours.format(ms)}`;
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? day.format(ms) : year.format(ms);
}

/** Heading of a day in a list: `Today`, `Yesterday`, `Sun 22 Nov`. */
export function formatDay(ms: number, now = Date.now()): string {
  if (sameDay(ms, now)) return "Today";
  if (sameDay(ms, now - 86_400_000)) return "Yesterday";
  return dayOfWeek.format(ms);
}

/** Minutes and seconds since a start: `00:14`, `61:02`. */
export function formatOffset(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  return `${String(Math.floor(s / 60)).padStart(2, "0")}:${String(s % 60).padStart(2, "0")}`;
}

function sameDay(a: number, b: number): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}
