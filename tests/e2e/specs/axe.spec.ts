import { createRequire } from "node:module";
import { comment, expect, githubTrigger, test } from "../support/test.ts";

const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

interface Finding {
  rule: string;
  impact: string;
  where: string[];
}

test("no page has a serious or critical finding, in either theme and at 400 px", async ({ page, api, server }) => {
  test.setTimeout(120_000);
  const trigger = await githubTrigger(api, "axe", { filterExpression: 'event.text.contains("review")' });
  await server.post(trigger.url, trigger.secret, {
    source: "github",
    event: "issue_comment",
    body: comment(7, "Please review. file: cart.txt"),
  });
  await server.post(trigger.url, trigger.secret, { source: "github", event: "issue_comment", body: comment(7, "thanks") });
  const { deliveries } = await api.triggers.listDeliveries({ triggerId: trigger.id });
  const [filtered, queued] = deliveries;
  const runId = queued?.runId ?? "";
  const run = await api.wait(runId);
  const pages = [
    ["/", "Now"],
    ["/triggers", trigger.slug],
    ["/triggers/_new", "Which events"],
    [`/triggers/${trigger.slug}`, "Which events"],
    [`/triggers/${trigger.slug}?tab=setup`, "Signing secrets"],
    [`/triggers/${trigger.slug}?tab=try`, "Explain"],
    [`/triggers/${trigger.slug}?tab=dry`, "acme/shop#7"],
    ["/deliveries", "acme/shop#7"],
    [`/deliveries/${filtered?.id}`, "filtered"],
    [`/deliveries/${queued?.id}?tab=payload`, "payload"],
    [`/deliveries/${queued?.id}?tab=headers`, "x-github-event"],
    ["/runs", "acme/shop#7"],
    [`/runs/${runId}`, "HERON"],
    [`/runs/${runId}?view=raw`, "HERON"],
    ["/sessions", "acme/shop#7"],
    [`/sessions/${run.sessionId}`, "What it remembers"],
    ["/costs", trigger.slug],
    ["/settings", "What is stored"],
    ["/settings?tab=runs", "How much runs at a time"],
    ["/settings?tab=history", "How long history is kept"],
    ["/settings?tab=server", "Server"],
  ] as const;
  const found: string[] = [];
  for (const [address, shown] of pages) {
    await page.goto(address);
    await expect(page.locator("main").getByText(shown).filter({ visible: true }).first(), `${address} shows ${shown}`).toBeVisible();
    for (const [colorScheme, width] of [
      ["light", 1280],
      ["dark", 1280],
      ["light", 400],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      for (const one of await check(page))
        found.push(`${address} ${colorScheme} ${width}: ${one.impact} ${one.rule} at ${one.where.join(" | ")}`);
      // Nothing but the body of a page scrolls sideways.
      if (width === 400) expect(await page.evaluate(() => document.documentElement.scrollWidth), address).toBeLessThanOrEqual(400);
    }
    await page.setViewportSize({ width: 1280, height: 800 });
  }
  expect(found).toEqual([]);
});

/** What axe finds that is serious or critical. Its script is put in by the browser, past the policy of the page. */
async function check(page: import("@playwright/test").Page): Promise<Finding[]> {
  await page.evaluate(await source());
  return await page.evaluate(async () => {
    const { run } = Reflect.get(globalThis, "axe") as {
      run: (options: object) => Promise<{ violations: { id: string; impact: string; nodes: { target: string[] }[] }[] }>;
    };
    const { violations } = await run({ resultTypes: ["violations"] });
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, impact, nodes }) => ({ rule: id, impact, where: nodes.slice(0, 4).map(({ target }) => target.join(" ")) }));
  });
}

let text: string | undefined;
async function source(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  text ??= await readFile(axe, "utf8");
  return text;
}
