import { type Session, SessionOrder } from "@reprise/client";

/**
 * The rows that are shown, as they now are, in the order in which they are shown; and how many would stand among them
 * if they were read again.
 */
export function merged(
  shown: readonly Session[],
  fresh: readonly Session[],
  order: SessionOrder,
): { rows: readonly Session[]; news: number } {
  if (shown.length === 0) return { rows: fresh, news: 0 };
  const now = new Map(fresh.map((one) => [one.id, one]));
  const known = new Set(shown.map((one) => one.id));
  const rows = shown.map((one) => now.get(one.id) ?? one);
  const last = rows.at(-1);
  const news = fresh.filter((one) => !known.has(one.id) && last && before(one, last, order)).length;
  return { rows, news };
}

function before(one: Session, other: Session, order: SessionOrder): boolean {
  if (order === SessionOrder.COST) return (one.usage?.costUsd ?? 0) > (other.usage?.costUsd ?? 0);
  if (order === SessionOrder.SIZE) return one.transcriptBytes > other.transcriptBytes;
  return (one.lastUseTime?.seconds ?? 0n) >= (other.lastUseTime?.seconds ?? 0n);
}
