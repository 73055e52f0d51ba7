import { computed, signal } from "@preact/signals";

/** Where the reader is: the address alone says what is shown. */
export interface Place {
  path: string;
  query: URLSearchParams;
  hash: string;
}

function read(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search), hash: location.hash };
}

const current = signal<Place>(read());

/** The present place. */
export const place = computed(() => current.value);
export const path = computed(() => current.value.path);

/** Asks before a page with unsaved changes is left; true lets the reader go. */
export type Guard = () => Promise<boolean>;
const guards = new Set<Guard>();

/** Adds a guard; gives the function that takes it away. */
export function addGuard(guard: Guard): () => void {
  guards.add(guard);
  return () => guards.delete(guard);
}

async function mayLeave(): Promise<boolean> {
  for (const guard of guards) if (!(await guard())) return false;
  return true;
}

let index = 0;
const listeners = new AbortController();

/** Goes to an address of the dashboard, `/runs?state=failed`. */
export async function navigate(to: string, options: { replace?: boolean } = {}): Promise<void> {
  const url = new URL(to, location.href);
  if (url.pathname !== current.peek().path && guards.size > 0 && !(await mayLeave())) return;
  if (options.replace) history.replaceState({ index }, "", url);
  else history.pushState({ index: ++index }, "", url);
  current.value = read();
}

/** Writes filters into the address, without a step in the history. Undefined and empty values leave it. */
export function setQuery(values: Record<string, string | string[] | undefined>): void {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    query.delete(name);
    for (const one of Array.isArray(value) ? value : [value]) if (one) query.append(name, one);
  }
  const text = query.toString();
  history.replaceState({ index }, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
  current.value = read();
}

/** The address with other filters, for a link. */
export function withQuery(values: Record<string, string | undefined>): string {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(values)) value ? query.set(name, value) : query.delete(name);
  const text = query.toString();
  return `${place.value.path}${text ? `?${text}` : ""}`;
}

/** One filter of the address. Reading it in a component makes the component follow it. */
export function query(name: string): string {
  return place.value.query.get(name) ?? "";
}

/** All values of a filter that may stand more than once. */
export function queryAll(name: string): string[] {
  return place.value.query.getAll(name);
}

/** Listens to the browser: back, forward, and clicks on plain links. Called once. */
export function startRouter(): void {
  index = (history.state as { index?: number } | null)?.index ?? 0;
  history.replaceState({ index }, "");
  let returning = false;
  const { signal } = listeners;
  addEventListener(
    "popstate",
    async () => {
      if (returning) {
        returning = false;
        return;
      }
      const to = (history.state as { index?: number } | null)?.index ?? 0;
      const steps = to - index;
      if (guards.size > 0 && location.pathname !== current.peek().path && steps !== 0) {
        // The browser has gone already: go back to the page first, then ask.
        returning = true;
        history.go(-steps);
        if (!(await mayLeave())) return;
        guards.clear();
        history.go(steps);
        return;
      }
      index = to;
      current.value = read();
    },
    { signal },
  );
  addEventListener(
    "hashchange",
    () => {
      current.value = read();
    },
    { signal },
  );
  document.addEventListener(
    "click",
    (event) => {
      if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = (event.target as Element | null)?.closest?.("a[href]");
      if (!(link instanceof HTMLAnchorElement) || link.target || link.download || link.origin !== location.origin) return;
      event.preventDefault();
      void navigate(link.href);
    },
    { signal },
  );
}

/** A route: its pattern and what it stands for. `:name` takes one part of the path. */
export interface Match<T> {
  value: T;
  params: Record<string, string>;
}

/** Finds the first pattern that fits a path. */
export function match<T>(routes: readonly (readonly [string, T])[], to: string): Match<T> | undefined {
  const parts = split(to);
  for (const [pattern, value] of routes) {
    const wanted = split(pattern);
    if (wanted.length !== parts.length) continue;
    const params: Record<string, string> = {};
    const fits = wanted.every((part, at) => {
      const given = parts[at] ?? "";
      if (!part.startsWith(":")) return part === given;
      params[part.slice(1)] = decode(given);
      return true;
    });
    if (fits) return { value, params };
  }
  return undefined;
}

function split(text: string): string[] {
  return text.split("/").filter(Boolean);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
