import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { RunState } from "../../../clients/typescript/dist/node.js";
import { expect, githubTrigger, test } from "../support/test.ts";

/** A run that works as long as it is let, in a tool; gives its id. */
async function slowRun(api: Parameters<typeof githubTrigger>[0], prompt: string): Promise<string> {
  const { slug } = await githubTrigger(api, "slow", { agent: { profile: "shell" } });
  const { run } = await api.fire(slug, { sample: "issue_comment", prompt });
  if (!run) throw new Error("no run was made");
  return run.id;
}

async function cancel(page: Page, how: string): Promise<void> {
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("menuitem", { name: new RegExp(`^${how}`) }).click();
}

const state = (page: Page) => page.locator(".head .st");

test("a slow run is cancelled now, in the middle of its command", async ({ page, api }) => {
  const id = await slowRun(api, '[[tool: Bash {"command":"tail -f /dev/null"}]]');
  await page.goto(`/runs/${id}`);
  await expect(page.locator('.e[data-kind="toolCall"]').filter({ hasText: "tail -f /dev/null" })).toBeVisible({ timeout: 40_000 });
  await expect(state(page)).toContainText("running");
  await cancel(page, "Now");
  await expect(state(page)).toContainText("cancelled", { timeout: 20_000 });
  await expect(page.getByRole("button", { name: "Cancel" })).toHaveCount(0);
  const { run } = await api.runs.getRun({ runId: id });
  expect(run?.state).toBe(RunState.CANCELLED);
});

test("a run that is cancelled after its step ends when the step has answered, not before", async ({ page, api, server }) => {
  const open = join(server.home, "go");
  const gate = `until test -e ${open}; do sleep 0.1; done; echo step-done`;
  const id = await slowRun(api, `[[tool: Bash {"command":"${gate}"}]] [[tool: Bash {"command":"echo never-run"}]] [[say: never said]]`);
  await page.goto(`/runs/${id}`);
  const step = page.locator('.e[data-kind="toolCall"]').filter({ hasText: "step-done" });
  await expect(step).toBeVisible({ timeout: 40_000 });
  await cancel(page, "After this step");
  await expect(state(page)).toContainText("cancelling");
  const { run } = await api.runs.getRun({ runId: id });
  expect(run?.state).toBe(RunState.CANCELLING);
  await writeFile(open, "");
  await expect(state(page)).toContainText("cancelled", { timeout: 20_000 });
  await expect(page.locator(".log")).toContainText("step-done");
  await expect(page.locator(`.e[data-kind="toolCall"]`)).toHaveCount(1);
});
