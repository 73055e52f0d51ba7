import { join } from "node:path";
import { Source } from "../../../clients/typescript/dist/node.js";
import { comment, expect, githubTrigger, signedIn, test } from "../support/test.ts";

const OUT = process.env["E2E_PICTURES"] ?? "../../.tools/pictures";

test("pictures of every page", async ({ context, api, server }) => {
  const shell = { profile: "shell" };
  const limits = { maxCostUsd: 5 };
  const trigger = await githubTrigger(api, "x", {
    slug: "github-reviews",
    displayName: "Reviews of pull requests",
    agent: shell,
    workspace: { kind: { case: "named", value: { name: "shop" } } },
    runLimits: limits,
    filterExpression: 'event.kind == "issue_comment" && event.text.contains("review")',
    authorRule: { ownIdentities: ["reprise-bot"] },
  });
  await githubTrigger(api, "x", { slug: "linear-triage", source: Source.LINEAR, displayName: "Triage of new issues" }).catch(
    () => undefined,
  );
  await api.createTrigger({
    slug: "nightly",
    source: Source.MANUAL,
    resumeSessions: false,
    action: { case: "prompt", value: { template: "Look at the shop." } },
  });
  const send = async (number: number, body: string, title?: string, login?: string) => {
    await server.post(trigger.url, trigger.secret, {
      source: "github",
      event: "issue_comment",
      body: comment(number, body, { title, login }),
    });
    const { deliveries } = await api.triggers.listDeliveries({ triggerId: trigger.id, pageSize: 1 });
    return deliveries[0];
  };
  const bash = (command: string) => `[[tool: Bash ${JSON.stringify({ command })}]]`;
  const done = async (one: Awaited<ReturnType<typeof send>>) => (one?.runId ? await api.wait(one.runId) : undefined);
  await done(await send(412, "Please review. file: cart.txt"));
  const filtered = await send(412, "thanks, looks good", undefined, "jonas");
  await send(412, "review done", undefined, "reprise-bot");
  await done(
    await send(412, `review again ${bash("./check")} [[say: The second test fails: \`retry\` counts from one. The word was HERON.]]`),
  );
  await done(await send(409, "review [[status: 400]]", "Bump serde to 1.0.230"));
  await done(await send(406, "please review this one", "Cache the price list"));
  await api.fire("nightly", { payload: { text: "go" }, prompt: "[[say: Nothing to do.]]" });
  const live = await send(
    412,
    `What was the code word? review ${bash("cat cart.txt")} ${bash("./check")} [[think: The cap belongs in the back-off, not at its caller.]] ${bash("tail -f /dev/null")} [[say: done]]`,
    undefined,
    "maria",
  );
  const waiting = await send(412, "and review the docs too", undefined, "maria");
  const { session } = await api.sessions.getSession({ sessionId: live?.sessionId ?? "" });

  const pages: [string, string, string][] = [
    ["now", "/", "Running"],
    ["triggers", "/triggers", "github-reviews"],
    ["trigger-new", "/triggers/_new", "Which events"],
    ["trigger", `/triggers/${trigger.slug}`, "Which events"],
    ["trigger-setup", `/triggers/${trigger.slug}?tab=setup`, "Signing secrets"],
    ["trigger-try", `/triggers/${trigger.slug}?tab=try`, "Explain"],
    ["trigger-dry", `/triggers/${trigger.slug}?tab=dry`, "acme/shop#412"],
    ["deliveries", "/deliveries", "acme/shop#412"],
    ["delivery-filtered", `/deliveries/${filtered?.id}`, "jonas"],
    ["delivery", `/deliveries/${waiting?.id}`, "acme/shop#412"],
    ["delivery-payload", `/deliveries/${live?.id}?tab=payload`, "payload"],
    ["runs", "/runs", "acme/shop#412"],
    ["run", `/runs/${live?.runId}`, "Bash"],
    ["run-raw", `/runs/${live?.runId}?view=raw`, "session_id"],
    ["sessions", "/sessions", "acme/shop#412"],
    ["thread", `/sessions/${session?.id}`, "What it remembers"],
    ["costs", "/costs", "Costs"],
    ["settings", "/settings", "What is stored"],
    ["settings-runs", "/settings?tab=runs", "How much runs at a time"],
    ["settings-server", "/settings?tab=server", "Server"],
  ];
  const page = await context.newPage();
  await signedIn(page);
  for (const [name, address, shown] of pages) {
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.emulateMedia({ colorScheme: "light" });
    await page.goto(address);
    await expect(page.getByText(shown).filter({ visible: true }).first()).toBeVisible();
    await page.waitForLoadState("load");
    await expect(page.locator(".loading")).toHaveCount(0);
    for (const [kind, width, colorScheme] of [
      ["light", 1280, "light"],
      ["dark", 1280, "dark"],
      ["400", 400, "light"],
    ] as const) {
      await page.setViewportSize({ width, height: 860 });
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: join(OUT, `${name}-${kind}.png`) });
    }
  }
  await page.setViewportSize({ width: 1280, height: 860 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto("/runs");
  await expect(page.locator("main a.row").first()).toBeVisible();
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
  await page.screenshot({ path: join(OUT, "keys-dark.png") });
  const stranger = await context.newPage();
  await stranger.goto("/");
  await stranger.getByLabel("API key").waitFor();
  await stranger.screenshot({ path: join(OUT, "sign-in-light.png") });
  await api.runs.cancelRun({ runId: live?.runId ?? "" });
});
