import type { Trigger } from "@reprise/client";

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
