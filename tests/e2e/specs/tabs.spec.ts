import type { Page, Request } from "@playwright/test";
import { expect, githubTrigger, signedIn, test } from "../support/test.ts";

const LISTS = ["/reprise.v1.RunService/WatchRuns", "/reprise.v1.TriggerService/WatchDeliveries"];
const RUN = "/reprise.v1.RunService/WatchRun";

/** The streams that a page has open now, by their rpc. */
function streams(page: Page) {
  const open = new Set<Request>();
  page.on("request", (request) => {
    if ([...LISTS, RUN].includes(new URL(request.url()).pathname)) open.add(request);
  });
  page.on("requestfinished", (request) => open.delete(request));
  page.on("requestfailed", (request) => open.delete(request));
  const count = (paths: string[]) => [...open].filter((request) => paths.includes(new URL(request.url()).pathname)).length;
  return { lists: () => count(LISTS), runs: () => count([RUN]), all: () => open.size };
}

/** Hides a tab, or shows it again, as far as its page can tell: without a screen the browser calls every tab visible. */
async function seen(page: Page, visible: boolean): Promise<void> {
  await page.evaluate(
    (value) => {
      Object.defineProperty(document, "visibilityState", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    },
    visible ? "visible" : "hidden",
  );
}

test("eight tabs: one list stream and one run stream at most; hidden ones have none and go on where they were", async ({
  context,
  api,
}) => {
  test.setTimeout(120_000);
  const { slug } = await githubTrigger(api, "tabs", { agent: { profile: "shell" } });
  const { run } = await api.fire(slug, { sample: "issue_comment", prompt: "[[repeat: 400]] [[slow: 300]] [[say: counting on]]" });
  const id = run?.id ?? "";
  const tabs = [];
  for (const address of [`/runs/${id}`, "/", "/deliveries", "/runs", `/runs/${id}`, "/sessions", "/triggers", `/runs/${id}`]) {
    const page = await context.newPage();
    await signedIn(page);
    const open = streams(page);
    await page.goto(address);
    await expect(page.locator("main h1").first()).toBeVisible();
    await expect.poll(() => [open.lists() <= 1, open.runs() <= 1, address.startsWith("/runs/") ? open.runs() : 1]).toEqual([true, true, 1]);
    // The person goes to the next tab.
    await seen(page, false);
    await expect.poll(open.all, { message: `${address} is hidden` }).toBe(0);
    tabs.push({ page, open, address });
  }
  expect(tabs.map(({ open }) => open.all())).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);

  // Back in the first tab: the stream goes on after the last entry that it has.
  const [first] = tabs;
  if (!first) throw new Error("no tab");
  const again = first.page.waitForRequest((request) => new URL(request.url()).pathname === RUN);
  await seen(first.page, true);
  const body = (await again).postDataBuffer();
  expect(body?.length ?? 0).toBeGreaterThan(5);
  await expect.poll(first.open.runs).toBe(1);
  await api.runs.cancelRun({ runId: id });
  await expect(first.page.locator(".head .st")).toContainText("cancelled", { timeout: 20_000 });
  const sequences = await first.page
    .locator(".log .e .at[href]")
    .evaluateAll((all) => all.map((one) => Number(one.getAttribute("href")?.slice(2))));
  expect(sequences.length).toBeGreaterThan(2);
  expect(new Set(sequences).size).toBe(sequences.length);
  // The others saw nothing of it, and see it when they are looked at.
  const last = tabs.at(-1);
  await expect(last?.page.locator(".head .st") ?? first.page.locator("nothing")).toContainText("running");
  if (last) await seen(last.page, true);
  await expect(last?.page.locator(".head .st") ?? first.page.locator("nothing")).toContainText("cancelled");
});
