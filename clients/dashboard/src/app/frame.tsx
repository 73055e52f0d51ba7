import { Role } from "@reprise/client";
import { useEffect, useErrorBoundary, useRef } from "preact/hooks";
import { Button } from "../components/basics.tsx";
import { QuestionHost } from "../components/dialog.tsx";
import { Icon } from "../components/icon.tsx";
import { clock } from "../components/text.tsx";
import { connection, downBecause, nextTryAt, retryNow } from "../data/connection.ts";
import { who } from "../data/session.ts";
import { KeyDialog, keyDialog } from "./key_dialog.tsx";
import { KeyMap, keyMap } from "./key_map.tsx";
import { keyLabel, useKeys } from "./keys.ts";
import { Page, sideOpen } from "./page.tsx";
import { Palette, palette } from "./palette.tsx";
import { match, navigate, path } from "./router.ts";
import { component, fetchPage, missing, places, routes } from "./routes.ts";
import { switchTheme, theme } from "./theme.ts";

/** The frame around every page: the side, the banner, the page of the address, and what floats above them. */
export function Frame() {
  useKeys("Go to", Object.fromEntries(places.map((one) => [`g ${one.key}`, { label: one.label, run: () => void navigate(one.href) }])));
  useKeys("Everywhere", {
    "mod+k": { label: "Search", always: true, run: () => (palette.value = !palette.peek()) },
    "?": { label: "This map", run: () => (keyMap.value = true) },
  });
  return (
    <>
      <Side />
      <Main />
      {palette.value && <Palette />}
      {keyMap.value && <KeyMap />}
      {keyDialog.value && <KeyDialog />}
      <QuestionHost />
    </>
  );
}

const DOTS = { up: "ok", down: "fail", unknown: "none" } as const;
const WORDS = { up: "connected", down: "no connection", unknown: "connecting" } as const;

function Side() {
  const here = path.value;
  return (
    <nav class="side" aria-label="Pages" data-open={sideOpen.value || undefined} onClick={() => (sideOpen.value = false)}>
      <a class="brand" href="/">
        <Icon name="rep" />
        Reprise
      </a>
      {places.map((one) => (
        <a key={one.href} href={one.href} aria-current={isWithin(here, one.href) ? "page" : undefined}>
          <Icon name={one.icon} />
          {one.label}
          <kbd>g {one.key}</kbd>
        </a>
      ))}
      <hr />
      <button type="button" onClick={() => (palette.value = true)}>
        <Icon name="find" />
        Search
        <kbd>{keyLabel("mod+k")}</kbd>
      </button>
      <div class="foot">
        <button type="button" onClick={switchTheme}>
          <Icon name="theme" />
          Theme
          <span class="rest">{theme.value}</span>
        </button>
        <button type="button" onClick={() => (keyDialog.value = true)} title="Connection and API key">
          <span class={`st ${DOTS[connection.value]}`} />
          {WORDS[connection.value]}
          <span class="rest">{who.value ? (Role[who.value.role] ?? "").toLowerCase() : ""}</span>
        </button>
      </div>
    </nav>
  );
}

function isWithin(here: string, href: string): boolean {
  return href === "/" ? here === "/" : here === href || here.startsWith(`${href}/`);
}

function Main() {
  const element = useRef<HTMLElement>(null);
  const here = path.value;
  // A new page begins at its top, and the keyboard is on it, not on the link that led here.
  useEffect(() => {
    sideOpen.value = false;
    element.current?.scrollTo(0, 0);
    if (document.activeElement?.closest(".side")) element.current?.focus({ preventScroll: true });
  }, [here]);
  return (
    <main class="main" id="main" ref={element} tabIndex={-1}>
      <OfflineBanner />
      <CurrentPage key={match(routes, here)?.value.stays ?? here} />
    </main>
  );
}

function CurrentPage() {
  const [broken, reset] = useErrorBoundary();
  const found = match(routes, path.value);
  if (broken) {
    return (
      <Page title="Something broke">
        <div class="empty">
          <p>This page stopped working: {broken instanceof Error ? broken.message : String(broken)}</p>
          <Button onClick={reset}>Show it again</Button>
        </div>
      </Page>
    );
  }
  if (!found) {
    return (
      <Page title="Not found">
        <div class="empty">
          <p>There is no page at {path.value}.</p>
          <a href="/">Now</a>
        </div>
      </Page>
    );
  }
  if (missing.value?.page === found.value) {
    return (
      <Page title="No connection">
        <div class="empty">
          <p>The code of this page could not be fetched.</p>
          <Button onClick={() => void fetchPage(found.value)}>Try again</Button>
        </div>
      </Page>
    );
  }
  const Shown = component(found.value);
  return Shown ? <Shown params={found.params} /> : null;
}

function OfflineBanner() {
  if (connection.value !== "down") return null;
  const due = nextTryAt.value;
  const seconds = due === undefined ? 0 : Math.max(0, Math.ceil((due - clock.value) / 1000));
  return (
    <div class="banner" role="status">
      <span class="st fail">no connection</span>
      <span class="f2">
        The server does not answer{downBecause.value?.message ? `: ${downBecause.value.message}` : ""}. What you typed stays.{" "}
        {due === undefined ? "Trying…" : `Next try in ${seconds} s.`}
      </span>
      <span class="acts">
        <Button onClick={retryNow}>Try now</Button>
      </span>
    </div>
  );
}
