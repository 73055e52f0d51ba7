import { Code } from "@connectrpc/connect";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { DeliveryOutcome, RepriseError, RunState, Source, type WatchRunEvent } from "../src/index.js";
import { connect } from "../src/node.js";
import { connect as connectWeb } from "../src/web.js";
import { hasServer, KEY, TestServer, Wire } from "./server.js";

describe.skipIf(!hasServer)("against the real server", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start();
  });
  afterAll(() => server?.stop());

  const slugs = new Set<string>();
  /** A trigger that says 40 texts with a pause between the halves, by either transport. */
  async function makeTrigger(reprise: ReturnType<typeof connect>, source = Source.MANUAL) {
    const slug = `t${slugs.size + 1}`;
    slugs.add(slug);
    const made = await reprise.createTrigger({
      slug,
      source,
      action: { case: "prompt", value: { template: "[[lines: 40]] [[sleep: 1]]" } },
    });
    return { slug, secret: made.secret };
  }

  test.each([
    ["gRPC", () => connect(server.address, KEY)],
    ["gRPC-web", () => connectWeb(server.address, KEY)],
  ])("over %s a trigger is made, fired, and its run followed to the end", async (_name, open) => {
    const reprise = open();
    const { slug } = await makeTrigger(reprise);
    const fired = await reprise.fire(slug, { payload: { text: "hello" } });
    const runId = fired.run?.id ?? "";
    const sequences: number[] = [];
    let last = "";
    for await (const entry of reprise.watchRun(runId)) {
      sequences.push(entry.sequence);
      last = entry.kind.case ?? "";
    }
    expect(sequences).toEqual(Array.from({ length: sequences.length }, (_, at) => at + 1));
    expect(sequences.length).toBeGreaterThan(40);
    expect(last).toBe("outcome");
    const ended = await reprise.wait(runId);
    expect(ended.state).toBe(RunState.SUCCEEDED);
    // The whole run: what a watch leaves out is there.
    expect(ended.attempts).toHaveLength(1);
  });

  test.each([
    ["gRPC", (address: string) => connect(address, KEY)],
    ["gRPC-web", (address: string) => connectWeb(address, KEY)],
  ])("over %s a cut connection in the middle loses and repeats nothing", async (_name, open) => {
    const wire = new Wire(server.address);
    await wire.open();
    try {
      const { slug } = await makeTrigger(connect(server.address, KEY));
      const fired = await connect(server.address, KEY).fire(slug);
      const sequences: number[] = [];
      const kinds = new Set<WatchRunEvent["kind"]>();
      for await (const event of open(wire.address).watchRunEvents(fired.run?.id ?? "")) {
        kinds.add(event.kind);
        if (event.kind !== "entry") continue;
        sequences.push(event.entry.sequence);
        if (event.entry.sequence === 2) wire.cut();
      }
      expect([...kinds]).toEqual(expect.arrayContaining(["run", "entry", "broken", "reconnected"]));
      expect(sequences).toEqual(Array.from({ length: sequences.length }, (_, at) => at + 1));
      expect(sequences.length).toBeGreaterThan(40);
    } finally {
      wire.close();
    }
  });

  test.each([
    ["REPRISE_ADDR", "REPRISE_KEY"],
    ["REPRISE_URL", "REPRISE_API_KEY"],
  ])("the environment says where it is and who calls: %s and %s", async (address, key) => {
    for (const name of ["REPRISE_ADDR", "REPRISE_URL", "REPRISE_KEY", "REPRISE_API_KEY"]) vi.stubEnv(name, undefined);
    vi.stubEnv(address, new URL(server.address).host);
    vi.stubEnv(key, KEY);
    expect((await connect().access.whoAmI({})).apiKeyId).toMatch(/^key_/);
    await expect(connect(undefined, "rk_wrong").access.whoAmI({})).rejects.toMatchObject({ reason: "KEY_INVALID" });
  });
  afterEach(() => vi.unstubAllEnvs());

  test("errors carry reason, metadata, trace id and the fields that are wrong", async () => {
    const reprise = connectWeb(server.address, KEY);
    const { slug } = await makeTrigger(reprise);
    const action = { case: "prompt" as const, value: { template: "hi" } };
    const taken = await reprise.createTrigger({ slug, source: Source.MANUAL, action }).catch(RepriseError.from);
    expect(taken).toMatchObject({
      reason: "SLUG_TAKEN",
      code: Code.AlreadyExists,
      metadata: { trigger_id: expect.stringMatching(/^trg_/) },
    });
    expect((taken as RepriseError).traceId).not.toBe("");
    const wrong = await reprise.createTrigger({ slug: "Not A Slug", source: Source.MANUAL, action }).catch(RepriseError.from);
    expect(wrong).toMatchObject({ reason: "FIELD_INVALID", fields: [{ field: expect.stringContaining("slug") }] });
    const refused = await connect(server.address, "rk_wrong").access.whoAmI({}).catch(RepriseError.from);
    expect(refused).toMatchObject({ reason: "KEY_INVALID", code: Code.Unauthenticated, transient: false });
    const gone = await reprise.watchRun("run_01jd8m3c6zf5xbq2t9q17k2m00").next().catch(RepriseError.from);
    expect(gone).toMatchObject({ transient: false });
  });

  test("a signed webhook is taken in, the same once more is a duplicate, and a wrong secret is rejected", async () => {
    const reprise = connect(server.address, KEY);
    const { slug, secret } = await makeTrigger(reprise, Source.GITHUB);
    const webhook = {
      source: "github" as const,
      event: "issue_comment",
      deliveryId: "d-1",
      body: {
        action: "created",
        repository: { id: 1, full_name: "acme/shop" },
        issue: { number: 412, title: "Retry", html_url: "https://example.com" },
        comment: { id: 9, body: "hello" },
        sender: { id: 5, login: "maria", type: "User" },
      },
    };
    const first = await reprise.deliver(slug, secret, webhook);
    expect([first.outcome, first.reply?.status, first.message]).toEqual([DeliveryOutcome.QUEUED, 200, expect.anything()]);
    expect((await reprise.deliver(slug, secret, webhook)).outcome).toBe(DeliveryOutcome.DUPLICATE);
    expect((await reprise.deliver(slug, "wrong", { ...webhook, deliveryId: "d-2" })).reply?.status).toBe(401);
  });
});

test("what is no address is said at once", () => {
  for (const wrong of ["ftp://here", "http://here/api", "two words"]) expect(() => connect(wrong)).toThrow("is no address");
});

describe.skipIf(!hasServer)("over TLS", () => {
  test("a certificate that is given is trusted, and one that is not is refused", async () => {
    const server = await TestServer.start({ tls: true });
    try {
      expect(server.address).toMatch(/^https:/);
      expect((await connect(server.address, KEY, { tls: { ca: server.certificate } }).access.whoAmI({})).apiKeyId).toMatch(/^key_/);
      await expect(connect(server.address, KEY).access.whoAmI({})).rejects.toBeInstanceOf(RepriseError);
    } finally {
      await server.stop();
    }
  });
});
