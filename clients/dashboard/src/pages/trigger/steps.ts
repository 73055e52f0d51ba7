import type { Trigger } from "@reprise/client";

/** A piece of a set-up step: a word to type is code. */
export interface StepPart {
  text: string;
  code: boolean;
}

/** A set-up step with this trigger's address and slug in it, and its backticks as code. */
export function stepParts(step: string, trigger: Pick<Trigger, "webhookUrl" | "slug">): StepPart[] {
  const named = step.replaceAll(/\bSLUG\b/g, trigger.slug);
  const parts: StepPart[] = [];
  for (const [at, piece] of named.split("`").entries()) {
    if (at % 2 === 1) {
      parts.push({ text: piece, code: true });
      continue;
    }
    for (const [index, text] of piece.split("the trigger's webhook_url").entries()) {
      if (index > 0) parts.push({ text: trigger.webhookUrl, code: true });
      if (text) parts.push({ text, code: false });
    }
  }
  return parts;
}
