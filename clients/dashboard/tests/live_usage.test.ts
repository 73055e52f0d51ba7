import { create } from "@bufbuild/protobuf";
import { JournalEntrySchema, RunSchema, RunState } from "@reprise/client";
import { expect, test } from "vitest";
import { withLiveUsage } from "../src/pages/run/live_usage.ts";

const usage = (costUsd: number, outputTokens: bigint) => ({ costUsd, outputTokens });
const run = (state: RunState, attempt = 1) => create(RunSchema, { state, attempt, usage: usage(0.5, 10n) });
const told = (sequence: number, attempt: number, costUsd: number) =>
  create(JournalEntrySchema, { sequence, attempt, kind: { case: "usage", value: { usage: usage(costUsd, 3n), contextTokens: 7n } } });
const text = create(JournalEntrySchema, { sequence: 9, attempt: 1, kind: { case: "text", value: { text: "x" } } });

test("a live run costs what its attempts before cost and what the newest entry says of this one", () => {
  const shown = withLiveUsage(run(RunState.RUNNING), [told(1, 1, 0.1), told(2, 1, 0.25), text]);
  expect([shown?.usage?.costUsd, shown?.usage?.outputTokens, shown?.contextTokens]).toEqual([0.75, 13n, 7n]);
});

test("what an earlier attempt used is part of the run already, and a run that has ended is as the server says", () => {
  expect(withLiveUsage(run(RunState.RUNNING, 2), [told(1, 1, 0.1)])?.usage?.costUsd).toBe(0.5);
  expect(withLiveUsage(run(RunState.SUCCEEDED), [told(1, 1, 0.1)])?.usage?.costUsd).toBe(0.5);
  expect(withLiveUsage(undefined, [])).toBeUndefined();
});
