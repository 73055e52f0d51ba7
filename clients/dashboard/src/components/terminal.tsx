import { useMemo, useState } from "preact/hooks";
import { type AnsiSpan, parseAnsi } from "../lib/ansi.ts";
import { plural } from "../lib/format.ts";
import { Fold } from "./basics.tsx";
import { Marked } from "./marked.tsx";
import { Pre } from "./pre.tsx";

/** Longer output is folded; so many lines stay at its beginning and its end. */
const MOST_LINES = 200;
const FIRST_LINES = 8;
const LAST_LINES = 32;

/** Output of a command, in its colours. Stands in a `Block`. `live` puts a caret at its end. */
export function Terminal({ text, live = false, onDownload }: { text: string; live?: boolean; onDownload?: () => void }) {
  const lines = useMemo(() => parseAnsi(text.replace(/\n$/, "")), [text]);
  const [whole, setWhole] = useState(false);
  if (whole || lines.length <= MOST_LINES) {
    return (
      <Pre>
        <Lines lines={lines} />
        {live && <span class="caret" />}
      </Pre>
    );
  }
  const folded = lines.length - FIRST_LINES - LAST_LINES;
  return (
    <>
      <Pre>
        <Lines lines={lines.slice(0, FIRST_LINES)} />
      </Pre>
      <Fold text={`${plural(folded, "line")} folded`} onShow={() => setWhole(true)} {...(onDownload ? { onDownload } : {})} />
      <Pre>
        <Lines lines={lines.slice(-LAST_LINES)} />
        {live && <span class="caret" />}
      </Pre>
    </>
  );
}

function Lines({ lines }: { lines: readonly AnsiSpan[][] }) {
  return (
    <>
      {lines.map((line, at) => (
        <span key={at}>
          {line.map((span, part) =>
            span.class || span.color ? (
              <span key={part} class={span.class} style={span.color ? { color: span.color } : undefined}>
                <Marked text={span.text} />
              </span>
            ) : (
              <Marked key={part} text={span.text} />
            ),
          )}
          {at < lines.length - 1 ? "\n" : ""}
        </span>
      ))}
    </>
  );
}
