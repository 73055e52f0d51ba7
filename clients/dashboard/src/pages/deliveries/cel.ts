import { run } from "@bufbuild/cel";
import type { Evaluate } from "./terms.ts";

/** Evaluates a term as the server does; fetched only where a filter is shown. */
export const evaluate: Evaluate = (term, scope) => {
  try {
    const result: unknown = run(term, scope as Parameters<typeof run>[1]);
    return typeof result === "boolean" ? result : "error";
  } catch {
    // Not an expression of this evaluator; the server's may know more.
    return undefined;
  }
};
