import type { ComponentChildren } from "preact";

/** A text with every hit of a search marked; `current` outlines the hits of the entry that the search stands on. */
export function Highlight({ text, query, current = false }: { text: string; query: string; current?: boolean }) {
  if (!query) return <>{text}</>;
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const at of hits(text, query)) {
    parts.push(text.slice(from, at));
    parts.push(
      <mark key={at} class={current ? "cur" : ""}>
        {text.slice(at, at + query.length)}
      </mark>,
    );
    from = at + query.length;
  }
  parts.push(text.slice(from));
  return <>{parts}</>;
}

/** Where a text holds the words of a search, without regard to case. */
export function hits(text: string, query: string): number[] {
  const found: number[] = [];
  const wanted = query.toLowerCase();
  const lower = text.toLowerCase();
  // A few letters change their length in lower case; places would shift, so only the exact spelling is sought then.
  const [inside, sought] = lower.length === text.length ? [lower, wanted] : [text, query];
  for (let at = inside.indexOf(sought); at >= 0 && sought; at = inside.indexOf(sought, at + sought.length)) found.push(at);
  return found;
}
