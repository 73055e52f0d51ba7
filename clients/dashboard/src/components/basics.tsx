import type { ComponentChildren, TargetedEvent } from "preact";
import type { Mark, Shown } from "../lib/words.ts";
import { Icon, type IconName } from "./icon.tsx";

const MARK_CLASS: Record<Mark, string> = { live: "run", ok: "ok", failed: "fail", waiting: "wait", none: "none" };

/** A state: mark and word, whose shape and colour say it twice. `children` stand after it, toned down. */
export function State({ mark, word, children }: Shown & { children?: ComponentChildren }) {
  return (
    <span class={`st ${MARK_CLASS[mark]}`}>
      {word}
      {children !== undefined && <small>{children}</small>}
    </span>
  );
}

/** A label such as `untrusted`. Never for states. */
export function Tag({ children, title }: { children: ComponentChildren; title?: string }) {
  return (
    <span class="tag" title={title}>
      {children}
    </span>
  );
}

interface ButtonProps {
  children: ComponentChildren;
  onClick?: (event: MouseEvent) => void;
  /** At most one a page. */
  primary?: boolean;
  /** It destroys something; the question after it names what. */
  danger?: boolean;
  /** Opens a menu. */
  menu?: boolean;
  icon?: IconName;
  /** Under way: it cannot be pressed again. */
  busy?: boolean;
  disabled?: boolean;
  type?: "button" | "submit";
  title?: string;
}

/** A button. The name of what needs more input ends in "…". */
export function Button({ children, onClick, primary, danger, menu, icon, busy, disabled, type = "button", title }: ButtonProps) {
  return (
    <button
      type={type}
      class={`btn${primary ? " primary" : ""}${danger ? " danger" : ""}`}
      disabled={disabled || busy}
      aria-busy={busy}
      title={title}
      onClick={onClick}
    >
      {icon && <Icon name={icon} />}
      {children}
      {menu && <Icon name="menu" />}
    </button>
  );
}

/** A link that looks like a button. */
export function ButtonLink({ href, children, primary }: { href: string; children: ComponentChildren; primary?: boolean }) {
  return (
    <a class={`btn${primary ? " primary" : ""}`} href={href}>
      {children}
    </a>
  );
}

/** One of several joined buttons. */
export interface Segment<T extends string> {
  value: T;
  label: string;
  /** A number after the label. */
  count?: string | number;
  hint?: string;
}

/** Joined buttons: one is chosen (tabs), or, with a list as `value`, any number (kinds shown in a log). */
export function Segments<T extends string>({
  label,
  options,
  value,
  onChange,
}: {
  label: string;
  options: readonly Segment<T>[];
  value: T | readonly T[];
  onChange: (value: T) => void;
}) {
  const pressed = (one: T) => (Array.isArray(value) ? value.includes(one) : value === one);
  return (
    <div class="seg" role="group" aria-label={label}>
      {options.map((one) => (
        <button type="button" key={one.value} aria-pressed={pressed(one.value)} title={one.hint} onClick={() => onChange(one.value)}>
          {one.label}
          {one.count !== undefined && <small>{one.count}</small>}
        </button>
      ))}
    </div>
  );
}

/** A track of 4 px: amber from 80 %, red at 100 %. The number always stands beside it. */
export function Meter({ value, max, live = false, label }: { value: number; max: number; live?: boolean; label: string }) {
  const share = max > 0 ? Math.min(1, Math.max(0, value / max)) : 0;
  const tone = share >= 1 ? "full" : share >= 0.8 ? "near" : live ? "live" : "";
  return (
    <svg class={`meter ${tone}`} role="img" aria-label={`${label}: ${Math.round(share * 100)} %`} width="100%" height="4">
      <rect class="track" width="100%" height="4" rx="2" />
      {share > 0 && <rect class="fill" width={`${share * 100}%`} height="4" rx="2" />}
    </svg>
  );
}

/** One cell of a strip of facts. */
export interface Fact {
  label: string;
  value: ComponentChildren;
  /** After the figure, toned down. */
  rest?: ComponentChildren;
  /** A third line: a meter, a sentence, a sparkline. */
  below?: ComponentChildren;
}

/** One strip of at most five figures between hairlines. `large` is for the figures of Now; `top` for a strip under the top line. */
export function Facts({ facts, large = false, top = false }: { facts: readonly Fact[]; large?: boolean; top?: boolean }) {
  return (
    <dl class={`facts${large ? " large" : ""}${top ? " top" : ""}`}>
      {facts.map((fact) => (
        <div key={fact.label}>
          <dt>{fact.label}</dt>
          <dd>
            {fact.value} {fact.rest !== undefined && <small>{fact.rest}</small>}
          </dd>
          {fact.below !== undefined && <dd class="below">{fact.below}</dd>}
        </div>
      ))}
    </dl>
  );
}

/** What happened, why, and what goes on. `continues` draws the repeat sign: it goes on from an earlier run. */
export function Notice({
  mark,
  title,
  children,
  continues = false,
}: {
  mark?: Mark;
  title: string;
  children?: ComponentChildren;
  continues?: boolean;
}) {
  return (
    <div class="note">
      {continues ? <Icon name="rep" /> : <span class={`st ${MARK_CLASS[mark ?? "none"]}`} />}
      <b>{title}</b>
      <span class="f2">{children}</span>
    </div>
  );
}

/** The stream broke here and was taken up again, or the conversation was compacted. */
export function Seam({ children }: { children: ComponentChildren }) {
  return <div class="seam">{children}</div>;
}

/** Lines that are folded away, with what brings them back. */
export function Fold({ text, onShow, onDownload }: { text: string; onShow: () => void; onDownload?: () => void }) {
  return (
    <div class="fold">
      <span>{text}</span>
      <button type="button" onClick={onShow}>
        show all
      </button>
      {onDownload && (
        <button type="button" onClick={onDownload}>
          download raw
        </button>
      )}
    </div>
  );
}

/** A row that opens; its body is the only box. `onToggle` tells when the person opened or closed it. */
export function Card({
  name,
  argument,
  rest,
  duration,
  open = false,
  onToggle,
  children,
}: {
  name: string;
  argument?: ComponentChildren;
  rest?: ComponentChildren;
  duration?: ComponentChildren;
  open?: boolean;
  onToggle?: (open: boolean) => void;
  children?: ComponentChildren;
}) {
  const toggle = (event: TargetedEvent<HTMLDetailsElement>) => {
    if (event.currentTarget.open !== open) onToggle?.(event.currentTarget.open);
  };
  return (
    <details class="card" open={open} onToggle={toggle}>
      <summary>
        <Icon name="chevron" class="turn" />
        <b>{name}</b>
        <span class="m cut grow">{argument}</span>
        {rest !== undefined && <span class="rest">{rest}</span>}
        {duration !== undefined && <span class="dur">{duration}</span>}
      </summary>
      {open && children}
    </details>
  );
}

/** The one box of an open card. `bad` tints its border. */
export function Block({ children, bad = false }: { children: ComponentChildren; bad?: boolean }) {
  return <div class={`block${bad ? " bad" : ""}`}>{children}</div>;
}

/** One run of a lineage. */
export interface Ancestor {
  id: string;
  href: string;
  title: string;
  /** Colour of this one; the others are neutral. */
  mark?: Mark;
}

/** One dot a run of a thread, joined; more than eight are the first, "…" and the last six. */
export function LineageDots({ runs }: { runs: readonly Ancestor[] }) {
  const shown = runs.length > 8 ? [...runs.slice(0, 1), undefined, ...runs.slice(-6)] : runs;
  return (
    <span class="chain">
      {shown.map((run) =>
        run ? (
          <a key={run.id} href={run.href} title={run.title} class={run.mark ? MARK_CLASS[run.mark] : ""}>
            <span class="sr">{run.title}</span>
          </a>
        ) : (
          <span key="gap">…</span>
        ),
      )}
    </span>
  );
}

/** A small curve of hourly values: no axes, no fill, from zero. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  const [width, height] = [240, 26];
  const top = Math.max(...values, 0) || 1;
  const step = values.length > 1 ? width / (values.length - 1) : width;
  const points = values.map((value, at) => `${(at * step).toFixed(1)},${(height - 1 - (value / top) * (height - 2)).toFixed(1)}`);
  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      {points.length > 0 && <polyline points={points.join(" ")} />}
    </svg>
  );
}

/** Nothing is here yet: a sentence, one command to copy, one link. */
export function Empty({ text, command, link }: { text: string; command?: ComponentChildren; link?: { href: string; label: string } }) {
  return (
    <div class="empty">
      <p>{text}</p>
      {command}
      {link && (
        <a href={link.href} class="f2">
          {link.label}
        </a>
      )}
    </div>
  );
}

/** While nothing has been read yet. It waits a little before it says so, so that fast answers do not flicker. */
export function Loading() {
  return <p class="loading f3">Reading…</p>;
}
