import { comment, expect, githubTrigger, test } from "../support/test.ts";

test("each delivery says why it stopped where it did; a filtered one is replayed with another body", async ({ page, api, server }) => {
  const trigger = await githubTrigger(api, "stops", {
    filterExpression: 'event.text.contains("@reprise")',
    authorRule: { ownIdentities: ["reprise-bot"] },
  });
  const send = (body: object, secret = trigger.secret, deliveryId?: string) =>
    server.post(trigger.url, secret, { source: "github", event: "issue_comment", body, ...(deliveryId ? { deliveryId } : {}) });
  expect((await send(comment(5, "thanks, looks good"))).status).toBe(200);
  expect((await send(comment(5, "@reprise hello", { login: "reprise-bot" }))).status).toBe(200);
  expect((await send(comment(5, "@reprise hello", { id: 1 }), trigger.secret, "same"))?.status).toBe(200);
  expect((await send(comment(5, "@reprise hello", { id: 1 }), trigger.secret, "same"))?.status).toBe(200);
  expect((await send(comment(5, "@reprise hello"), "not the secret")).status).toBe(401);

  await page.goto(`/deliveries?trigger=${trigger.slug}`);
  const rows = page.locator("main a.row");
  await expect(rows).toHaveCount(5);
  const open = async (word: string) => {
    await page.goto(`/deliveries?trigger=${trigger.slug}`);
    await rows.filter({ hasText: word }).first().click();
    await expect(page.locator(".head .st")).toContainText(word);
  };
  const path = page.getByRole("list", { name: "Path" });

  await open("filtered");
  const filter = path.locator('[data-step="filter"]');
  await expect(filter.locator("details[open]")).toBeVisible();
  await expect(filter).toContainText("event.text");
  await expect(filter).toContainText("thanks, looks good");
  await expect(path.locator('[data-step="verify"]')).toHaveClass("");
  await expect(path).toContainText("not reached");

  await open("self-authored");
  await expect(path).toContainText("reprise-bot");
  await open("duplicate");
  await expect(page.getByText(/^repeats/)).toBeVisible();
  await open("rejected");
  await expect(path).toContainText(/signature/i);

  // The replay is explained before anything runs, asks the rules of now, and is a delivery of its own.
  await open("filtered");
  await page.getByRole("button", { name: "Replay…" }).click();
  const dialog = page.getByRole("dialog", { name: "Replay this delivery" });
  const preview = dialog.getByRole("region", { name: "What would happen" });
  await expect(preview.locator(".line .st")).toContainText("filtered");
  await dialog.getByRole("button", { name: "Edited…" }).click();
  const body = dialog.getByLabel("Body");
  await body.fill((await body.inputValue()).replace("thanks, looks good", "@reprise look again"));
  await expect(preview.locator(".line .st")).toContainText("started");
  await dialog.getByRole("button", { name: "Replay", exact: true }).click();
  await expect(dialog).toHaveCount(0);
  await expect(page.getByText(/^replay of/)).toBeVisible();
  await expect(path.locator('[data-step="run"]')).toContainText("succeeded", { timeout: 40_000 });
  await page.getByRole("link", { name: /^…/ }).and(page.locator('[href^="/runs/"]')).first().click();
  await expect(page.locator(".log details").first()).toBeVisible();
  await page.keyboard.press("e");
  await expect(page.locator(".log")).toContainText("@reprise look again");
});

test("a test fire is explained first and runs nothing until it is fired; the dry run judges what came by changed rules", async ({
  page,
  api,
  server,
}) => {
  const trigger = await githubTrigger(api, "trial");
  await server.post(trigger.url, trigger.secret, { source: "github", event: "issue_comment", body: comment(6, "hello [[say: hi]]") });
  const runs = async () => (await api.runs.listRuns({ triggerId: trigger.id })).runs.length;
  expect(await runs()).toBe(1);
  await page.goto(`/triggers/${trigger.slug}?tab=try`);
  await page.getByRole("button", { name: "Explain" }).click();
  const explanation = page.getByRole("region", { name: "Explanation" });
  await expect(explanation).toContainText("What would happen");
  await expect(explanation).toContainText("--session-id");
  expect(await runs()).toBe(1);
  await page.getByRole("button", { name: "Fire", exact: true }).click();
  await expect(page.getByRole("link", { name: "Open the run" })).toBeVisible();
  expect(await runs()).toBe(2);

  await page.getByRole("button", { name: "Rules" }).click();
  await page.getByRole("textbox", { name: "Filter" }).fill('event.text == "nobody writes this"');
  await page.getByRole("button", { name: "Dry run" }).click();
  await expect(page.getByText(/By your changes 2 of 2 deliveries would end otherwise/)).toBeVisible();
  expect((await api.triggers.getTrigger({ triggerId: trigger.id })).trigger?.filterExpression ?? "").toBe("");
});
