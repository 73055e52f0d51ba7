import { useMemo, useState } from "preact/hooks";
import { Marked } from "../../components/marked.tsx";
import { Pre } from "../../components/pre.tsx";
import { formatCount } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { readProse } from "../../lib/prose.ts";

const LONGEST = 12_000;

/** Text of the agent: code is set apart, hits of a search are marked, and nothing else is read into it. */
export function Prose({ text, live = false }: { text: string; live?: boolean }) {
  const [whole, setWhole] = useState(false);
  const cut = !whole && text.length > LONGEST;
  const pieces = useMemo(() => readProse(cut ? text.slice(0, LONGEST) : text), [text, cut]);
  return (
    <div class="say">
      {pieces.map((piece, at) => {
        const words = <Marked text={piece.text} />;
        if (piece.kind === "code") return <code key={at}>{words}</code>;
        if (piece.kind === "bold") return <b key={at}>{words}</b>;
        if (piece.kind === "block") {
          return (
            <div key={at} class="block">
              <Pre>{words}</Pre>
            </div>
          );
        }
        return <span key={at}>{words}</span>;
      })}
      {live && <span class="caret" />}
      {cut && (
        <button type="button" class="plain f2" onClick={() => setWhole(true)}>
          … show {formatCount(text.length - LONGEST)} more characters
        </button>
      )}
    </div>
  );
}

/** One sentence of the server: it begins with a capital, and code in it is set apart. */
export function Sentence({ text }: { text: string }) {
  return (
    <>
      {readProse(legible(text.charAt(0).toUpperCase() + text.slice(1))).map((piece, at) =>
        piece.kind === "code" ? (
          <code key={at}>
            <Marked text={piece.text} />
          </code>
        ) : (
          <Marked key={at} text={piece.text} />
        ),
      )}
    </>
  );
}
