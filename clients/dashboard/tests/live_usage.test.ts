import { create } from "@bufbuild/protobuf";
import { JournalEntrySchema, RunSchema, RunState } from "@reprise/client";
import { expect, test } from "vitest";
import { withLiveUsage } from "../src/pages/run/live_usage.ts";

const usage = (costUsd: number, outputTokens: bigint) => ({ costUsd, outputTokens });
/** A run whose first attempt is over; the second one, if it is there, was told of when it had used a little. */
const run = (state: RunState, attempt = 1) =>
  create(RunSchema, {
    state,
    attempt,
    usage: usage(0.5, 10n),
    attempts: [
      { number: 1, usage: usage(0.45, 9n) },
      { number: 2, usage: usage(0.05, 1n) },
    ].slice(0, attempt),
  });
const told = (sequence: number, attempt: number, costUsd: number) =>
  create(JournalEntrySchema, { sequence, attempt, kind: { case: "usage", value: { usage: usage(costUsd, 3n), contextTokens: 7n } } });
const text = create(JournalEntrySchema, { sequence: 9, attempt: 1, kind: { case: "text", value: { text: "x" } } });

test("a live run costs what its attempts before cost and what the newest entry says of this one", () => {
  const first = withLiveUsage(run(RunState.RUNNING), [told(1, 1, 0.1), told(2, 1, 0.6), text]);
  expect([first?.usage?.costUsd, first?.usage?.outputTokens, first?.contextTokens]).toEqual([0.6, 3n, 7n]);
  const second = withLiveUsage(run(RunState.RUNNING, 2), [told(1, 1, 0.45), told(2, 2, 0.25)]);
  expect([second?.usage?.costUsd, second?.usage?.outputTokens]).toEqual([0.7, 12n]);
});

test("what an earlier attempt used is part of the run already, and a run that has ended is as the server says", () => {
  expect(withLiveUsage(run(RunState.RUNNING, 2), [told(1, 1, 0.1)])?.usage?.costUsd).toBe(0.5);
  expect(withLiveUsage(run(RunState.SUCCEEDED), [told(1, 1, 0.1)])?.usage?.costUsd).toBe(0.5);
  expect(withLiveUsage(undefined, [])).toBeUndefined();
});
