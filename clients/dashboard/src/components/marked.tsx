import { createContext } from "preact";
import { useContext } from "preact/hooks";
import { Highlight } from "./highlight.tsx";

/** What is searched for: `Marked` text below it shows it. Empty: nothing. */
export const Searched = createContext("");

/** Whether what stands below is the hit that the reader is at. */
export const CurrentHit = createContext(false);

/** Text whose hits are marked as the page around it says. */
export function Marked({ text }: { text: string }) {
  const query = useContext(Searched);
  const current = useContext(CurrentHit);
  return <Highlight text={text} query={query} current={current} />;
}
