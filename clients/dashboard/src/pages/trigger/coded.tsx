import type { StepPart } from "./steps.ts";

/** A sentence with its words to type as code. */
export function Coded({ parts }: { parts: readonly StepPart[] }) {
  return parts.map((part, at) => (part.code ? <code key={at}>{part.text}</code> : part.text));
}
