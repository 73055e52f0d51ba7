import { type ComponentChildren, createContext } from "preact";
import { useContext } from "preact/hooks";

/** What is searched for: `Marked` text below it shows it. Empty: nothing. */
export const Searched = createContext("");

/** Whether what stands below is the hit that the reader is at. */
export const CurrentHit = createContext(false);

/** Text whose hits are marked, without regard to the case of ASCII letters, as the server searches. */
export function Marked({ text }: { text: string }) {
  const query = useContext(Searched);
  const current = useContext(CurrentHit);
  if (query === "") return <>{text}</>;
  const pieces: ComponentChildren[] = [];
  let from = 0;
  for (const at of hitsIn(text, query)) {
    pieces.push(text.slice(from, at));
    pieces.push(
      <mark key={at} class={current ? "cur" : ""}>
        {text.slice(at, at + query.length)}
      </mark>,
    );
    from = at + query.length;
  }
  pieces.push(text.slice(from));
  return <>{pieces}</>;
}

/** Where a text contains what is searched for; hits do not overlap. */
export function hitsIn(text: string, query: string): number[] {
  const out: number[] = [];
  if (query === "") return out;
  const [low, wanted] = [asciiLower(text), asciiLower(query)];
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, at + wanted.length)) out.push(at);
  return out;
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
