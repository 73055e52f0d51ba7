import { signal } from "@preact/signals";
import type { Run } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { costText } from "../lib/cost.ts";
import { formatAge, formatExact, formatMoney, formatSpan, formatWhen, shortId } from "../lib/format.ts";
import { Icon } from "./icon.tsx";

/** The present second; every age on a page follows this one clock, which stands still while nobody can see it. */
export const clock = signal(Date.now());
if (typeof document !== "undefined") {
  setInterval(() => {
    if (document.visibilityState !== "hidden") clock.value = Date.now();
  }, 1000);
}

/** Copies a text; falls back to a selection where the clipboard needs HTTPS. */
export async function copyText(text: string): Promise<void> {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "sr";
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** "copied" for a moment after a copy. */
function useCopied(text: string): [boolean, () => void] {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return [copied, () => void copyText(text).then(() => setCopied(true))];
}

/** A button that copies: beside a secret, an address, a command. */
export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [copied, copy] = useCopied(text);
  return (
    <button type="button" class="btn" onClick={copy}>
      <Icon name={copied ? "check" : "copy"} />
      <span aria-live="polite">{copied ? "Copied" : label}</span>
    </button>
  );
}

/** A command or address in a sunken block, with its copy button. */
export function CopyBlock({ text, label }: { text: string; label?: string }) {
  return (
    <div class="copy-block">
      <pre class="pre">{text}</pre>
      <CopyButton text={text} label={label ?? "Copy"} />
    </div>
  );
}

/** The last six characters of an id: whole on hover, copied by a click. With `href` it is a link instead. */
export function Id({ id, href }: { id: string; href?: string }) {
  const [copied, copy] = useCopied(id);
  if (!id) return <span class="id">–</span>;
  if (href) {
    return (
      <a class="id" href={href} title={id}>
        {shortId(id)}
      </a>
    );
  }
  return (
    <button type="button" class="id plain" title={`${id} · click to copy`} onClick={copy}>
      {copied ? "copied" : shortId(id)}
    </button>
  );
}

/** A moment as its age, `14 min`; the exact time on hover. */
export function Age({ ms, suffix = "" }: { ms: number | undefined; suffix?: string }) {
  if (ms === undefined) return <span>–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={formatExact(ms)}>
      {formatAge(clock.value - ms)}
      {suffix}
    </time>
  );
}

/** A moment as a clock time or a day, `09:41`, `Sun 18:20`; the exact time on hover. */
export function When({ ms }: { ms: number | undefined }) {
  if (ms === undefined) return <span>–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={formatExact(ms)}>
      {formatWhen(ms, clock.value)}
    </time>
  );
}

/** A span between two moments; without an end it still grows. */
export function Span({ from, to }: { from: number | undefined; to?: number | undefined }) {
  if (from === undefined) return <span>–</span>;
  if (to !== undefined) return <span>{formatSpan(to - from)}</span>;
  // A span that still grows has no tenths: they would stand still at zero.
  const seconds = Math.max(0, Math.floor((clock.value - from) / 1000));
  return <span>{seconds < 60 ? `${seconds} s` : formatSpan(seconds * 1000)}</span>;
}

/** An amount; an unknown one is a dash. */
export function Money({ usd }: { usd: number | undefined }) {
  return <span>{usd === undefined ? "–" : formatMoney(usd)}</span>;
}

/** What a run cost, or costs so far. */
export function Cost({ run }: { run: Pick<Run, "state" | "startTime" | "usage"> }) {
  const { text, title } = costText(run);
  return <span title={title}>{text}</span>;
}
