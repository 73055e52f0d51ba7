import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { DeliverySchema, EvaluationSchema, OnInterrupt, Source, TriggerSchema, UsageRowSchema } from "@reprise/client";
import { expect, test } from "vitest";
import { changedPaths, isAbout, names, newDraft, toDraft, toTrigger } from "../src/pages/trigger/draft.ts";
import { changedFirst } from "../src/pages/trigger/dry_run.tsx";
import { valuesOf } from "../src/pages/trigger/event_values.tsx";
import { quoted } from "../src/pages/trigger/explanation.tsx";
import { excerpt } from "../src/pages/trigger/expression.tsx";
import { parseHeaders } from "../src/pages/trigger/headers.ts";
import { stepText, testCommand } from "../src/pages/trigger/steps.ts";
import { byTrigger, lastDays, successRate } from "../src/pages/triggers/usage.ts";

const full = create(TriggerSchema, {
  id: "trg_1",
  slug: "reviews",
  source: Source.GENERIC_HMAC,
  displayName: "Reviews",
  enabled: true,
  resumeSessions: true,
  filterExpression: "true",
  startExpression: "false",
  threadKeyExpression: '"x"',
  action: { case: "prompt", value: { template: "Look.", followUpTemplate: "Again." } },
  workspace: { kind: { case: "named", value: { name: "shop" } } },
  agent: { cli: { case: "claude", value: { model: "opus", effort: "high" } }, profile: "review" },
  runLimits: { maxTurns: 0, maxCostUsd: 1.5, timeout: { seconds: 90n, nanos: 500_000_000 }, silenceTimeout: { seconds: 30n } },
  caps: { concurrentRuns: 2, runsPerSessionPerHour: 0 },
  busy: { policy: { case: "coalesce", value: { quietPeriod: { seconds: 3n }, maxWait: { seconds: 30n }, maxBatch: 50 } } },
  retry: { onInterrupt: OnInterrupt.NEVER, maxAttempts: 1 },
  authorRule: { allow: ["maria"], deny: ["mallory"], allowedBots: ["renovate"], ownIdentities: ["reprise-bot", "17"] },
  hmac: { header: "x-sig", algorithm: 3, encoding: 2, prefix: "v=", signedTemplate: "{timestamp}.{body}", timestampHeader: "x-time" },
});

test("a trigger goes through the form and comes back as it was", () => {
  const again = create(TriggerSchema, { ...toTrigger(toDraft(full)), id: full.id });
  again.hmac = again.hmac && { ...again.hmac, idHeader: undefined };
  expect(again).toEqual(full);
});

test("a number of 0 is a number, and an empty one is the default", () => {
  const draft = toDraft(full);
  expect([draft.maxTurns, draft.runsPerHour]).toEqual([0, 0]);
  expect(toTrigger({ ...draft, maxTurns: undefined }).runLimits?.maxTurns).toBeUndefined();
});

test("an update names what was changed, and of the action only the branch that was chosen", () => {
  const before = toDraft(full);
  expect(changedPaths(before, before)).toEqual([]);
  expect(changedPaths(before, { ...before, filter: "false", deny: "" })).toEqual(["filter_expression", "author_rule"]);
  expect(changedPaths(before, { ...before, action: "skill", skill: "triage" })).toEqual(["skill"]);
});

test("a violation belongs to a change by its whole path", () => {
  expect(isAbout("trigger.prompt.template", ["prompt"])).toBe(true);
  expect(isAbout("trigger.author_rule.deny[0]", ["author_rule"])).toBe(true);
  expect(isAbout("trigger.prompts", ["prompt"])).toBe(false);
});

test("a new trigger says nothing that nobody typed", () => {
  const made = toTrigger(newDraft());
  expect([made.resumeSessions, made.busy, made.hmac, made.agent?.profile]).toEqual([undefined, undefined, undefined, undefined]);
});

test("names stand one a line or between commas", () => {
  expect(names(" maria, 17\n\njonas ")).toEqual(["maria", "17", "jonas"]);
});

test("a set-up step has the address and the slug in it", () => {
  const of = (step: string) => stepText(step, { webhookUrl: "https://r.example/hooks/x/y", slug: "x" });
  expect(of("Payload URL: the trigger's webhook_url.")).toBe("Payload URL: `https://r.example/hooks/x/y`.");
  expect(of("Run `reprise trigger rotate-secret SLUG`")).toBe("Run `reprise trigger rotate-secret x`");
  expect(of("`POST {the trigger's webhook_url}` and `SLUGS`")).toBe("`POST {https://r.example/hooks/x/y}` and `SLUGS`");
});

test("a test webhook is signed as its sender signs, where a shell can", () => {
  const of = (source: Source, hmac?: object) =>
    testCommand(create(TriggerSchema, { source, webhookUrl: "https://r.example/h", ...(hmac ? { hmac } : {}) }));
  expect(of(Source.GITHUB)).toContain("x-hub-signature-256: sha256=$sum");
  expect(of(Source.GENERIC_HMAC, { header: "x-sig", prefix: "v=" })).toContain("x-sig: v=$sum");
  expect(of(Source.GENERIC_HMAC, { encoding: 2 })).toBeUndefined();
  expect(of(Source.MANUAL)).toBeUndefined();
});

test("headers are read line by line, and a wrong line is named", () => {
  expect(parseHeaders("X-GitHub-Event: push\n\nurl: a:b").headers).toEqual([
    { name: "x-github-event", value: "push" },
    { name: "url", value: "a:b" },
  ]);
  expect(parseHeaders("a: 1\nno header").problem).toContain("line 2");
});

test("the mark of a mistake stands under its place, also in a long line", () => {
  expect(excerpt("event.kind ==", 12)).toEqual({ shown: "event.kind ==", at: 11 });
  const long = `${"a".repeat(200)}!${"b".repeat(200)}`;
  const { shown, at } = excerpt(long, 201);
  expect(shown[at ?? -1]).toBe("!");
  expect(shown.startsWith("…") && shown.endsWith("…")).toBe(true);
});

test("what an expression read is rebuilt from a delivery", () => {
  const body = new TextEncoder().encode('{"id": 12345678901234567890, "action": "opened"}');
  const delivery = create(DeliverySchema, { eventKind: "push", body, headers: [{ name: "X-Y", value: "1" }] });
  const { event, payload, headers } = valuesOf(delivery);
  expect(event).toMatchObject({ kind: "push", thread_key: null });
  expect(JSON.stringify(payload)).toContain("opened");
  expect(headers).toEqual({ "x-y": "1" });
  const form = new TextEncoder().encode(`payload=${encodeURIComponent('{"a":1}')}`);
  expect(valuesOf(create(DeliverySchema, { body: form })).payload).toEqual({ a: 1 });
  expect(valuesOf(create(DeliverySchema, { body: new TextEncoder().encode("no") })).payload).toBeUndefined();
});

test("in a dry run what changes stands first, each with its delivery", () => {
  const evaluations = ["a", "b", "c"].map((deliveryId) => create(EvaluationSchema, { deliveryId, changed: deliveryId === "b" }));
  const rows = changedFirst(evaluations, [create(DeliverySchema, { id: "b" })]);
  expect(rows.map((row) => [row.evaluation.deliveryId, row.delivery?.id])).toEqual([
    ["b", "b"],
    ["a", undefined],
    ["c", undefined],
  ]);
});

test("a word of a command is quoted as a shell wants it", () => {
  expect(["--model", "claude-1.5", "", "a b", "it's"].map(quoted)).toEqual(["--model", "claude-1.5", "''", "'a b'", "'it'\\''s'"]);
});

test("usage by day and trigger is one line a trigger", () => {
  const days = lastDays(3, new Date(2026, 10, 26, 12));
  const row = (day: number, runs: number, failed: number) =>
    create(UsageRowSchema, {
      triggerId: "trg_1",
      bucketStartTime: timestampFromMs(days[day] ?? 0),
      runCount: runs,
      succeededCount: runs - failed,
      failedCount: failed,
      usage: { costUsd: runs / 10 },
    });
  const one = byTrigger([row(0, 2, 1), row(2, 2, 0)], days).get("trg_1");
  expect(one).toMatchObject({ runCount: 4, failedCount: 1, days: [2, 0, 2], lastDay: days[2] });
  expect(one?.costUsd).toBeCloseTo(0.4);
  expect(one && successRate(one)).toBe(0.75);
  expect(successRate({ succeededCount: 0, failedCount: 0 })).toBeUndefined();
});
