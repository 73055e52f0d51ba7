import { comment, expect, freshSlug, test } from "../support/test.ts";

test("a GitHub trigger is made in the editor; the second webhook of a pull request continues what the first began", async ({
  page,
  server,
  context,
}) => {
  const slug = freshSlug("reviews");
  await page.goto("/triggers");
  await page
    .getByRole("link", { name: /New trigger/ })
    .first()
    .click();
  await page.getByLabel("Source").selectOption({ label: "GitHub" });

  // What is wrong stands at its field, in the words of the server.
  await page.getByLabel("Slug").fill("Not A Slug");
  const slugField = page.locator(".field", { has: page.getByLabel("Slug") });
  await expect(slugField.getByRole("alert")).toBeVisible();
  await page.getByLabel("Slug").fill(slug);
  await expect(slugField.getByRole("alert")).toHaveCount(0);
  const filterField = page.locator(".field", { has: page.getByRole("textbox", { name: "Filter" }) });
  await page.getByRole("textbox", { name: "Filter" }).fill('event.kind == "issue_comment" &&');
  await expect(filterField.getByRole("alert")).toBeVisible();
  await page.getByRole("textbox", { name: "Filter" }).fill('event.kind == "issue_comment"');
  await expect(filterField.getByRole("alert")).toHaveCount(0);
  await page.getByRole("textbox", { name: "Prompt", exact: true }).fill("Review this pull request.");
  await page.getByLabel("Continue sessions").check();
  await page.getByLabel("While a conversation is busy").selectOption("queue");
  await page.getByRole("button", { name: "Create trigger" }).click();

  // The secret is shown this once, beside the steps for this sender with the address of this server.
  const made = page.getByRole("region", { name: "New signing secret" });
  const secret = ((await made.getByTestId("secret").textContent()) ?? "").trim();
  expect(secret.length).toBeGreaterThanOrEqual(32);
  const url = ((await page.getByText(`${server.origin}/hooks/${slug}/`).first().textContent()) ?? "").trim();
  await expect(page.locator(".steps li").first()).toBeVisible();
  await expect(page.locator(".steps")).toContainText("application/json");
  await expect(page.getByText("No webhook has arrived yet")).toBeVisible();
  await made.getByRole("button", { name: "I have stored it" }).click();
  await page.reload();
  await expect(page.getByRole("heading", { name: "Signing secrets" })).toBeVisible();
  await expect(page.getByText(secret)).toHaveCount(0);

  // The first webhook: a fresh conversation, which gives a code word.
  const first = await server.post(url, secret, {
    source: "github",
    event: "issue_comment",
    body: comment(412, "Please review. [[slow: 1]]"),
  });
  expect(first.status).toBe(200);
  await expect(page.getByText(/The last webhook came/)).toBeVisible();
  const runs = await context.newPage();
  await runs.addInitScript(
    (value) => sessionStorage.setItem("reprise.key", value),
    await page.evaluate(() => sessionStorage.getItem("reprise.key") ?? ""),
  );
  await runs.goto(`/runs?trigger=${slug}`);
  const rows = runs.getByRole("region", { name: "Runs" }).locator("a.row");
  await expect(rows).toHaveCount(1);
  await rows.first().click();
  await expect(runs.locator(".head .st")).toContainText("succeeded", { timeout: 40_000 });
  await expect(runs.locator('.log [data-kind="text"]').last()).toContainText("HERON");

  // The second one, watched live: it is written while it is looked at, and it remembers.
  await runs.goto(`/runs?trigger=${slug}`);
  await expect(rows).toHaveCount(1);
  const second = await server.post(url, secret, {
    source: "github",
    event: "issue_comment",
    body: comment(412, "What was the code word, and which ideas did you reject? [[slow: 4]]"),
  });
  expect(second.status).toBe(200);
  await expect(rows.or(runs.getByRole("button", { name: "1 new run" })).nth(1)).toBeVisible();
  const chip = runs.getByRole("button", { name: "1 new run" });
  if (await chip.isVisible()) await chip.click();
  await rows.first().click();
  await expect(runs.locator(".head .st")).toContainText("running");
  await expect(runs.getByText(/continued from/)).toBeVisible();
  await expect(runs.getByText("run 2 of")).toBeVisible();
  await expect(runs.locator(".writing .e")).toBeVisible({ timeout: 40_000 });
  await expect(runs.locator(".head .st")).toContainText("succeeded", { timeout: 40_000 });
  await expect(runs.locator('.log [data-kind="text"]').last()).toContainText("HERON");
});
