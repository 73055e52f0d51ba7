import type { Page } from "@playwright/test";
import { Server } from "../support/server.ts";
import { comment, expect, githubTrigger, test } from "../support/test.ts";

const field = (page: Page, label: string) => page.locator(".field", { has: page.getByLabel(label) });
const save = (page: Page) => page.getByRole("group", { name: "Unsaved changes" }).getByRole("button", { name: "Save" });

test("settings are saved by the button alone, hour 0 too; what is out of range is said at its field", async ({ page, api }) => {
  await page.goto("/settings");
  const hour = page.getByLabel("Hour of the daily clean-up");
  const before = (await api.settings.getSettings({})).settings;
  await hour.fill("24");
  await expect(field(page, "Hour of the daily clean-up").getByRole("alert")).toContainText("must be between 0 and 23");
  await expect(save(page)).toBeDisabled();
  await hour.fill("0");
  await expect(field(page, "Hour of the daily clean-up").getByRole("alert")).toHaveCount(0);
  expect((await api.settings.getSettings({})).settings?.etag).toBe(before?.etag);
  await save(page).click();
  await expect(page.getByRole("group", { name: "Unsaved changes" })).toHaveCount(0);
  expect((await api.settings.getSettings({})).settings?.sessions?.cleanupHourLocal).toBe(0);
  await page.reload();
  await expect(hour).toHaveValue("0");

  // What only the server can judge comes back to its field.
  await page.getByLabel("Time zone").fill("Mars/Olympus");
  await save(page).click();
  await expect(field(page, "Time zone").getByRole("alert")).toBeVisible();
  await page.getByRole("button", { name: "Discard" }).click();
  await expect(page.getByLabel("Time zone")).toHaveValue(before?.sessions?.timeZone ?? "");
});

test("two people change the settings: the second is told, and may overwrite", async ({ page, api }) => {
  await page.goto("/settings");
  await page.getByLabel("Hour of the daily clean-up").fill("5");
  await api.settings.updateSettings({ settings: { sessions: { cleanupHourLocal: 7 } } });
  await save(page).click();
  const dialog = page.getByRole("dialog", { name: "Changed meanwhile" });
  await expect(dialog).toContainText("Nothing of yours was saved");
  expect((await api.settings.getSettings({})).settings?.sessions?.cleanupHourLocal).toBe(7);
  await dialog.getByRole("button", { name: "Overwrite" }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByLabel("Hour of the daily clean-up")).toHaveValue("5");
  expect((await api.settings.getSettings({})).settings?.sessions?.cleanupHourLocal).toBe(5);
});

test("leaving with unsaved changes asks; staying keeps them", async ({ page }) => {
  await page.goto("/settings");
  await page.getByLabel("Hour of the daily clean-up").fill("11");
  await page.getByRole("link", { name: /^Runs/ }).click();
  const dialog = page.getByRole("dialog", { name: "Leave without saving?" });
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await expect(page.getByLabel("Hour of the daily clean-up")).toHaveValue("11");
  await page.getByRole("link", { name: /^Runs/ }).click();
  await dialog.getByRole("button", { name: "Leave" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Runs" })).toBeVisible();
});

test("stale sessions are cleaned up after the question says how many go, and nothing is said to go when nothing is stale", async ({
  page,
  context,
  offences,
}) => {
  const own = new Server("fake");
  try {
    await own.start();
    offences.origins.push(own.origin);
    const api = own.api();
    await page.goto(`${own.origin}/settings`);
    await page.getByRole("button", { name: "Clean up stale now…" }).click();
    await expect(page.getByText("No session is stale: nothing to clean up.")).toBeVisible();
    const trigger = await githubTrigger(api, "stale");
    for (const number of [1, 2]) {
      await own.post(trigger.url, trigger.secret, { source: "github", event: "issue_comment", body: comment(number, "hello") });
      const { deliveries } = await api.triggers.listDeliveries({ triggerId: trigger.id, pageSize: 1 });
      await api.wait(deliveries[0]?.runId ?? "");
    }
    await own.age(3);
    await api.settings.updateSettings({ settings: { sessions: { autoCleanupDays: 1 } } });
    await page.reload();
    await expect(page.getByRole("region", { name: "Storage" })).toContainText("2 stale");
    await page.getByRole("button", { name: "Clean up stale now…" }).click();
    const question = page.getByRole("dialog");
    await expect(question).toContainText("Delete 2 stale sessions?");
    await question.getByRole("button", { name: "Clean up", exact: true }).click();
    await expect(page.getByText(/2 sessions deleted/)).toBeVisible();
    expect((await api.sessions.listSessions({})).sessions).toHaveLength(0);
    expect(context.pages().length).toBe(1);
  } finally {
    await own.stop();
  }
});
