import { Fragment } from "preact";
import { useState } from "preact/hooks";
import type { DiffHunk, FileDiff } from "../lib/diff.ts";
import { plural } from "../lib/format.ts";
import { Fold } from "./basics.tsx";
import { Marked } from "./marked.tsx";

const MOST_LINES = 400;
const FIRST_LINES = 200;

/** A change of a file: numbers, sign, code. Stands in a `Block`. */
export function Diff({ diff }: { diff: FileDiff }) {
  const [whole, setWhole] = useState(false);
  const total = diff.hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  let left = whole || total <= MOST_LINES ? Number.POSITIVE_INFINITY : FIRST_LINES;
  const shown: DiffHunk[] = [];
  for (const hunk of diff.hunks) {
    if (left <= 0) break;
    shown.push({ ...hunk, lines: hunk.lines.slice(0, left) });
    left -= hunk.lines.length;
  }
  const count = shown.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  return (
    <>
      <div class="diff">
        {shown.map((hunk, at) => (
          <Fragment key={`${hunk.before}-${hunk.after}`}>
            {at > 0 && <div class="gap" aria-hidden="true" />}
            <Lines hunk={hunk} />
          </Fragment>
        ))}
      </div>
      {count < total && <Fold text={`${plural(total - count, "line")} folded`} onShow={() => setWhole(true)} />}
    </>
  );
}

const SIGN = { same: " ", add: "+", del: "−" } as const;

function Lines({ hunk }: { hunk: DiffHunk }) {
  return (
    <>
      {hunk.lines.map((line, at) => (
        <div key={at} class={line.kind}>
          <s>{line.before}</s>
          <s>{line.after}</s>
          <s>{SIGN[line.kind]}</s>
          <span>
            {line.pieces.map((piece, part) =>
              piece.changed ? (
                <u key={part}>
                  <Marked text={piece.text} />
                </u>
              ) : (
                <Marked key={part} text={piece.text} />
              ),
            )}
          </span>
        </div>
      ))}
    </>
  );
}

/** `+4 −2`, as it stands in the row of an edit. */
export function DiffCount({ diff }: { diff: FileDiff }) {
  return (
    <span class="m">
      <span class="c-green">+{diff.added}</span>
      {diff.removed > 0 && <span class="c-red"> −{diff.removed}</span>}
    </span>
  );
}
