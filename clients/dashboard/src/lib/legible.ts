/** Controls but for tab and line feed, and what turns the order in which the rest is read. Joiners, as in emoji, are text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this is about
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;

/** A text of strangers for a row or a head: what would not be seen, or would disorder what stands around it, is a `�`. */
export function legible(text: string): string {
  return text.replace(UNSEEN, "\ufffd");
}
