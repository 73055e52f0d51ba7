import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Delivery, DeliveryOrigin, DeliveryOutcome, DeliveryReason } from "@reprise/client";
import { query, queryAll } from "../../app/router.ts";
import { formatDay, toMs } from "../../lib/format.ts";
import { deliveryOutcome, reasonWord } from "../../lib/words.ts";

/** What the address says about which deliveries are shown; the server takes all of it but `find`. */
export interface DeliveryFilter {
  triggerId: string;
  sessionId: string;
  outcomes: DeliveryOutcome[];
  origins: DeliveryOrigin[];
  eventKind: string;
  actor: string;
}

const OUTCOMES = [
  DeliveryOutcome.QUEUED,
  DeliveryOutcome.COALESCED,
  DeliveryOutcome.FILTERED,
  DeliveryOutcome.SELF_AUTHORED,
  DeliveryOutcome.DUPLICATE,
  DeliveryOutcome.DROPPED,
  DeliveryOutcome.REJECTED,
  DeliveryOutcome.HANDSHAKE,
];

const ORIGIN_WORDS: Record<DeliveryOrigin, string> = {
  [DeliveryOrigin.UNSPECIFIED]: "unknown",
  [DeliveryOrigin.WEBHOOK]: "webhook",
  [DeliveryOrigin.GATEWAY]: "gateway",
  [DeliveryOrigin.MANUAL]: "by hand",
  [DeliveryOrigin.REPLAY]: "replay",
};

/** How a delivery came in, in a word or two. */
export function originWord(origin: DeliveryOrigin): string {
  return ORIGIN_WORDS[origin] ?? ORIGIN_WORDS[DeliveryOrigin.UNSPECIFIED];
}

/** Choices of the filter bar; the values are the API's names in lower case. */
export const outcomeOptions = OUTCOMES.map((one) => ({ value: DeliveryOutcome[one].toLowerCase(), label: deliveryOutcome(one).word }));
export const originOptions = [DeliveryOrigin.WEBHOOK, DeliveryOrigin.GATEWAY, DeliveryOrigin.MANUAL, DeliveryOrigin.REPLAY].map((one) => ({
  value: DeliveryOrigin[one].toLowerCase(),
  label: originWord(one),
}));

/** The filter in the address. Words that mean nothing are left out. */
export function readFilter(): DeliveryFilter {
  return {
    triggerId: query("trigger"),
    sessionId: query("session"),
    outcomes: queryAll("outcome").flatMap((word) => enumValue(DeliveryOutcome, word)),
    origins: queryAll("origin").flatMap((word) => enumValue(DeliveryOrigin, word)),
    eventKind: query("kind"),
    actor: query("actor"),
  };
}

/** The value of an enum by its lower-case name; none for another word, and for UNSPECIFIED, which filters nothing. */
export function enumValue<T extends number>(names: Record<string, string | T>, word: string): T[] {
  const value = names[word.toUpperCase()];
  return typeof value === "number" && value !== 0 ? [value] : [];
}

/** Whether anything is filtered. */
export function isFiltered(filter: DeliveryFilter): boolean {
  const { triggerId, sessionId, eventKind, actor, outcomes, origins } = filter;
  return [triggerId, sessionId, eventKind, actor].some(Boolean) || outcomes.length + origins.length > 0;
}

/** The filter in words, for a question that names what it is about. */
export function describeFilter(filter: DeliveryFilter): string {
  const parts = [filter.triggerId || "every trigger"];
  if (filter.outcomes.length > 0) parts.push(filter.outcomes.map((one) => deliveryOutcome(one).word).join(" or "));
  if (filter.eventKind) parts.push(filter.eventKind);
  if (filter.actor) parts.push(`by ${filter.actor}`);
  if (filter.origins.length > 0) parts.push(filter.origins.map(originWord).join(" or "));
  if (filter.sessionId) parts.push("of one session");
  return parts.join(", ");
}

/** Whether a row holds the words that were typed, in any of its texts. Each word must stand somewhere. */
export function holds(delivery: Delivery, find: string): boolean {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const text = [
    delivery.id,
    delivery.runId,
    delivery.providerDeliveryId,
    delivery.threadKey,
    delivery.title,
    delivery.triggerSlug,
    eventName(delivery),
    delivery.actor?.login,
    delivery.actor?.id,
    deliveryOutcome(delivery.outcome).word,
    reasonOf(delivery),
  ]
    .join("\n")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

/** `issue_comment.created`. */
export function eventName(delivery: Pick<Delivery, "eventKind" | "action">): string {
  return [delivery.eventKind, delivery.action].filter(Boolean).join(".") || "event";
}

/** The same where there is little room: `comment`, `push`, `pull_request opened`. */
export function shortEvent(delivery: Pick<Delivery, "eventKind" | "action">): string {
  const kind = delivery.eventKind.replace(/^(issue|pull_request)_(?=comment|review)/, "").replaceAll("_", " ");
  const plain = delivery.action === "" || delivery.action === "created" || delivery.action === "submitted";
  return (plain ? kind : `${kind} ${delivery.action}`) || "event";
}

/** Who caused it. */
export function actorName(delivery: Pick<Delivery, "actor">): string {
  return delivery.actor?.login || delivery.actor?.id || "";
}

/** Why it has its outcome: the server's sentence, else the reason's words. */
export function reasonOf(delivery: Pick<Delivery, "message" | "reason">): string {
  if (delivery.message) return delivery.message;
  return delivery.reason === DeliveryReason.UNSPECIFIED ? "" : reasonWord(delivery.reason);
}

/** The moment just after a delivery, so that a page of older ones begins with those of the same microsecond. */
export function justAfter(delivery: Delivery | undefined) {
  const time = delivery?.receiveTime;
  if (!time) return timestampFromMs(Date.now());
  return time.nanos + 1000 < 1e9
    ? { seconds: time.seconds, nanos: time.nanos + 1000 }
    : { seconds: time.seconds + 1n, nanos: time.nanos + 1000 - 1e9 };
}

/** HTTP status that the sender got, by the contract; undefined where no sender waits for one. */
export function answerStatus(delivery: Pick<Delivery, "origin" | "outcome" | "reason">): number | undefined {
  if (delivery.origin !== DeliveryOrigin.WEBHOOK && delivery.origin !== DeliveryOrigin.GATEWAY) return undefined;
  if (delivery.outcome !== DeliveryOutcome.REJECTED) return 200;
  switch (delivery.reason) {
    case DeliveryReason.FILTER_FAILED:
    case DeliveryReason.THREAD_KEY_FAILED:
      return 200;
    case DeliveryReason.BODY_UNPARSEABLE:
      return 400;
    case DeliveryReason.BODY_TOO_LARGE:
      return 413;
    case DeliveryReason.MEDIA_TYPE_REFUSED:
      return 415;
    default:
      return 401;
  }
}

/** Rows under the name of their day. */
export function byDay(rows: readonly Delivery[], now: number): [string, Delivery[]][] {
  const days: [string, Delivery[]][] = [];
  for (const row of rows) {
    const day = formatDay(toMs(row.receiveTime) ?? 0, now);
    const last = days.at(-1);
    if (last?.[0] === day) last[1].push(row);
    else days.push([day, [row]]);
  }
  return days;
}
