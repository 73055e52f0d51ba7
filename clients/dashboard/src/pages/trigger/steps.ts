import type { Trigger } from "@reprise/client";

/** A piece of a set-up step: a word to type is code. */
export interface StepPart {
  text: string;
  code: boolean;
}

/** Text of the server, its backticks as code. */
export function codeParts(text: string): StepPart[] {
  return text
    .split("`")
    .map((piece, at) => ({ text: piece, code: at % 2 === 1 }))
    .filter((part) => part.text !== "");
}

/** A set-up step with this trigger's address and slug in it, and its backticks as code. */
export function stepParts(step: string, trigger: Pick<Trigger, "webhookUrl" | "slug">): StepPart[] {
  const placed = step.replaceAll(/\bSLUG\b/g, trigger.slug).split("the trigger's webhook_url");
  // An address within code is part of that code; elsewhere it is code by itself.
  return codeParts(placed.reduce((text, rest) => `${text}${isOpen(text) ? trigger.webhookUrl : `\`${trigger.webhookUrl}\``}${rest}`));
}

/** Whether a text ends within code. */
function isOpen(text: string): boolean {
  return text.split("`").length % 2 === 0;
}
