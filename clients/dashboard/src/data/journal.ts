import type { JournalEntry } from "@reprise/client";

/** A window of the journal holds no more than this; what it loses is read again by pages. */
export const MOST = { entries: 10_000, characters: 16_000_000 };
/** What is kept when the window has become too large, so that it is not cut at every entry. */
const KEPT = 0.75;

/** Whether a window of so many entries and characters has to be cut. */
export function isTooLarge(entries: number, characters: number): boolean {
  return entries > MOST.entries || characters > MOST.characters;
}

/** Characters that entries hold, roughly. */
export function weigh(entries: readonly JournalEntry[]): number {
  let characters = 0;
  for (const entry of entries) characters += weight(entry);
  return characters;
}

/** How many entries at the beginning are too many. */
export function surplus(entries: readonly JournalEntry[]): number {
  let characters = weigh(entries);
  if (!isTooLarge(entries.length, characters)) return 0;
  let drop = 0;
  while (entries.length - drop > MOST.entries * KEPT || characters > MOST.characters * KEPT) {
    characters -= weight(entries[drop] as JournalEntry);
    drop += 1;
  }
  return drop;
}

/** Characters that an entry holds, roughly. */
function weight({ kind, raw }: JournalEntry): number {
  switch (kind.case) {
    case "text":
    case "thinking":
    case "toolResult":
    case "stderr":
      return kind.value.text.length + raw.length;
    case "toolCall":
      return kind.value.inputJson.length + raw.length;
    case "other":
      return kind.value.rawJson.length + raw.length;
    default:
      return raw.length;
  }
}

/** The contract's name of an entry's kind: `tool_call`. */
export function kindName(entry: JournalEntry): string {
  return (entry.kind.case ?? "").replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
