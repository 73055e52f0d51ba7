import { readFile } from "node:fs/promises";
import { RunKind } from "../../../clients/typescript/dist/node.js";
import { comment, expect, githubTrigger, test } from "../support/test.ts";

test("a conversation is exported, forked, compacted, and reset after what is lost was named", async ({ page, api, server, offences }) => {
  test.setTimeout(120_000);
  const trigger = await githubTrigger(api, "session");
  const send = async (body: string) => {
    const answer = await server.post(trigger.url, trigger.secret, { source: "github", event: "issue_comment", body: comment(9, body) });
    expect(answer.status).toBe(200);
    const { deliveries } = await api.triggers.listDeliveries({ triggerId: trigger.id, pageSize: 1 });
    return await api.wait(deliveries[0]?.runId ?? "");
  };
  const first = await send("Please review this pull request.");
  expect(first.resultText).toContain("HERON");
  await page.goto(`/sessions/${first.sessionId}`);
  const memory = page.getByRole("region", { name: "What it remembers" });
  await expect(memory).toContainText("1 turn");

  // The archive is what the server says it is.
  await page.getByRole("button", { name: "Export…" }).click();
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download .tar.zst" }).click();
  const file = await coming;
  expect(file.suggestedFilename()).toMatch(/\.tar\.zst$/);
  expect([...(await readFile(await file.path())).subarray(0, 4)]).toEqual([0x28, 0xb5, 0x2f, 0xfd]);
  await expect(page.getByText("Its SHA-256 is the one that the server names.")).toBeVisible();
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).click();

  // A fork is a session of its own that remembers the same.
  await page.getByRole("button", { name: "Fork…" }).click();
  await page.getByLabel("Name of the copy").fill("What if");
  await page.getByRole("dialog").getByRole("button", { name: "Fork", exact: true }).click();
  await expect(page.getByRole("heading", { level: 1, name: "What if" })).toBeVisible();
  const forkId = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  expect(forkId).not.toBe(first.sessionId);
  await expect(page.getByRole("link", { name: "forked from another session" })).toBeVisible();
  const { run: asked } = await api.fire(trigger.id, { sample: "issue_comment", sessionId: forkId, prompt: "What was the code word?" });
  expect((await api.wait(asked?.id ?? "")).resultText).toContain("HERON");
  await expect(memory).toContainText("2 turns");

  // Compacting is a run of its own, which leads to its log.
  await page.goto(`/sessions/${first.sessionId}`);
  await page.getByRole("button", { name: "Compact…" }).click();
  await expect(page.getByRole("dialog")).toContainText("put a summary in place of 1 turn");
  await page.getByRole("dialog").getByRole("button", { name: "Compact", exact: true }).click();
  await expect(page).toHaveURL(/\/runs\/run_/);
  await expect(page.locator(".head .st")).toContainText("succeeded", { timeout: 40_000 });
  const compaction = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  expect((await api.runs.getRun({ runId: compaction })).run?.kind).toBe(RunKind.COMPACTION);
  const after = await send("What was the code word?");
  expect(after.resultText).toContain("HERON");

  // Reset: cancelling the question changes nothing; confirming it makes the agent forget.
  await page.goto(`/sessions/${first.sessionId}`);
  await expect(memory).toContainText("2 turns");
  await page.getByRole("button", { name: "Reset…" }).click();
  const question = page.getByRole("dialog");
  await expect(question).toContainText("Reset acme/shop#9?");
  await expect(question).toContainText("The agent forgets 2 turns");
  await question.getByRole("button", { name: "Cancel" }).click();
  await expect(memory).toContainText("2 turns");
  await page.getByRole("button", { name: "Reset…" }).click();
  await question.getByRole("button", { name: "Reset", exact: true }).click();
  await expect(question).toHaveCount(0);
  await expect(memory).toContainText("nothing: the next run begins anew");
  const forgot = await send("What was the code word?");
  expect(forgot.resultText).not.toContain("HERON");
  await expect(memory).toContainText("reset");
  expect(offences.found).toEqual([]);
});
