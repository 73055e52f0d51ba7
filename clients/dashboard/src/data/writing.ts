import type { JournalEntry } from "@reprise/client";

/** Text that is being written: it has no sequence yet, and its entry will replace it. */
export interface Writing {
  blockId: string;
  thinking: boolean;
  text: string;
  /** Length of the text in Unicode characters, as the contract counts. */
  characters: number;
}

/** A piece of text as the stream brings it. */
export interface Piece {
  blockId: string;
  thinking: boolean;
  offset: number;
  text: string;
}

/** The entry of a block takes the place of what was written of it. */
export function withoutBlock(writing: readonly Writing[], entry: JournalEntry): readonly Writing[] {
  if (entry.kind.case === "outcome") return writing.length === 0 ? writing : [];
  if (entry.kind.case !== "text" && entry.kind.case !== "thinking") return writing;
  const { blockId } = entry.kind.value;
  return writing.some((one) => one.blockId === blockId) ? writing.filter((one) => one.blockId !== blockId) : writing;
}

/** Adds a piece: where its offset, in characters, is not the end of what is held, everything from there is replaced. */
export function withDelta(writing: readonly Writing[], { blockId, thinking, offset, text }: Piece): readonly Writing[] {
  const held = writing.find((one) => one.blockId === blockId);
  const added = countCharacters(text);
  if (!held) return [...writing, { blockId, thinking, text, characters: added }];
  const kept = offset === held.characters ? held.text : Array.from(held.text).slice(0, offset).join("");
  return writing.map((one) => (one === held ? { ...one, text: kept + text, characters: offset + added } : one));
}

function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}
