import { HmacEncoding, Source, type Trigger } from "@reprise/client";

/** A set-up step with this trigger's address, as code, and its slug in it. */
export function stepText(step: string, trigger: Pick<Trigger, "webhookUrl" | "slug">): string {
  const pieces = step.replaceAll(/\bSLUG\b/g, trigger.slug).split("the trigger's webhook_url");
  // An address within code is part of that code; elsewhere it is code by itself.
  return pieces.reduce((text, rest) => `${text}${isOpen(text) ? trigger.webhookUrl : `\`${trigger.webhookUrl}\``}${rest}`);
}

/** Whether a text ends within code. */
function isOpen(text: string): boolean {
  return text.split("`").length % 2 === 0;
}

/** How a signed test webhook is sent from a shell, for the signatures that a shell can make; the secret is in $SECRET. */
export function testCommand(trigger: Pick<Trigger, "source" | "hmac" | "webhookUrl">): string | undefined {
  const signed = SIGNED[trigger.source]?.(trigger.hmac);
  if (!signed) return undefined;
  return [
    `body=${signed.body}`,
    `sum=$(printf %s "$body" | openssl dgst -sha256 -hmac "$SECRET" | sed 's/.* //')`,
    `curl ${trigger.webhookUrl} -H 'content-type: application/json' ${signed.headers} --data-raw "$body"`,
  ].join("\n");
}

const SIGNED: Partial<Record<Source, (hmac: Trigger["hmac"]) => { body: string; headers: string } | undefined>> = {
  [Source.GITHUB]: () => ({ body: `'{"zen":"test"}'`, headers: `-H 'x-github-event: ping' -H "x-hub-signature-256: sha256=$sum"` }),
  [Source.LINEAR]: () => ({
    body: `"{\\"type\\":\\"Issue\\",\\"action\\":\\"test\\",\\"webhookTimestamp\\":$(date +%s)000}"`,
    headers: `-H "linear-signature: $sum"`,
  }),
  [Source.CLICKUP]: () => ({ body: `'{"event":"taskUpdated","task_id":"test"}'`, headers: `-H "x-signature: $sum"` }),
  [Source.GENERIC_HMAC]: (hmac) =>
    (hmac?.signedTemplate || "{body}") === "{body}" && (hmac?.algorithm ?? 0) <= 1 && hmac?.encoding !== HmacEncoding.BASE64
      ? { body: `'{"test":true}'`, headers: `-H "${hmac?.header || "x-signature"}: ${hmac?.prefix ?? ""}$sum"` }
      : undefined,
};
