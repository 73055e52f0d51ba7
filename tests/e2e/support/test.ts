import { type BrowserContext, test as base, expect, type Page } from "@playwright/test";
import { type Reprise, Source } from "../../../clients/typescript/dist/node.js";
import { KEY, Server } from "./server.ts";

export { expect };

/** What a page did that it must never do. */
interface Offences {
  found: string[];
  /** Origins that the test itself opens. */
  origins: string[];
}

interface TestFixtures {
  /** A page that is signed in. */
  page: Page;
  /** A context whose pages are watched, and not signed in. */
  context: BrowserContext;
  offences: Offences;
  api: Reprise;
}

/** Every test: the real server, shared by the tests of a worker, and pages that are watched for what they must never do. */
export const test = base.extend<TestFixtures, { server: Server }>({
  server: [
    async ({}, use) => {
      const server = new Server();
      await server.start();
      await use(server);
      await server.stop();
    },
    { scope: "worker" },
  ],
  baseURL: async ({ server }, use) => use(server.origin),
  api: async ({ server }, use) => use(server.api()),
  offences: async ({ server }, use) => {
    const offences: Offences = { found: [], origins: [server.origin] };
    await use(offences);
    expect(offences.found).toEqual([]);
  },
  context: async ({ context, offences }, use) => {
    await watch(context, offences);
    await use(context);
  },
  page: async ({ context }, use) => {
    const page = await context.newPage();
    await signedIn(page);
    await use(page);
  },
});

/** Gives a tab the key before its page starts, as a person does who keeps it for this tab. */
export async function signedIn(page: Page, key = KEY): Promise<void> {
  await page.addInitScript((value) => sessionStorage.setItem("reprise.key", value), key);
}

/** No dialog of the browser, no request to another origin, no report of the content security policy, no error of a script. */
async function watch(context: BrowserContext, offences: Offences): Promise<void> {
  await context.exposeFunction("reportPolicyViolation", (what: string) => offences.found.push(`policy: ${what}`));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      const report = Reflect.get(globalThis, "reportPolicyViolation") as (what: string) => void;
      report(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  context.on("request", (request) => {
    const { protocol, origin: to } = new URL(request.url());
    if (!offences.origins.includes(to) && protocol !== "data:" && protocol !== "blob:") offences.found.push(`request to ${request.url()}`);
  });
  context.on("dialog", (dialog) => {
    if (dialog.type() !== "beforeunload") offences.found.push(`dialog: ${dialog.type()} ${dialog.message()}`);
    void dialog.accept();
  });
  context.on("weberror", (error) => offences.found.push(`script error: ${error.error().message}`));
}

let count = 0;
/** A name that no other trigger has. */
export function freshSlug(stem: string): string {
  count += 1;
  return `${stem}-${Date.now().toString(36)}-${count}`;
}

/** What a trigger may say besides. */
type TriggerFields = Exclude<Parameters<Reprise["createTrigger"]>[0], { $typeName: string }>;

interface GithubTrigger {
  slug: string;
  id: string;
  url: string;
  secret: string;
}

/** A GitHub trigger that continues sessions, starts at once, and says `template`. */
export async function githubTrigger(api: Reprise, stem: string, fields: TriggerFields = {}): Promise<GithubTrigger> {
  const { trigger, secret } = await api.createTrigger({
    slug: freshSlug(stem),
    source: Source.GITHUB,
    resumeSessions: true,
    busy: { policy: { case: "queue", value: {} } },
    action: { case: "prompt", value: { template: "Review this pull request." } },
    ...fields,
  });
  if (!trigger) throw new Error("no trigger was made");
  return { slug: trigger.slug, id: trigger.id, url: trigger.webhookUrl, secret };
}

/** A comment on a pull request, as GitHub sends it. */
export function comment(number: number, body: string, more: { id?: number; login?: string; title?: string; association?: string } = {}) {
  return {
    action: "created",
    issue: {
      number,
      title: more.title ?? "Add retry to checkout",
      html_url: `https://github.com/acme/shop/pull/${number}`,
      user: { login: "maria", id: 7, type: "User" },
      pull_request: { url: `https://api.github.com/repos/acme/shop/pulls/${number}` },
    },
    comment: {
      id: more.id ?? Math.floor(Math.random() * 1e9),
      body,
      html_url: `https://github.com/acme/shop/pull/${number}#issuecomment-1`,
      user: { login: more.login ?? "maria", id: 7, type: "User" },
      author_association: more.association ?? "MEMBER",
    },
    repository: { id: 1, name: "shop", full_name: "acme/shop", private: false, owner: { login: "acme", id: 2 } },
    sender: { login: more.login ?? "maria", id: 7, type: "User" },
  };
}
