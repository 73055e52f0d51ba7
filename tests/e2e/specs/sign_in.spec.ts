import { KEY, Server } from "../support/server.ts";
import { expect, test } from "../support/test.ts";

const key = "API key";

test("a wrong key is refused at its field, the right one leads to the page that was asked for", async ({ context }) => {
  const page = await context.newPage();
  await page.goto("/triggers");
  await page.getByLabel(key).fill("rk_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("alert")).toHaveText("The server does not know this key.");
  await page.getByLabel(key).fill(KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Triggers" })).toBeVisible();
  expect(new URL(page.url()).pathname).toBe("/triggers");
  // In memory alone: a reload asks again.
  expect(await page.evaluate(() => [localStorage.length, sessionStorage.length])).toEqual([0, 0]);
  await page.reload();
  await expect(page.getByLabel(key)).toBeVisible();
});

test("a key that is kept outlives a reload, in this tab alone", async ({ context }) => {
  const page = await context.newPage();
  await page.goto("/");
  await page.getByLabel(key).fill(KEY);
  await page.getByLabel("Keep it until this tab is closed").check();
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect(page.getByRole("heading", { level: 1, name: "Now" })).toBeVisible();
  await page.reload();
  await expect(page.getByRole("heading", { level: 1, name: "Now" })).toBeVisible();
  const other = await context.newPage();
  await other.goto("/");
  await expect(other.getByLabel(key)).toBeVisible();
});

test("a one-time code signs in once, and is gone from the address", async ({ context, server }) => {
  const address = await server.signInLink();
  expect(address.origin).toBe(server.origin);
  const code = address.hash.slice("#code=".length);
  expect(code.length).toBeGreaterThanOrEqual(16);
  const page = await context.newPage();
  await page.goto(address.pathname + address.hash);
  await expect(page.getByRole("heading", { level: 1, name: "Now" })).toBeVisible();
  expect(page.url()).not.toContain(code);
  await page.goBack();
  expect(page.url()).not.toContain(code);
  const second = await context.newPage();
  await second.goto(address.pathname + address.hash);
  await expect(second.getByText("The sign-in code was used already or is too old.")).toBeVisible();
  expect(second.url()).not.toContain(code);
});

test("a key that is revoked meanwhile leads to the sign-in, and from there back to the same page", async ({ context, offences }) => {
  const own = new Server("fake");
  try {
    await own.start();
    offences.origins.push(own.origin);
    const page = await context.newPage();
    await page.goto(`${own.origin}/settings?tab=runs`);
    await page.getByLabel(key).fill(KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    const address = page.url();
    await expect(page.getByRole("heading", { level: 1, name: "Settings" })).toBeVisible();
    await own.halt();
    const next = await own.replaceKeys();
    await own.start();
    await page.getByRole("link", { name: /^Triggers/ }).click();
    await expect(page.getByText("The server no longer takes this key.")).toBeVisible();
    expect(page.url()).toBe(`${own.origin}/triggers`);
    await page.getByLabel(key).fill(KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("alert")).toHaveText("The server does not know this key.");
    await page.getByLabel(key).fill(next);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Triggers" })).toBeVisible();
    await page.goBack();
    await expect(page.getByRole("heading", { level: 1, name: "Settings" })).toBeVisible();
    expect(page.url()).toBe(address);
  } finally {
    await own.stop();
  }
});

test("a page that is only looked at leads to the sign-in when its key is revoked", async ({ context, offences }) => {
  const own = new Server("fake");
  try {
    await own.start();
    offences.origins.push(own.origin);
    const page = await context.newPage();
    await page.goto(`${own.origin}/runs`);
    await page.getByLabel(key).fill(KEY);
    await page.getByRole("button", { name: "Sign in" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "Runs" })).toBeVisible();
    await own.revokeKeys();
    await expect(page.getByText("The server no longer takes this key.")).toBeVisible({ timeout: 10_000 });
    expect(page.url()).toBe(`${own.origin}/runs`);
  } finally {
    await own.stop();
  }
});
