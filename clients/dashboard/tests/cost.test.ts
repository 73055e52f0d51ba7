import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CostBasis, RunSchema, RunState, UsageSchema } from "@reprise/client";
import { expect, test } from "vitest";
import { costOf, costText } from "../src/lib/cost.ts";

const run = (state: RunState, usage?: { costUsd?: number; inputTokens?: bigint; costBasis?: CostBasis }, started = true) =>
  create(RunSchema, {
    state,
    ...(started ? { startTime: timestampFromMs(1) } : {}),
    ...(usage ? { usage: create(UsageSchema, usage) } : {}),
  });

test("a live run that the model has not answered yet has no cost that is known", () => {
  expect(costOf(run(RunState.RUNNING))).toBeUndefined();
  expect(costOf(run(RunState.RUNNING, {}))).toBeUndefined();
  expect(costOf(run(RunState.CANCELLING, {}))).toBeUndefined();
});

test("a later attempt shows what the ones before it cost, also nothing", () => {
  expect(costOf(run(RunState.RUNNING, { costUsd: 0.02 }))).toBe(0.02);
  expect(costOf(run(RunState.RUNNING, { inputTokens: 9n }))).toBe(0);
});

test("a run that ended cost what it cost, and one that never started has no cost", () => {
  expect(costOf(run(RunState.SUCCEEDED, {}))).toBe(0);
  expect(costOf(run(RunState.FAILED))).toBe(0);
  expect(costOf(run(RunState.CANCELLED, {}, false))).toBeUndefined();
  expect(costOf(run(RunState.QUEUED, undefined, false))).toBeUndefined();
});

test("an estimate is marked as one, and says whether more is to come", () => {
  const metered = { costUsd: 0.25, costBasis: CostBasis.METERED };
  expect(costText(run(RunState.RUNNING, metered))).toMatchObject({ text: "~$0.25", title: expect.stringContaining("So far") });
  expect(costText(run(RunState.CANCELLED, metered))).toMatchObject({ text: "~$0.25", title: expect.stringContaining("ended") });
  expect(costText(run(RunState.SUCCEEDED, { costUsd: 0.25, costBasis: CostBasis.REPORTED }))).toEqual({ text: "$0.25" });
  expect(costText(run(RunState.RUNNING))).toMatchObject({ text: "–", title: expect.any(String) });
  expect(costText(run(RunState.QUEUED, undefined, false))).toEqual({ text: "–" });
});
