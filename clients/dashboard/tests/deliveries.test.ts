import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  DeliveryOrigin,
  DeliveryOutcome,
  DeliveryReason,
  DeliverySchema,
  type ExplanationStep,
  ExplanationStepSchema,
  RunSchema,
  RunState,
  Stage,
  Verdict,
} from "@reprise/client";
import { expect, test } from "vitest";
import { evaluate } from "../src/pages/deliveries/cel.ts";
import { answerStatus, enumValue, holds, justAfter, shortEvent } from "../src/pages/deliveries/filters.ts";
import { joinBytes, readBody } from "../src/pages/deliveries/payload.tsx";
import { quoted } from "../src/pages/deliveries/replay.tsx";
import { type Found, readBy, splitTerms, termsOf } from "../src/pages/deliveries/terms.ts";
import { sinceReceipt, stepViews, wayOf } from "../src/pages/deliveries/way.ts";

test.each([
  ["a && b", ["a", "b"]],
  ["a && (b && c) && d", ["a", "(b && c)", "d"]],
  ['event.text.contains("&&") && x', ['event.text.contains("&&")', "x"]],
  ["event.text == 'it\\'s && so' && x", ["event.text == 'it\\'s && so'", "x"]],
  ["a && b || c", ["a && b || c"]],
  ["a ? b && c : d", ["a ? b && c : d"]],
  ["payload.labels.exists(l, l.x && l.y) && z", ["payload.labels.exists(l, l.x && l.y)", "z"]],
])("terms of %s", (rule, terms) => {
  expect(splitTerms(rule)).toEqual(terms);
});

test("a term reads the members that it names, and not those whose names only begin so", () => {
  const values = { "event.kind": '"push"', "event.kind_of": "1", "payload.a[0]": "2", 'headers["x-a"]': '"y"' };
  expect(readBy("event.kind_of == 1", values)).toEqual([["event.kind_of", "1"]]);
  expect(readBy("headers['x-a'] == payload.a[0] && event.kind != ''", values).map(([name]) => name)).toEqual([
    'headers["x-a"]',
    "payload.a[0]",
    "event.kind",
  ]);
});

const results = (rule: string, values: Record<string, string>, found: Found) =>
  termsOf(rule, values, found, evaluate)?.map(({ result, decides }) => (decides ? `${result}!` : result));

test("the first false term decides, and what follows was not read", () => {
  const rule = 'event.kind in ["push", "issue_comment"] && event.text.contains("@reprise") && !payload.draft';
  const values = { "event.kind": '"push"', "event.text": '"looks good"', "payload.draft": "false" };
  expect(results(rule, values, "stop")).toEqual(["true", "false!", "not read"]);
  expect(results(rule, { ...values, "event.text": '"hey @reprise"' }, "pass")).toEqual(["true", "true", "true"]);
});

test("numbers, lists and absent members are read as the server reads them", () => {
  expect(results("payload.issue.number > 400 && payload.labels.exists(l, l.name == 'bug')", values(), "pass")).toEqual(["true", "true"]);
  expect(results("has(payload.draft) && payload.issue.number == 1", values(), "stop")).toEqual(["false!", "not read"]);
  expect(results("payload.issue.number == 412 && payload.draft.x == 1", values(), "failed")).toEqual(["true", "error!"]);
  function values() {
    return { "payload.issue.number": "412", "payload.labels": '[{"name":"bug"}]', "payload.draft": "absent", "payload.draft.x": "absent" };
  }
});

test("a value that was cut is not guessed at; the verdict says what it must have been", () => {
  const values = { "event.text": '"aaaa… (900 bytes)', "event.kind": '"push"' };
  expect(results('event.kind == "push" && event.text.contains("z")', values, "stop")).toEqual(["true", "false!"]);
  expect(results('event.text.contains("z") && event.kind == "push"', values, "pass")).toEqual(["true", "true"]);
});

test("a rule that disagrees with what the server found is another one: no results are made up", () => {
  expect(results('event.kind == "push"', { "event.kind": '"push"' }, "stop")).toBeUndefined();
  expect(results('event.kind == "tag"', { "event.kind": '"push"' }, "pass")).toBeUndefined();
});

const step = (stage: Stage, verdict: Verdict, more: Partial<Pick<ExplanationStep, "message" | "reason" | "values">> = {}) =>
  create(ExplanationStepSchema, { stage, verdict, duration: { seconds: 0n, nanos: 200_000 }, ...more });

test("the way stops at the rule that decided; what follows was not reached", () => {
  const views = stepViews([
    step(Stage.VERIFY, Verdict.PASS, { message: "the signature fits" }),
    step(Stage.FILTER, Verdict.STOP, { message: "it is false", reason: DeliveryReason.FILTER_FALSE, values: { "event.kind": '"x"' } }),
    step(Stage.THREAD_KEY, Verdict.SKIPPED),
  ]);
  expect(views.map(({ mark, text, open }) => [mark, text, open])).toEqual([
    ["pass", "the signature fits", false],
    ["stop", "stopped here: it is false", true],
    ["off", "not reached", false],
  ]);
  expect(views.map(({ at }) => sinceReceipt(at))).toEqual(["0.2 ms", "0.4 ms", ""]);
});

test("what is refused is red, a ping is not", () => {
  const mark = (stage: Stage, reason: DeliveryReason) => stepViews([step(stage, Verdict.STOP, { reason })])[0]?.mark;
  expect(mark(Stage.VERIFY, DeliveryReason.SIGNATURE_MISMATCH)).toBe("failed");
  expect(mark(Stage.PARSE, DeliveryReason.BODY_TOO_LARGE)).toBe("failed");
  expect(mark(Stage.PARSE, DeliveryReason.EVENT_NEVER_RUNS)).toBe("stop");
  expect(mark(Stage.DEDUPE, DeliveryReason.SAME_BODY)).toBe("stop");
});

test("a rule that was left out for a reason says it, and is not in the way", () => {
  const [view] = stepViews([step(Stage.VERIFY, Verdict.SKIPPED, { message: "fired by hand" })]);
  expect([view?.mark, view?.text]).toEqual(["pass", "fired by hand"]);
  const [none] = stepViews([step(Stage.FILTER, Verdict.SKIPPED), step(Stage.POLICY, Verdict.PASS)]);
  expect([none?.mark, none?.text]).toEqual(["pass", "no filter"]);
});

test("the way of a stored delivery ends with its run: waiting, live, or not reached", () => {
  const steps = [step(Stage.POLICY, Verdict.PASS), step(Stage.PROMPT, Verdict.SKIPPED)];
  const delivery = create(DeliverySchema, { id: "d", runId: "r", outcome: DeliveryOutcome.QUEUED, steps });
  const way = (run?: MessageInitShape<typeof RunSchema>) =>
    wayOf(delivery, run && create(RunSchema, run), 0).map(({ name, mark }) => `${name} ${mark}`);
  expect(way({ state: RunState.QUEUED })).toEqual(["Received pass", "Queued wait", "Run off"]);
  expect(way({ state: RunState.RUNNING, startTime: { seconds: 1n } })).toEqual(["Received pass", "Queued pass", "Run live"]);
  expect(way({ state: RunState.FAILED, startTime: { seconds: 1n } }).at(-1)).toBe("Run failed");
  expect(wayOf(create(DeliverySchema, { id: "d" }), undefined, 0).at(-1)?.text).toBe("not reached");
});

test("filters in the address are names of the API; other words filter nothing", () => {
  expect(enumValue(DeliveryOutcome, "self_authored")).toEqual([DeliveryOutcome.SELF_AUTHORED]);
  expect(enumValue(DeliveryOutcome, "unspecified")).toEqual([]);
  expect(enumValue(DeliveryOutcome, "constructor")).toEqual([]);
});

test("every word that is looked for must stand somewhere in the row", () => {
  const row = create(DeliverySchema, { threadKey: "acme/shop#412", actor: { login: "Maria" }, outcome: DeliveryOutcome.FILTERED });
  expect(holds(row, " maria  412 ")).toBe(true);
  expect(holds(row, "maria 413")).toBe(false);
  expect(holds(row, "filtered")).toBe(true);
});

test("older rows are asked for so that none of the same moment is left out", () => {
  const row = (nanos: number) => create(DeliverySchema, { receiveTime: { seconds: 5n, nanos } });
  expect(justAfter(row(1000))).toMatchObject({ seconds: 5n, nanos: 2000 });
  expect(justAfter(row(999_999_500))).toMatchObject({ seconds: 6n, nanos: 500 });
});

test("what the sender was answered follows from the outcome", () => {
  const of = (outcome: DeliveryOutcome, reason = DeliveryReason.UNSPECIFIED, origin = DeliveryOrigin.WEBHOOK) =>
    answerStatus({ outcome, reason, origin });
  expect(of(DeliveryOutcome.FILTERED)).toBe(200);
  expect(of(DeliveryOutcome.REJECTED, DeliveryReason.FILTER_FAILED)).toBe(200);
  expect(of(DeliveryOutcome.REJECTED, DeliveryReason.SIGNATURE_MISMATCH)).toBe(401);
  expect(of(DeliveryOutcome.REJECTED, DeliveryReason.BODY_TOO_LARGE)).toBe(413);
  expect(of(DeliveryOutcome.QUEUED, DeliveryReason.UNSPECIFIED, DeliveryOrigin.MANUAL)).toBeUndefined();
});

test("a body is a tree only when it was read whole; a form's payload is read too", () => {
  const bytes = new TextEncoder().encode('{"a":"ü"}');
  expect(readBody(bytes, true).json).toEqual({ a: "ü" });
  // Cut within the two bytes of a letter: still text.
  expect(readBody(bytes.slice(0, 7), false)).toMatchObject({ text: '{"a":"', json: undefined });
  expect(readBody(new Uint8Array([0xff, 0xfe, 0]), true).text).toBeUndefined();
  expect(readBody(new TextEncoder().encode(`payload=${encodeURIComponent('{"b":1}')}`), true).json).toEqual({ b: 1 });
  expect(joinBytes([bytes.slice(0, 3), bytes.slice(3)])).toEqual(bytes);
});

test("short names of events and arguments as a shell takes them", () => {
  expect(shortEvent({ eventKind: "issue_comment", action: "created" })).toBe("comment");
  expect(shortEvent({ eventKind: "pull_request", action: "opened" })).toBe("pull request opened");
  expect(shortEvent({ eventKind: "", action: "" })).toBe("event");
  expect(quoted("--model")).toBe("--model");
  expect(quoted("it's <new id>")).toBe("'it'\\''s <new id>'");
});
