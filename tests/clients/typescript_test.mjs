// The TypeScript client, as it is packed, against the real server; run by tests/clients/run.sh.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect as dial, createServer } from "node:net";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { connect, DeliveryOutcome, DeliveryReason, RepriseError, Role, RunState, Source } from "@reprise/client/node";

const { REPRISE_ADDR, REPRISE_KEY, TEST_CA_FILE, TEST_CONTROL, TEST_PROXY_ADDR, TEST_README, TEST_TLS_ADDR } = process.env;
const MISSING = "run_00000000000000000000000000";

const api = connect(`http://${REPRISE_ADDR}`, REPRISE_KEY);
const far = connect(`http://${TEST_PROXY_ADDR}`, REPRISE_KEY);
// HTTP/2 sessions that are still open do not hold the tests up.
after(() => setTimeout(() => process.exit(), 1000).unref());

async function control(word) {
  const [host, port] = TEST_CONTROL.split(":");
  const socket = dial(Number(port), host);
  socket.write(`${word}\n`);
  const [answer] = await once(socket, "data");
  socket.destroy();
  return answer.toString().trim();
}

async function trigger(on, source, fields = {}, options = {}) {
  const slug = `ts-${Math.random().toString(36).slice(2, 10)}`;
  const action = { case: "prompt", value: { template: "Do {{ event.text }}" } };
  const { secret } = await on.createTrigger({ slug, source, action, ...fields }, options);
  return { slug, secret };
}

async function fired(prompt, on = api) {
  const { slug } = await trigger(on, Source.MANUAL);
  const { run } = await on.fire(slug, { payload: { text: "hello" }, prompt });
  return run.id;
}

/** Everything that a watch gives, with something done at each entry. */
async function followed(on, runId, at = async () => {}, options = {}) {
  const entries = [];
  for await (const entry of on.watchRun(runId, { signal: AbortSignal.timeout(90_000), ...options })) {
    entries.push(entry);
    await at(entry);
  }
  return entries;
}

/** What came over lost connections is the whole journal, each entry once, in order. */
async function sameAsDirect(entries, runId) {
  assert.deepEqual(
    entries.map((entry) => entry.sequence),
    entries.map((_, index) => index + 1),
  );
  assert.deepEqual(entries, await followed(api, runId));
  assert.equal(entries.at(-1).kind.case, "outcome");
}

async function refused(call, reason) {
  const error = await call.then(
    () => assert.fail("it was not refused"),
    (thrown) => thrown,
  );
  assert.ok(error instanceof RepriseError, String(error));
  assert.equal(error.reason, reason, error.message);
  if (reason) assert.ok(error.traceId);
  return error;
}

test("a trigger is made and read, and lists are paged", async () => {
  const { slug, secret } = await trigger(api, Source.GITHUB, { resumeSessions: true });
  const { trigger: read } = await api.triggers.getTrigger({ triggerId: slug });
  assert.deepEqual([read.source, read.resumeSessions], [Source.GITHUB, true]);
  assert.ok(secret.length >= 32 && secret.endsWith(read.secrets[0].hint));
  assert.equal((await api.access.whoAmI({})).role, Role.ADMIN);
  const { triggers, nextPageToken } = await api.triggers.listTriggers({ pageSize: 1 });
  assert.equal(triggers.length, 1);
  assert.ok(nextPageToken || slug);
});

test("a run is followed to its outcome", async () => {
  const runId = await fired("[[toolcall]] [[say: All is well.]]");
  const entries = await followed(api, runId);
  await sameAsDirect(entries, runId);
  assert.equal(entries.at(-1).kind.value.resultText, "All is well.");
  const run = await api.wait(runId);
  assert.deepEqual([run.id, run.state, run.resultText], [runId, RunState.SUCCEEDED, "All is well."]);
  assert.ok(run.usage.costUsd > 0);
  const last = await followed(api, runId, undefined, { tail: 2 });
  assert.deepEqual(
    last.map((entry) => entry.sequence),
    [entries.length - 1, entries.length],
  );
});

test("a run is cancelled while it is watched, and a watch can be left", async () => {
  const runId = await fired("[[toolcall]] [[sleep: 60]]");
  for await (const _ of api.watchRun(runId)) break;
  await assert.rejects(api.wait(runId, { signal: AbortSignal.timeout(500) }), RepriseError);
  const entries = await followed(api, runId, async (entry) => {
    if (entry.kind.case === "toolCall") await api.runs.cancelRun({ runId, reason: "no longer wanted" });
  });
  assert.equal(entries.at(-1).kind.value.state, RunState.CANCELLED);
});

test("a connection that is cut while the run is live", async () => {
  const runId = await fired("[[toolcall]] [[sleep: 2]] [[lines: 5]] [[say: done]]");
  let cuts = 0;
  const entries = await followed(far, runId, async (entry) => {
    if (entry.kind.case === "toolCall") cuts = Number(await control("cut"));
  });
  assert.ok(cuts >= 1, "no connection was open");
  await sameAsDirect(entries, runId);
});

test("a connection that is cut again and again in the past", async () => {
  const runId = await fired("[[lines: 4000]]");
  await api.wait(runId);
  let cuts = 0;
  const entries = await followed(far, runId, async (entry) => {
    // What has arrived already is still read, so the next cut may find nothing open yet.
    if (entry.sequence % 400 === 0) cuts += Number(await control("cut"));
  });
  assert.ok(cuts >= 3 && entries.length > 4000, `${cuts} cuts, ${entries.length} entries`);
  await sameAsDirect(entries, runId);
});

test("a server that restarts under the run", async () => {
  const runId = await fired("[[toolcall]] [[sleep: 30]] [[say: done]]");
  let restarted = false;
  const entries = await followed(far, runId, async (entry) => {
    if (entry.kind.case === "toolCall" && !restarted) restarted = (await control("restart")) === "ok";
  });
  const last = entries.at(-1);
  assert.deepEqual([restarted, last.kind.value.state, last.attempt], [true, RunState.SUCCEEDED, 2]);
  await sameAsDirect(entries, runId);
});

test("errors have their details", async () => {
  const gone = await refused(api.runs.getRun({ runId: MISSING }), "RESOURCE_NOT_FOUND");
  assert.deepEqual([gone.metadata.kind, gone.metadata.id], ["run", MISSING]);
  await refused(api.watchRun(MISSING).next(), "RESOURCE_NOT_FOUND");
  const wrong = await refused(api.settings.updateSettings({ settings: { sessions: { cleanupHourLocal: 24 } } }), "FIELD_INVALID");
  assert.deepEqual(
    wrong.fields.map((field) => field.field),
    ["settings.sessions.cleanup_hour_local"],
  );
  assert.match(wrong.fields[0].description, /0 to 23/);
  const { slug } = await trigger(api, Source.MANUAL);
  const taken = await refused(api.createTrigger({ slug, source: Source.MANUAL, action: { case: "prompt", value: { template: "x" } } }), "SLUG_TAKEN");
  assert.ok(taken.metadata.trigger_id);
  await refused(connect(`http://${REPRISE_ADDR}`, "rk_wrong").runs.getRun({ runId: MISSING }), "KEY_INVALID");
  await refused(connect(`http://${REPRISE_ADDR}`, "").runs.getRun({ runId: MISSING }), "KEY_MISSING");
});

test("a server that is not there is an error too", async () => {
  const free = createServer().listen(0, "127.0.0.1");
  await once(free, "listening");
  const { port } = free.address();
  free.close();
  await refused(connect(`http://127.0.0.1:${port}`, "rk_any").runs.getRun({ runId: MISSING }), "");
});

test("webhooks are signed as their senders sign them", async () => {
  const body = { action: "created", issue: { number: 412 }, comment: { id: 1, body: "Why?" } };
  const { slug, secret } = await trigger(api, Source.GITHUB);
  const webhook = { source: "github", event: "issue_comment", deliveryId: "one", body: JSON.stringify(body) };
  const first = await api.deliver(slug, secret, webhook);
  assert.deepEqual([first.outcome, first.reply.status], [DeliveryOutcome.QUEUED, 200], first.message);
  const again = await api.deliver(slug, secret, webhook);
  assert.deepEqual([again.outcome, again.runId], [DeliveryOutcome.DUPLICATE, first.runId]);
  const forged = await api.deliver(slug, "not the secret", webhook);
  assert.deepEqual([forged.reason, forged.reply.status, forged.runId], [DeliveryReason.SIGNATURE_MISMATCH, 401, ""]);
});

test("everything works over TLS, and a stranger is not trusted", async () => {
  const tls = connect(TEST_TLS_ADDR, REPRISE_KEY, { tls: { ca: await readFile(TEST_CA_FILE) } });
  const runId = await fired("[[toolcall]] [[say: sealed]]", tls);
  const entries = await followed(tls, runId);
  assert.equal(entries.at(-1).kind.value.resultText, "sealed");
  await refused(tls.runs.getRun({ runId: MISSING }), "RESOURCE_NOT_FOUND");
  const stranger = await refused(connect(TEST_TLS_ADDR, REPRISE_KEY).runs.getRun({ runId: MISSING }), "");
  assert.match(stranger.message, /certificate/);
});

test("the example of the README runs as it stands", async () => {
  const [, block] = /```ts\n(.*?)```/s.exec(await readFile(TEST_README, "utf8"));
  const place = new URL("./example.mjs", import.meta.url);
  // The example names the demo's address.
  await writeFile(place, block.replace("http://localhost:7700", `http://${REPRISE_ADDR}`));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [place.pathname], { timeout: 60_000 });
  assert.equal(stderr, "");
  assert.match(stdout, /\/hooks\/reviews\//);
});
