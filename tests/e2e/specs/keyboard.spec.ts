import { comment, expect, githubTrigger, test } from "../support/test.ts";

test("the keyboard goes everywhere", async ({ page }) => {
  await page.goto("/settings");
  await expect(page.getByRole("heading", { level: 1, name: "Settings" })).toBeVisible();
  for (const [key, title] of [
    ["n", "Now"],
    ["t", "Triggers"],
    ["d", "Deliveries"],
    ["r", "Runs"],
    ["s", "Sessions"],
    ["c", "Costs"],
    [",", "Settings"],
  ] as const) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await expect(page.getByRole("heading", { level: 1, name: title })).toBeVisible();
  }
  await page.keyboard.press("?");
  const map = page.getByRole("dialog", { name: "Keys" });
  await expect(map).toContainText("Go to");
  await expect(map).toContainText("g n");
  await page.keyboard.press("Escape");
  await expect(map).toHaveCount(0);
  // In a field a letter is a letter.
  await page.getByLabel("Time zone").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("n");
  await expect(page.getByRole("heading", { level: 1, name: "Settings" })).toBeVisible();
  await page.keyboard.press("ControlOrMeta+k");
  await page.keyboard.type("deliv");
  await page.keyboard.press("Enter");
  // Unsaved: the time zone has two letters more.
  await page.getByRole("dialog").getByRole("button", { name: "Leave" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Deliveries" })).toBeVisible();
});

test("the keys of a run", async ({ page, api, server }) => {
  const trigger = await githubTrigger(api, "keys");
  const ids: string[] = [];
  for (const text of ["Please review. file: cart.txt", "What was the code word?"]) {
    await server.post(trigger.url, trigger.secret, { source: "github", event: "issue_comment", body: comment(3, text) });
    const { deliveries } = await api.triggers.listDeliveries({ triggerId: trigger.id, pageSize: 1 });
    ids.push(deliveries[0]?.runId ?? "");
    await api.wait(ids.at(-1) ?? "");
  }
  const [first, second] = ids;
  await page.goto(`/runs/${first}`);
  await expect(page.locator(".head .st")).toContainText("succeeded");
  const open = page.locator(".log details[open]");
  await page.keyboard.press("w");
  await expect(open).toHaveCount(0);
  await page.keyboard.press("e");
  await expect(open.first()).toBeVisible();
  await page.keyboard.press("w");
  await expect(open).toHaveCount(0);
  await page.keyboard.press("ArrowDown");
  await expect(page.locator('.log .e[aria-current="true"]')).toHaveCount(1);
  await page.keyboard.press("Enter");
  await expect(page.locator('.log .e[aria-current="true"] details[open]')).toHaveCount(1);
  await page.keyboard.press("/");
  await page.keyboard.type("HERON");
  await expect(page.locator(".search")).toContainText(/^\d+$/);
  await page.keyboard.press("Enter");
  await expect(page.locator(".search")).toContainText(/^1\/\d+$/);
  await expect(page.locator("mark").first()).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page).not.toHaveURL(/q=/);
  await expect(page.getByRole("link", { name: /newer/ })).toBeVisible();
  await page.keyboard.press("k");
  await expect(page).toHaveURL(new RegExp(`/runs/${second}`));
  await expect(page.getByRole("link", { name: /older/ })).toBeVisible();
  await page.keyboard.press("j");
  await expect(page).toHaveURL(new RegExp(`/runs/${first}`));
  await expect(page.getByRole("link", { name: /newer/ })).toBeVisible();
  await page.keyboard.press("r");
  await expect(page.getByRole("dialog", { name: "Replay its delivery" })).toBeVisible();
  await page.keyboard.press("Escape");
  await page.keyboard.press("p");
  await expect(page).toHaveURL(/\/sessions\/ses_/);
});
