import { create } from "@bufbuild/protobuf";
import { SettingRuleSchema, SettingsSchema } from "@reprise/client";
import { expect, test } from "vitest";
import { changedSettings, defaultWords, fieldsOf, labelOf, problemOf, toSettings, valuesOf } from "../src/pages/settings/form.ts";

const settings = create(SettingsSchema, {
  sessions: { defaultResumeForNewTriggers: false, cleanupHourLocal: 3, timeZone: "UTC" },
  agent: { maxCostUsd: 5, timeout: { seconds: 3600n } },
});
const rules = [
  create(SettingRuleSchema, { path: "agent.timeout", min: 1, max: 604_800, default: "3600s", unit: "seconds" }),
  create(SettingRuleSchema, { path: "sessions.cleanup_hour_local", min: 0, max: 23, default: "3", unit: "hour" }),
  create(SettingRuleSchema, { path: "sessions.default_resume_for_new_triggers", default: "false" }),
  create(SettingRuleSchema, { path: "agent.max_cost_usd", min: 0, max: 10_000, default: "5", unit: "USD" }),
  create(SettingRuleSchema, { path: "sessions.time_zone", default: "UTC" }),
  create(SettingRuleSchema, { path: "limits.something_new", min: 1, max: 9, default: "2", unit: "runs" }),
];
const fields = fieldsOf(settings, rules);
const field = (path: string) => {
  const found = fields.find(({ rule }) => rule.path === path);
  if (!found) throw new Error(path);
  return found;
};

test("the kinds come from what the server sent, or from the rule of what it did not", () => {
  expect(fields.map(({ rule, kind }) => [rule.path, kind])).toEqual([
    ["sessions.default_resume_for_new_triggers", "boolean"],
    ["sessions.cleanup_hour_local", "number"],
    ["sessions.time_zone", "text"],
    ["agent.max_cost_usd", "number"],
    ["agent.timeout", "duration"],
    ["limits.something_new", "number"],
  ]);
});

test("only what changed is sent, hour 0 and false among it, and what was emptied is left out for its default", () => {
  const before = valuesOf(settings, fields);
  const now = { ...before, "sessions.cleanup_hour_local": 0, "agent.timeout": 90.5, "agent.max_cost_usd": undefined };
  const changed = changedSettings(before, now);
  expect(changed).toEqual(["sessions.cleanup_hour_local", "agent.max_cost_usd", "agent.timeout"]);
  expect(toSettings(now, fields, changed)).toEqual({
    sessions: { cleanupHourLocal: 0 },
    agent: { timeout: { seconds: 90n, nanos: 500_000_000 } },
  });
});

test("a range is held while it is typed, by the rule of the server", () => {
  const hour = field("sessions.cleanup_hour_local");
  expect(problemOf(hour, 0, undefined)).toBeUndefined();
  expect(problemOf(hour, 24, undefined)).toBe("must be between 0 and 23");
  expect(problemOf(hour, Number.NaN, undefined)).toBe("must be a number");
});

test("defaults and names are words", () => {
  expect(defaultWords(field("agent.timeout"))).toBe("1 h");
  expect(defaultWords(field("agent.max_cost_usd"))).toBe("$5");
  expect(defaultWords(field("sessions.default_resume_for_new_triggers"))).toBe("off");
  expect(labelOf("limits.something_new")).toBe("Something new");
});
