import { create } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { Reprise, RepriseError, RunService, type WatchRunRequest, WatchRunResponseSchema } from "../src/index.js";

const entry = (sequence: number) => create(WatchRunResponseSchema, { sequence, event: { case: "entry", value: { sequence } } });

function serverOf(answers: ((request: WatchRunRequest) => AsyncIterable<ReturnType<typeof entry>>)[]) {
  const asked: WatchRunRequest[] = [];
  const transport = createRouterTransport((router) => {
    router.service(RunService, {
      watchRun(request) {
        asked.push(request);
        const answer = answers[Math.min(asked.length, answers.length) - 1];
        if (!answer) throw new Error("no answer");
        return answer(request);
      },
    });
  });
  return { reprise: new Reprise(transport), asked };
}

/** An error as the server sends it, with google.rpc.ErrorInfo and one wrong field. */
function refusal(code: Code, reason: string): ConnectError {
  const pair = (first: string, second: string) => new BinaryWriter().tag(1, 2).string(first).tag(2, 2).string(second).finish();
  const info = new BinaryWriter().tag(1, 2).string(reason).tag(2, 2).string("reprise").tag(3, 2).bytes(pair("trace_id", "abc")).finish();
  const bad = new BinaryWriter().tag(1, 2).bytes(pair("run_id", "not an id")).finish();
  const error = new ConnectError("refused", code);
  error.details.push({ type: "google.rpc.ErrorInfo", value: info }, { type: "google.rpc.BadRequest", value: bad });
  return error;
}

test("a cut stream goes on after the last sequence, and nothing comes twice", async () => {
  const { reprise, asked } = serverOf([
    async function* () {
      yield entry(1);
      yield entry(2);
      throw new ConnectError("cut", Code.Unavailable);
    },
    async function* (request) {
      expect(request.position).toEqual({ case: "afterSequence", value: 2 });
      yield entry(3);
    },
  ]);
  const seen: number[] = [];
  for await (const one of reprise.watchRun("run_1")) seen.push(one.sequence);
  expect(seen).toEqual([1, 2, 3]);
  expect(asked).toHaveLength(2);
});

test("a real error ends the watch with its reason, metadata and fields", async () => {
  const { reprise, asked } = serverOf([
    // biome-ignore lint/correctness/useYield: the stream fails before its first message
    async function* () {
      throw refusal(Code.InvalidArgument, "FIELD_INVALID");
    },
  ]);
  const failed = await reprise
    .watchRun("nonsense")
    .next()
    .catch((thrown: unknown) => thrown);
  expect(failed).toBeInstanceOf(RepriseError);
  const error = failed as RepriseError;
  expect([error.reason, error.traceId, error.metadata["trace_id"]]).toEqual(["FIELD_INVALID", "abc", "abc"]);
  expect(error.fields).toEqual([{ field: "run_id", description: "not an id" }]);
  expect(asked).toHaveLength(1);
});

test("a silent stream is given up and taken up again", async () => {
  const { reprise } = serverOf([
    async function* () {
      yield entry(1);
      await new Promise(() => {});
    },
    async function* () {
      yield entry(2);
    },
  ]);
  const kinds: string[] = [];
  for await (const event of reprise.watchRunEvents("run_1", { silenceMs: 50 })) kinds.push(event.kind);
  expect(kinds).toEqual(["entry", "broken", "reconnected", "entry"]);
});

test("after as many failures as allowed the watch gives up", async () => {
  const { reprise, asked } = serverOf([
    // biome-ignore lint/correctness/useYield: the stream fails before its first message
    async function* () {
      throw new ConnectError("down", Code.Unavailable);
    },
  ]);
  await expect(reprise.watchRun("run_1", { maxRetries: 1 }).next()).rejects.toMatchObject({ code: Code.Unavailable });
  expect(asked).toHaveLength(2);
});

const down = new ConnectError("down", Code.Unavailable);

test("a server that was never reached is given up after half a minute", async () => {
  vi.useFakeTimers();
  try {
    const { reprise, asked } = serverOf([
      // biome-ignore lint/correctness/useYield: the stream fails before its first message
      async function* () {
        throw down;
      },
    ]);
    let failure: unknown;
    void reprise
      .watchRun("run_1")
      .next()
      .catch((thrown: unknown) => (failure = thrown));
    // A wait is at most ten seconds, and one that would end too late is not begun.
    await vi.advanceTimersByTimeAsync(15_000);
    expect(failure).toBeUndefined();
    await vi.advanceTimersByTimeAsync(15_000);
    expect(failure).toMatchObject({ name: "RepriseError", code: Code.Unavailable });
    expect(asked.length).toBeGreaterThan(4);
  } finally {
    vi.useRealTimers();
  }
});

test("a server that has spoken is looked for longer than one that never did", async () => {
  vi.useFakeTimers();
  try {
    let failures = 0;
    const { reprise } = serverOf([
      async function* () {
        yield entry(1);
        throw down;
      },
      async function* () {
        failures += 1;
        if (failures < 12) throw down;
        yield entry(2);
      },
    ]);
    const start = Date.now();
    const all = (async () => {
      const seen: number[] = [];
      for await (const one of reprise.watchRun("run_1")) seen.push(one.sequence);
      return { seen, after: Date.now() - start };
    })();
    await vi.advanceTimersByTimeAsync(150_000);
    const { seen, after } = await all;
    expect(seen).toEqual([1, 2]);
    expect(after).toBeGreaterThan(30_000);
  } finally {
    vi.useRealTimers();
  }
});
