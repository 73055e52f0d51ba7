import type { Page } from "@playwright/test";
import { Source } from "../../../clients/typescript/dist/node.js";
import { comment, expect, freshSlug, githubTrigger, test } from "../support/test.ts";

/** What strangers write to be taken for something other than text. Each element would be found by its id, each script by its mark. */
const CORPUS = [
  "<script>window.pwned=1</script>",
  '"><img id=pwned src=x onerror="window.pwned=1;alert(1)">',
  "<svg id=pwned onload=alert(1)><animate onbegin=alert(1) attributeName=x></svg>",
  "<a id=pwned href='javascript:alert(1)'>click</a> [click](javascript:alert(1)) ![x](https://evil.example/x.png)",
  "{{constructor.constructor('alert(1)')()}} ${alert(1)} <%= alert(1) %> #{alert(1)}",
  "<iframe id=pwned srcdoc='<script>parent.pwned=1</script>'></iframe><style>*{background:url(https://evil.example/s)}</style>",
  "</textarea></title></script><body id=pwned onfocus=alert(1) autofocus><base href=https://evil.example/>",
  "\u001b[31mred\u001b[0m \u001b]8;;javascript:alert(1)\u0007link\u001b]8;;\u0007 \u001b]0;pwned\u0007 \u001b[2J\u009b31m",
  "\u202egpj.exe\u202c \u2066hidden\u2069 \u200b\u0000\ufeff".replace("\u0000", ""),
  "`<img id=pwned src=x onerror=alert(1)>` ```html\n<img id=pwned src=x onerror=alert(1)>\n``` **<b id=pwned>bold</b>**",
];
const ALL = CORPUS.join(" ");
/** Fields that are one line of at most 100 characters take a short one. */
const SHORT = '"><img id=pwned src=x onerror=alert(1)>';

async function harmless(page: Page, address: string): Promise<void> {
  const found = await page.evaluate(() => ({
    script: Reflect.get(globalThis, "pwned") !== undefined && !(Reflect.get(globalThis, "pwned") instanceof Element),
    elements: document.querySelectorAll(
      "#pwned, main iframe, main script, main object, main embed, main base, main img, [onerror], [onload], [onfocus]",
    ).length,
    links: [...document.querySelectorAll("a[href]")]
      .map((a) => a.getAttribute("href") ?? "")
      .filter((href) => !/^(\/|#|\?|https?:\/\/github\.com\/)/.test(href)),
    title: document.title === "pwned",
    controls: [...document.querySelectorAll(".log .tool pre")].some((one) =>
      ["\u0007", "\u001b", "\u009b"].some((code) => one.textContent?.includes(code)),
    ),
    unseen: [...document.querySelectorAll("main .row, main .head, main .crumb, main .tl, title")]
      .map((one) => one.textContent ?? "")
      .filter((text) => ["\u0007", "\u001b", "\u009b", "\u202e", "\u2066", "\u200b"].some((code) => text.includes(code))),
  }));
  expect(found, address).toEqual({ script: false, elements: 0, links: [], title: false, controls: false, unseen: [] });
}

test("text of strangers is text on every page, whatever it holds", async ({ page, api, server }) => {
  test.setTimeout(120_000);
  const trigger = await githubTrigger(api, "text", {
    displayName: SHORT,
    agent: { profile: "shell" },
    filterExpression: 'event.kind == "issue_comment" || event.text == "<script>alert(1)</script>"',
    action: { case: "prompt", value: { template: `Look at this. ${CORPUS[0]} ${CORPUS[2]}` } },
  });
  const echo =
    "printf '%b' '<img id=pwned src=x onerror=alert(1)> \\\\033[31mred\\\\033[0m \\\\033]8;;javascript:alert(1)\\\\007link\\\\033]8;;\\\\007' ; printf '<script>window.pwned=1</script>' >&2";
  const marks = `[[tool: Bash ${JSON.stringify({ command: echo, description: SHORT })}]]`;
  const event = comment(1, `${ALL} ${marks} [[think: ${CORPUS[1]}]] [[say: ${CORPUS[0]} ${CORPUS[1]} ${CORPUS[3]} ${CORPUS[4]}]]`, {
    title: ALL,
    login: SHORT,
  });
  event.issue.html_url = "javascript:alert(1)";
  event.comment.html_url = "javascript:alert(1)";
  const answer = await server.post(trigger.url, trigger.secret, { source: "github", event: "issue_comment", body: event });
  expect(answer.status).toBe(200);
  const { deliveries } = await api.triggers.listDeliveries({ triggerId: trigger.id });
  const delivery = deliveries[0];
  const run = await api.wait(delivery?.runId ?? "");
  const { session: fork } = await api.sessions.forkSession({ sessionId: run.sessionId, displayName: SHORT });
  const failing = await api.createTrigger({
    slug: freshSlug("text"),
    source: Source.MANUAL,
    displayName: SHORT,
    action: { case: "prompt", value: { template: ALL.replaceAll("{{", "{ {") } },
  });
  await api.fire(failing.trigger?.id ?? "", { payload: { title: ALL, [SHORT]: { [SHORT]: ALL } }, prompt: "[[status: 400]]" });

  const seen: [string, string][] = [
    ["/", "Runs"],
    ["/triggers", trigger.slug],
    [`/triggers/${trigger.slug}`, "Which events"],
    [`/triggers/${trigger.slug}?tab=setup`, "Signing secrets"],
    [`/triggers/${trigger.slug}?tab=dry`, "acme/shop#1"],
    ["/deliveries", "acme/shop#1"],
    [`/deliveries/${delivery?.id}`, "acme/shop#1"],
    [`/deliveries/${delivery?.id}?tab=payload`, "onerror"],
    [`/deliveries/${delivery?.id}?tab=headers`, "x-github-event"],
    [`/runs?trigger=${trigger.slug}`, "acme/shop#1"],
    [`/runs/${run.id}`, "onerror"],
    [`/runs/${run.id}?view=raw`, "onerror"],
    [`/runs/${run.id}?q=onerror`, "onerror"],
    ["/sessions", "acme/shop#1"],
    [`/sessions/${run.sessionId}`, "What it remembers"],
    [`/sessions/${fork?.id}`, "onerror"],
    ["/costs", trigger.slug],
    [`/triggers/${failing.trigger?.slug}?tab=try`, "Explain"],
  ];
  for (const [address, shown] of seen) {
    await page.goto(address);
    await expect(page.locator("main").getByText(shown).filter({ visible: true }).first(), `${address} shows ${shown}`).toBeVisible();
    if (address === `/runs/${run.id}`) {
      await page.keyboard.press("e");
      await expect(page.locator(".log .tool pre").filter({ hasText: "onerror" }).first()).toBeVisible();
    }
    await harmless(page, address);
  }
});

test("what is typed is text too: search, filters, addresses, forms", async ({ page, api }) => {
  await githubTrigger(api, "typed");
  for (const address of [
    `/runs/${encodeURIComponent(SHORT)}`,
    `/sessions?q=${encodeURIComponent(ALL)}`,
    `/deliveries?q=${encodeURIComponent(SHORT)}`,
    `/${encodeURIComponent(SHORT)}`,
    `/triggers/${encodeURIComponent(SHORT)}`,
  ]) {
    await page.goto(address);
    await expect(page.locator("main h1, main .crumb .cut").first()).toBeVisible();
    await expect(page.locator("main .loading")).toHaveCount(0);
    await harmless(page, address);
  }
  await page.goto("/settings");
  await page.getByLabel("Time zone").fill(SHORT);
  await page.keyboard.press("ControlOrMeta+s");
  await expect(page.locator(".field", { has: page.getByLabel("Time zone") }).getByRole("alert")).toBeVisible();
  await harmless(page, "settings");
  await page.keyboard.press("ControlOrMeta+k");
  await page.getByRole("combobox", { name: /./ }).or(page.getByPlaceholder("Page, trigger, thread or id")).last().fill(SHORT);
  await expect(page.getByText("Nothing of this name.").or(page.getByRole("option").first())).toBeVisible();
  await harmless(page, "palette");
});
