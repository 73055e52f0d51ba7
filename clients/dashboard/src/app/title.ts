import { useEffect } from "preact/hooks";
import { legible } from "../lib/legible.ts";
import type { Mark } from "../lib/words.ts";

/** Names the tab, and shows a state in its icon: `useTitle("1m 12s · acme/shop#412", "live")`. */
export function useTitle(title: string, mark?: Mark): void {
  useEffect(() => {
    document.title = title ? `${legible(title)} · Reprise` : "Reprise";
    const icon = document.querySelector<HTMLLinkElement>("link[rel=icon]");
    const href = `/icons/${mark ?? "idle"}.svg`;
    if (icon && icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  }, [title, mark]);
}
