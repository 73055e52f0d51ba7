import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { reprise } from "../data/api.ts";
import { useQuery } from "../data/query.ts";
import { shortId } from "../lib/format.ts";
import { legible } from "../lib/legible.ts";
import { navigate } from "./router.ts";
import { hrefOfId, hrefs, places } from "./routes.ts";

/** Whether the palette is open. */
export const palette = signal(false);

interface Hit {
  href: string;
  label: string;
  rest: string;
}

/** Jumps to a page, a trigger, a thread, or whatever an id names. */
export function Palette() {
  const dialog = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const asked = useSettled(text.trim(), 150);
  const triggers = useQuery([], (signal) => reprise.triggers.listTriggers({ pageSize: 200 }, { signal }));
  const threads = useQuery([asked], async (signal) =>
    asked ? (await reprise.sessions.listSessions({ query: asked, pageSize: 8 }, { signal })).sessions : [],
  );
  const wanted = text.trim().toLowerCase();
  const hits: Hit[] = [];
  const byId = hrefOfId(text.trim());
  if (byId) hits.push({ href: byId, label: text.trim(), rest: "open" });
  for (const one of places)
    if (one.label.toLowerCase().includes(wanted)) hits.push({ href: one.href, label: one.label, rest: `g ${one.key}` });
  for (const one of triggers.data?.triggers ?? []) {
    if (wanted && `${one.slug} ${one.displayName ?? ""}`.toLowerCase().includes(wanted))
      hits.push({ href: hrefs.trigger(one.slug), label: one.displayName || one.slug, rest: "trigger" });
  }
  for (const one of threads.data ?? [])
    hits.push({ href: hrefs.session(one.id), label: legible(`${one.threadKey || shortId(one.id)} ${one.title}`), rest: "session" });
  const chosen = Math.min(at, hits.length - 1);

  // Before the next key: what is typed at once must not land in the field below.
  useLayoutEffect(() => dialog.current?.showModal(), []);
  const close = () => {
    palette.value = false;
  };
  const open = (hit: Hit | undefined) => {
    if (!hit) return;
    close();
    void navigate(hit.href);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, hits.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
    else if (event.key === "Enter") open(hits[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog
      ref={dialog}
      class="palette"
      aria-label="Search"
      onCancel={close}
      onClick={(event) => event.target === dialog.current && close()}
    >
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-hits"
        aria-activedescendant={chosen >= 0 ? `hit-${chosen}` : undefined}
        placeholder="Page, trigger, thread or id"
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={onKey}
      />
      <ul id="palette-hits" role="listbox">
        {hits.map((hit, index) => (
          <li key={hit.href} id={`hit-${index}`} role="option" aria-selected={index === chosen} onClick={() => open(hit)} onKeyDown={onKey}>
            <span class="cut">{hit.label}</span>
            <span class="t12 f3">{hit.rest}</span>
          </li>
        ))}
        {hits.length === 0 && <li class="f3">Nothing of this name.</li>}
      </ul>
    </dialog>
  );
}

/** A value once it has not changed for a while. */
function useSettled(value: string, ms: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
