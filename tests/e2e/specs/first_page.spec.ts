import type { Request } from "@playwright/test";
import { expect, test } from "../support/test.ts";

/** What the first page may weigh on the wire. */
const MOST_BYTES = 150_000;

test("the first page is light, compressed, and kept by the browser", async ({ page }) => {
  const weighed: Promise<[string, number, string]>[] = [];
  const weigh = (request: Request) => {
    const { pathname } = new URL(request.url());
    if (pathname.startsWith("/reprise.v1.")) return;
    weighed.push(
      Promise.all([request.sizes(), request.response()]).then(([sizes, response]) => [
        pathname,
        sizes.responseBodySize,
        response?.headers()["content-encoding"] ?? "",
      ]),
    );
  };
  page.on("requestfinished", weigh);
  await page.goto("/");
  await expect(page.locator("main .list").first()).toBeVisible();
  page.off("requestfinished", weigh);
  const files = await Promise.all(weighed);
  const total = files.reduce((sum, [, bytes]) => sum + bytes, 0);
  expect(files.filter(([name]) => name.endsWith(".js")).length).toBeGreaterThan(0);
  expect(total, JSON.stringify(files)).toBeLessThan(MOST_BYTES);
  for (const [name, bytes, encoding] of files)
    if (/\.(js|css)$/.test(name) && bytes > 4096) expect([name, encoding]).toEqual([name, expect.stringMatching(/^(gzip|br|zstd)$/)]);
  // What is named by its content is not fetched again.
  await page.reload();
  await expect(page.locator("main .list").first()).toBeVisible();
  const again = await page.evaluate(() =>
    (performance.getEntriesByType("resource") as PerformanceResourceTiming[])
      .filter(({ name, transferSize }) => name.includes("/assets/") && transferSize > 0)
      .map(({ name }) => name),
  );
  expect(again).toEqual([]);
});
