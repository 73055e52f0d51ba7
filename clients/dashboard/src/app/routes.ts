import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import type { IconName } from "../components/icon.tsx";
import type { PageProps } from "./page.tsx";

/** Code of a page, fetched when it is first shown. */
export interface LazyPage {
  load: () => Promise<{ default: ComponentType<PageProps> }>;
  /** Addresses with the same word are one page that stays, for a list beside what it opens; others begin anew. */
  stays?: string;
}

const page = (load: LazyPage["load"], stays?: string): LazyPage => (stays ? { load, stays } : { load });

/** Every page. To add one: a file under `pages/`, and a line here. */
export const routes: readonly (readonly [string, LazyPage])[] = [
  ["/", page(() => import("../pages/now.tsx"))],
  ["/triggers", page(() => import("../pages/triggers.tsx"))],
  ["/triggers/:trigger", page(() => import("../pages/trigger.tsx"))],
  ["/deliveries", page(() => import("../pages/deliveries.tsx"))],
  ["/deliveries/:delivery", page(() => import("../pages/delivery.tsx"), "delivery")],
  ["/runs", page(() => import("../pages/runs.tsx"))],
  ["/runs/:run", page(() => import("../pages/run.tsx"))],
  ["/sessions", page(() => import("../pages/sessions.tsx"))],
  ["/sessions/:session", page(() => import("../pages/session.tsx"))],
  ["/costs", page(() => import("../pages/costs.tsx"))],
  ["/settings", page(() => import("../pages/settings.tsx"))],
];

/** The side, in order, with the key after `g`. */
export const places: readonly { href: string; label: string; key: string; icon: IconName }[] = [
  { href: "/", label: "Now", key: "n", icon: "now" },
  { href: "/triggers", label: "Triggers", key: "t", icon: "triggers" },
  { href: "/deliveries", label: "Deliveries", key: "d", icon: "deliveries" },
  { href: "/runs", label: "Runs", key: "r", icon: "runs" },
  { href: "/sessions", label: "Sessions", key: "s", icon: "sessions" },
  { href: "/costs", label: "Costs", key: "c", icon: "costs" },
  { href: "/settings", label: "Settings", key: ",", icon: "settings" },
];

/** The page of a kind of id: for the palette, and for links from one thing to another. */
export const hrefs = {
  trigger: (idOrSlug: string) => `/triggers/${encodeURIComponent(idOrSlug)}`,
  delivery: (id: string) => `/deliveries/${encodeURIComponent(id)}`,
  run: (id: string, sequence?: number) => `/runs/${encodeURIComponent(id)}${sequence === undefined ? "" : `#s${sequence}`}`,
  session: (id: string) => `/sessions/${encodeURIComponent(id)}`,
};

/** Where an id leads, by its prefix. */
export function hrefOfId(id: string): string | undefined {
  const kind = /^(trg|dlv|run|ses)_[0-9a-z]{8,}$/.exec(id)?.[1];
  if (kind === "trg") return hrefs.trigger(id);
  if (kind === "dlv") return hrefs.delivery(id);
  if (kind === "run") return hrefs.run(id);
  return kind === "ses" ? hrefs.session(id) : undefined;
}

const loaded = new Map<LazyPage, ComponentType<PageProps>>();
const arrived = signal(0);
/** The page whose code could not be fetched, and why. */
export const missing = signal<{ page: LazyPage; why: unknown } | undefined>(undefined);

/** The component of a page; undefined while its code is on its way. */
export function component(lazy: LazyPage): ComponentType<PageProps> | undefined {
  arrived.value;
  const known = loaded.get(lazy);
  if (!known && missing.peek()?.page !== lazy) void fetchPage(lazy);
  return known;
}

/** Fetches the code of a page; again after a failure. */
export async function fetchPage(lazy: LazyPage): Promise<void> {
  try {
    loaded.set(lazy, (await lazy.load()).default);
    missing.value = undefined;
  } catch (why) {
    missing.value = { page: lazy, why };
  }
  arrived.value += 1;
}
