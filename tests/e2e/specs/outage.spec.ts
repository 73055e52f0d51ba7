import { Server } from "../support/server.ts";
import { expect, test } from "../support/test.ts";

test("the server goes: a banner, tries further and further apart, and what was typed is still there when it is back", async ({
  page,
  offences,
}) => {
  const own = new Server("fake");
  try {
    await own.start();
    offences.origins.push(own.origin);
    await page.goto(`${own.origin}/triggers/_new`);
    await page.getByLabel("Slug").fill("half-written");
    await page.getByRole("textbox", { name: "Prompt", exact: true }).fill("A long prompt that took an hour.");
    await own.halt();
    const banner = page.getByRole("status").filter({ hasText: "no connection" });
    // The form asks the server about each change.
    await page.getByLabel("Slug").fill("half-written-2");
    await expect(banner).toBeVisible();
    await expect(banner).toContainText("What you typed stays.");
    const tries: number[] = [];
    page.on("request", (request) => request.url().endsWith("/WhoAmI") && tries.push(Date.now()));
    await expect.poll(() => tries.length, { timeout: 30_000 }).toBeGreaterThanOrEqual(4);
    const [first = 0, second = 0, , fourth = 0] = tries;
    const third = tries[2] ?? 0;
    expect(fourth - third).toBeGreaterThan(second - first);
    await own.start();
    await page.getByRole("button", { name: "Try now" }).click();
    await expect(banner).toHaveCount(0);
    await expect(page.getByLabel("Slug")).toHaveValue("half-written-2");
    await expect(page.getByRole("textbox", { name: "Prompt", exact: true })).toHaveValue("A long prompt that took an hour.");
    await page.getByRole("button", { name: "Create trigger" }).click();
    await expect(page.getByRole("heading", { name: "Signing secrets" })).toBeVisible();
  } finally {
    await own.stop();
  }
});
