/** Whose way to sign a webhook. */
export type Signer = "github" | "linear" | "clickup" | "standard_webhooks" | "generic_hmac";

/** A webhook to be signed. */
export interface UnsignedWebhook {
  /** Whose way to sign. */
  source: Signer;
  /** The body; an object is sent as JSON. */
  body: string | Uint8Array | object;
  /** Kind of event, for senders that put it into a header (GitHub: `issue_comment`; Linear: `Comment`). */
  event?: string;
  /** The sender's delivery id. The same one twice is a duplicate. Default: a new one. */
  deliveryId?: string;
  /** When it is sent, for the senders that sign it. Default: now. */
  time?: Date;
}

/** A webhook as its sender would put it on the wire. */
export interface SignedWebhook {
  headers: Record<string, string>;
  body: Uint8Array;
}

/** Signs a webhook as its sender would, with a trigger's secret. Works in browsers and in Node. */
export async function signWebhook(secret: string, webhook: UnsignedWebhook): Promise<SignedWebhook> {
  const body = toBytes(webhook.body);
  const id = webhook.deliveryId ?? newId();
  const headers: Record<string, string> = { "content-type": "application/json" };
  switch (webhook.source) {
    case "github":
      headers["x-github-delivery"] = id;
      if (webhook.event) headers["x-github-event"] = webhook.event;
      headers["x-hub-signature-256"] = `sha256=${hex(await hmac(utf8(secret), body))}`;
      break;
    case "linear":
      headers["linear-delivery"] = id;
      if (webhook.event) headers["linear-event"] = webhook.event;
      headers["linear-signature"] = hex(await hmac(utf8(secret), body));
      break;
    case "standard_webhooks": {
      const time = Math.floor((webhook.time ?? new Date()).getTime() / 1000).toString();
      headers["webhook-id"] = id;
      headers["webhook-timestamp"] = time;
      const signed = await hmac(standardKey(secret), concat(utf8(`${id}.${time}.`), body));
      headers["webhook-signature"] = `v1,${btoa(String.fromCharCode(...signed))}`;
      break;
    }
    default:
      headers["x-signature"] = hex(await hmac(utf8(secret), body));
  }
  return { headers, body };
}

/** A random id that no earlier one equals. */
export function newId(): string {
  // crypto.randomUUID is missing on pages that came over plain HTTP from another machine; getRandomValues is not.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const text = hex(bytes);
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-${text.slice(12, 16)}-${text.slice(16, 20)}-${text.slice(20)}`;
}

/** The bytes of a Standard Webhooks secret: base64 after `whsec_`; one that is not base64 is taken as it is. */
function standardKey(secret: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(secret.replace(/^whsec_/, "")), (one) => one.charCodeAt(0));
  } catch {
    return utf8(secret);
  }
}

function toBytes(body: string | Uint8Array | object): Uint8Array<ArrayBuffer> {
  if (body instanceof Uint8Array) return new Uint8Array(body);
  return utf8(typeof body === "string" ? body : JSON.stringify(body));
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}

async function hmac(key: Uint8Array<ArrayBuffer>, data: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (!crypto.subtle) throw new Error("signing needs a secure context: HTTPS, or a page from localhost");
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
}
