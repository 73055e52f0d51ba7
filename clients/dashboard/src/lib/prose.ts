/** A piece of text that an agent wrote: a paragraph's words, code in a line, or lines of code. */
export interface ProsePiece {
  kind: "text" | "bold" | "code" | "block";
  text: string;
}

// A fence opens at the beginning of a line and closes at another such line, or never.
const FENCE = /^[ \t]*(```+|~~~+)[^\n]*\n([\s\S]*?)(?:\n[ \t]*\1[ \t]*(?=\n|$)|$(?![\s\S]))/m;
const INLINE = /`([^`\n]+)`|\*\*([^*\n]+)\*\*/;

/** Reads the little of Markdown that matters in a log: code and bold words. Everything else stays as it was written. */
export function readProse(text: string): ProsePiece[] {
  const out: ProsePiece[] = [];
  let rest = text.trim();
  for (let found = FENCE.exec(rest); found; found = FENCE.exec(rest)) {
    inline(rest.slice(0, found.index).replace(/\n$/, ""), out);
    out.push({ kind: "block", text: found[2] ?? "" });
    rest = rest.slice(found.index + found[0].length).replace(/^\n+/, "");
  }
  inline(rest, out);
  return out;
}

function inline(text: string, out: ProsePiece[]): void {
  let rest = text;
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    if (found.index > 0) out.push({ kind: "text", text: rest.slice(0, found.index) });
    out.push(found[1] === undefined ? { kind: "bold", text: found[2] ?? "" } : { kind: "code", text: found[1] });
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest !== "") out.push({ kind: "text", text: rest });
}
