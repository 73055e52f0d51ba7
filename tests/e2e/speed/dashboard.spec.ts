import type { Page } from "@playwright/test";
import { Source } from "../../../clients/typescript/dist/node.js";
import { Server } from "../support/server.ts";
import { expect, freshSlug, test } from "../support/test.ts";

/** A run of the test double with so many entries; gives its id and slug. */
async function filled(api: ReturnType<Server["api"]>, prompt: string): Promise<string> {
  const { trigger } = await api.createTrigger({
    slug: freshSlug("speed"),
    source: Source.MANUAL,
    runLimits: { maxCostUsd: 0 },
    action: { case: "prompt", value: { template: "x" } },
  });
  const { run } = await api.fire(trigger?.id ?? "", { payload: { text: "go" }, prompt });
  return run?.id ?? "";
}

function report(what: string, figure: string, limit: string): void {
  console.log(`${what.padEnd(58)} ${figure.padStart(14)}   limit ${limit}`);
}

/** Times between frames while `work` runs, in milliseconds. */
async function frames(page: Page, work: () => Promise<void>): Promise<number[]> {
  await page.evaluate(() => {
    const times: number[] = [];
    let on = true;
    const next = (now: number) => {
      times.push(now);
      if (on) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
    Reflect.set(globalThis, "stopFrames", () => {
      on = false;
      return times;
    });
  });
  await work();
  const times = await page.evaluate(() => (Reflect.get(globalThis, "stopFrames") as () => number[])());
  return times.slice(1).map((time, at) => time - (times[at] ?? time));
}

const worst = (spans: number[]) => Math.max(...spans);
const perSecond = (spans: number[]) => (1000 * spans.length) / spans.reduce((sum, one) => sum + one, 0);

async function heapMb(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize / 1_000_000;
}

const server = new Server("fake");
test.beforeAll(async () => {
  await server.start();
});
test.afterAll(async () => {
  await server.stop();
});

test.beforeEach(async ({ offences }) => {
  offences.origins.push(server.origin);
});

test("first page", async ({ page }) => {
  const spans: number[] = [];
  for (let at = 0; at < 5; at += 1) {
    await page.context().clearCookies();
    await page.goto(`${server.origin}/`);
    await expect(page.locator("main h1")).toBeVisible();
    await expect(page.locator("main .list").first()).toBeVisible();
    spans.push(
      await page.evaluate(() => {
        const [navigation] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
        return Math.max(navigation?.domInteractive ?? 0, ...performance.getEntriesByType("paint").map((one) => one.startTime));
      }),
    );
  }
  report("Now, first contentful paint, worst of 5", `${Math.round(Math.max(...spans))} ms`, "1000 ms");
});

test("a run of 100,000 entries", async ({ page }) => {
  const api = server.api();
  const id = await filled(api, "[[lines: 100000]]");
  await api.wait(id);
  const opens: number[] = [];
  for (let at = 0; at < 5; at += 1) {
    await page.goto(`${server.origin}/runs`);
    const row = page.locator("main a.row").first();
    await row.waitFor();
    opens.push(
      await page.evaluate(async () => {
        const begun = performance.now();
        document.querySelector<HTMLElement>("main a.row")?.click();
        await new Promise<void>((done) => {
          const look = () =>
            document.querySelectorAll(".log .e").length > 5 ? requestAnimationFrame(() => done()) : requestAnimationFrame(look);
          look();
        });
        return performance.now() - begun;
      }),
    );
  }
  report("100,000 entries, from the press to the first screen, worst", `${Math.round(Math.max(...opens))} ms`, "500 ms");
  await page.locator(".log .e").first().hover();
  const spans = await frames(page, async () => {
    for (let at = 0; at < 200; at += 1) await page.mouse.wheel(0, -600);
  });
  report("100,000 entries, scrolling up through pages, frames", `${perSecond(spans).toFixed(0)} a second`, "50");
  report("100,000 entries, scrolling, worst frame", `${worst(spans).toFixed(0)} ms`, "–");
  report("100,000 entries, heap", `${(await heapMb(page)).toFixed(1)} MB`, "150 MB");
});

test("lines as fast as the server takes them, live", async ({ page }) => {
  const api = server.api();
  const lines = Number(process.env["E2E_SOAK_LINES"] ?? "60000");
  const id = await filled(api, `[[lines: ${lines}]]`);
  await page.goto(`${server.origin}/runs/${id}`);
  await page.locator(".log .e").first().waitFor();
  const before = await heapMb(page);
  const begun = Date.now();
  const spans = await frames(page, async () => {
    await expect(page.locator(".head .st")).toContainText("succeeded", { timeout: 300_000 });
  });
  const seconds = (Date.now() - begun) / 1000;
  report("live, lines a second", (lines / seconds).toFixed(0), "1000");
  report("live, worst frame", `${worst(spans).toFixed(0)} ms`, "100 ms");
  report("live, frames over 100 ms", `${spans.filter((one) => one > 100).length} of ${spans.length}`, "0");
  report(`live, heap after ${lines} lines (before: ${before.toFixed(1)} MB)`, `${(await heapMb(page)).toFixed(1)} MB`, "150 MB");
});
