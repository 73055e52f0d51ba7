import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RepriseError, SettingRule, Settings, SettingsSchema } from "@reprise/client";
import { rangeError } from "../../components/form.tsx";
import { formatSpan } from "../../lib/format.ts";

/** A value of the form: seconds for a duration; undefined while nothing is typed. */
export type Value = boolean | number | string | undefined;

/** The settings by their paths, as they are typed. */
export type Values = Readonly<Record<string, Value>>;

/** What kind of field a setting has, by what the server sent for it. */
export type Kind = "boolean" | "number" | "text" | "duration";

/** One setting: its rule from the server, and its kind. */
export interface SettingField {
  rule: SettingRule;
  kind: Kind;
}

interface Span {
  seconds: bigint;
  nanos: number;
}

/** The fields that the server's rules name, in the order in which they are shown. */
export function fieldsOf(settings: Settings, rules: readonly SettingRule[]): SettingField[] {
  const order = Object.keys(LABELS);
  const place = (rule: SettingRule) => (order.includes(rule.path) ? order.indexOf(rule.path) : order.length);
  return [...rules].sort((a, b) => place(a) - place(b)).map((rule) => ({ rule, kind: kindOf(read(settings, rule.path), rule) }));
}

function kindOf(value: unknown, rule: SettingRule): Kind {
  if (isSpan(value)) return "duration";
  if (typeof value === "boolean") return "boolean";
  if (typeof value === "number") return "number";
  if (typeof value === "string") return "text";
  // Absent: the rule tells.
  if (rule.default === "true" || rule.default === "false") return "boolean";
  if (/^\d+(\.\d+)?s$/.test(rule.default)) return "duration";
  return rule.min !== undefined || rule.max !== undefined ? "number" : "text";
}

/** The values of a form. */
export function valuesOf(settings: Settings, fields: readonly SettingField[]): Values {
  const out: Record<string, Value> = {};
  for (const { rule, kind } of fields) {
    const value = read(settings, rule.path);
    out[rule.path] = kind === "duration" ? seconds(value) : (value as Value);
  }
  return out;
}

/** Paths whose values differ. */
export function changedSettings(before: Values, now: Values): string[] {
  return Object.keys(now).filter((path) => before[path] !== now[path]);
}

/** The message with these paths; those that are empty are left out, which with a mask gives them their defaults. */
export function toSettings(
  values: Values,
  fields: readonly SettingField[],
  paths: readonly string[],
): MessageInitShape<typeof SettingsSchema> {
  const out: Record<string, Record<string, unknown>> = {};
  for (const { rule, kind } of fields) {
    const value = values[rule.path];
    if (!paths.includes(rule.path) || value === undefined) continue;
    const [group = "", name = ""] = rule.path.split(".").map(camel);
    const part = out[group] ?? {};
    part[name] = kind === "duration" ? span(value as number) : value;
    out[group] = part;
  }
  return out as MessageInitShape<typeof SettingsSchema>;
}

/** What is wrong with a field: its range while it is typed, else what the server says. */
export function problemOf(field: SettingField, value: Value, error: RepriseError | undefined): string | undefined {
  const { rule, kind } = field;
  if (kind === "number" || kind === "duration") {
    if (value === undefined) return undefined;
    if (typeof value !== "number" || Number.isNaN(value)) return "must be a number";
    const range = rangeError(value, rule.min, rule.max);
    if (range) return range;
  }
  return error?.fields.find((one) => one.field === `settings.${rule.path}` || one.field === rule.path)?.description;
}

/** The default for people: `7 days`, `1 h`, `no limit`. */
export function defaultWords({ rule, kind }: SettingField): string {
  if (kind === "boolean") return rule.default === "true" ? "on" : "off";
  if (rule.default === "") return "none";
  if (kind === "duration") return formatSpan(Number.parseFloat(rule.default) * 1000);
  if (kind === "number" && rule.unit === "USD") return `$${rule.default}`;
  return kind === "number" && rule.unit !== "hour" ? `${Number(rule.default).toLocaleString("en")} ${rule.unit}`.trim() : rule.default;
}

/** Name of a setting for people, from its path: `Auto cleanup days`. */
export function labelOf(path: string): string {
  const name = LABELS[path] ?? (path.split(".").at(-1) ?? path).replaceAll("_", " ");
  return name.charAt(0).toUpperCase() + name.slice(1);
}

// Words for paths that read badly; whatever the server adds is shown by its own name.
const LABELS: Record<string, string> = {
  "sessions.default_resume_for_new_triggers": "continue sessions in new triggers",
  "sessions.auto_cleanup_days": "clean up after",
  "sessions.cleanup_hour_local": "hour of the daily clean-up",
  "sessions.time_zone": "time zone",
  "sessions.force_compaction_turns": "compact after",
  "limits.max_concurrent_runs": "runs at once",
  "limits.max_queued_runs": "waiting runs",
  "limits.max_queued_per_session": "waiting runs of a session",
  "agent.default_model": "model",
  "agent.default_profile": "profile",
  "agent.max_cost_usd": "cost of a run",
  "agent.timeout": "time of a run",
  "agent.silence_timeout": "silence",
  "retention.delivery_days": "deliveries",
  "retention.delivery_body_days": "bodies and headers of deliveries",
  "retention.journal_days": "journals of runs",
  "retention.run_days": "runs and their costs",
};

function read(settings: Settings, path: string): unknown {
  const [group = "", name = ""] = path.split(".").map(camel);
  const part = (settings as unknown as Record<string, unknown>)[group];
  return typeof part === "object" && part !== null ? (part as Record<string, unknown>)[name] : undefined;
}

function camel(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function isSpan(value: unknown): value is Span {
  return typeof value === "object" && value !== null && "seconds" in value && "nanos" in value;
}

function seconds(value: unknown): number | undefined {
  return isSpan(value) ? Number(value.seconds) + value.nanos / 1e9 : undefined;
}

function span(value: number): Span {
  const whole = Math.floor(value);
  return { seconds: BigInt(whole), nanos: Math.round((value - whole) * 1e9) };
}
