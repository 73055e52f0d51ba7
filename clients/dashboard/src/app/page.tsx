import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { Icon } from "../components/icon.tsx";
import { legible } from "../lib/legible.ts";
import type { Mark } from "../lib/words.ts";
import { useTitle } from "./title.ts";

/** Whether the side is open on a narrow screen. */
export const sideOpen = signal(false);

/** What a page is given: the parts of the path that its route names. */
export interface PageProps {
  params: Record<string, string>;
}

interface Props {
  /** Name in the top line. */
  title: ComponentChildren;
  /** Where this page hangs: `[{ href: "/runs", label: "Runs" }]`. */
  trail?: readonly { href: string; label: string }[];
  /** Right in the top line. */
  aside?: ComponentChildren;
  /** Title of the tab; default: the title where that is text. */
  tab?: string;
  /** State of what is open, for the tab's icon. */
  mark?: Mark;
  children: ComponentChildren;
}

/** A page: the top line, and below it whatever the page shows. */
export function Page({ title, trail = [], aside, tab, mark, children }: Props) {
  useTitle(tab ?? (typeof title === "string" ? title : ""), mark);
  return (
    <>
      <div class="crumb">
        <button
          type="button"
          class="menu narrow"
          aria-label="Menu"
          aria-expanded={sideOpen.value}
          onClick={() => (sideOpen.value = !sideOpen.value)}
        >
          <Icon name="rep" />
        </button>
        {trail.map((one) => (
          <span key={one.href}>
            <a href={one.href}>{one.label}</a> <span class="f3">/</span>
          </span>
        ))}
        {trail.length > 0 ? <span class="cut">{plain(title)}</span> : <h1 class="cut">{plain(title)}</h1>}
        <span class="grow" />
        {aside !== undefined && <span class="t12 f3 aside">{aside}</span>}
      </div>
      {children}
    </>
  );
}

/** The head of a page about one thing: its name, its state, its buttons, and a line of what belongs to it. */
export function PageHead({
  title,
  detail,
  state,
  buttons,
  meta,
}: {
  title: ComponentChildren;
  detail?: ComponentChildren;
  state?: ComponentChildren;
  buttons?: ComponentChildren;
  meta?: ComponentChildren;
}) {
  return (
    <div class="head">
      <div class="line">
        <h1 class="cut grow">
          {plain(title)} {detail !== undefined && <span>{plain(detail)}</span>}
        </h1>
        {state}
        {buttons !== undefined && <span class="btns">{buttons}</span>}
      </div>
      {meta !== undefined && <div class="meta">{meta}</div>}
    </div>
  );
}

/** Names are often those of strangers. */
function plain(name: ComponentChildren): ComponentChildren {
  return typeof name === "string" ? legible(name) : name;
}
