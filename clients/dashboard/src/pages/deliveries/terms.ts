/** One term of a filter, `a && b && c`, with what it read and what it gave. */
export interface Term {
  rule: string;
  /** Values it read, by the names that the rule writes. */
  read: readonly (readonly [name: string, value: string])[];
  result: "true" | "false" | "not read" | "error" | "unknown";
  /** This one decided. */
  decides: boolean;
}

/** Whether the whole rule let the event pass, as the server found. */
export type Found = "pass" | "stop" | "failed";

/** A rule's terms: what stands between the `&&` that are in no bracket and no text. */
export function splitTerms(rule: string): string[] {
  const terms: string[] = [];
  let [depth, begin, quote] = [0, 0, ""];
  for (let at = 0; at < rule.length; at += 1) {
    const char = rule.charAt(at);
    if (quote) {
      if (char === "\\") at += 1;
      else if (char === quote) quote = "";
    } else if (char === '"' || char === "'") quote = char;
    else if ("([{".includes(char)) depth += 1;
    else if (")]}".includes(char)) depth -= 1;
    else if (depth === 0 && (rule.startsWith("||", at) || char === "?")) return [rule.trim()];
    else if (depth === 0 && rule.startsWith("&&", at)) {
      terms.push(rule.slice(begin, at).trim());
      at += 1;
      begin = at + 1;
    }
  }
  return [...terms, rule.slice(begin).trim()].filter(Boolean);
}

/** The values of a step whose names stand in a term, in the order in which it names them. */
export function readBy(term: string, values: Readonly<Record<string, string>>): (readonly [string, string])[] {
  const plain = term.replaceAll("'", '"');
  return Object.entries(values)
    .map(([name, value]) => [plain.search(new RegExp(`(?<![\\w.])${escaped(name)}(?!\\w)`)), name, value] as const)
    .filter(([at]) => at >= 0)
    .sort((a, b) => a[0] - b[0])
    .map(([, name, value]) => [name, value] as const);
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Variables of a rule, put together from the members that the server says it read. Cut and absent ones are left out. */
export function scopeOf(values: Readonly<Record<string, string>>): { scope: Record<string, unknown>; cut: Set<string> } {
  const scope: Record<string, unknown> = { event: {}, payload: {}, headers: {} };
  const cut = new Set<string>();
  for (const [name, text] of Object.entries(values)) {
    if (text === "absent") continue;
    try {
      put(scope, stepsOf(name), JSON.parse(text));
    } catch {
      cut.add(name);
    }
  }
  return { scope, cut };
}

function stepsOf(name: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [, plain, place] of name.matchAll(/([A-Za-z_]\w*)|\[("(?:[^"\\]|\\.)*"|\d+)\]/g)) {
    steps.push(plain ?? (JSON.parse(place ?? '""') as string | number));
  }
  return steps;
}

function put(scope: Record<string, unknown>, steps: readonly (string | number)[], value: unknown): void {
  let at: Record<string | number, unknown> = scope;
  for (const [index, step] of steps.entries()) {
    if (index === steps.length - 1) {
      // A member below this one may have been read too; what the whole says holds.
      at[step] = typeof at[step] === "object" && at[step] !== null && isObject(value) ? Object.assign(at[step], value) : value;
      return;
    }
    if (!isObject(at[step]) && !Array.isArray(at[step])) at[step] = typeof steps[index + 1] === "number" ? [] : {};
    at = at[step] as Record<string | number, unknown>;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** What a term gives in a scope: true, false, or undefined when it cannot be told here. */
export type Evaluate = (term: string, scope: Record<string, unknown>) => boolean | "error" | undefined;

/**
 * The terms of a rule with their results, read from left to right as the server does. Undefined when they disagree with
 * what the server found: the rule was another one then.
 */
export function termsOf(rule: string, values: Readonly<Record<string, string>>, found: Found, evaluate: Evaluate): Term[] | undefined {
  const { scope, cut } = scopeOf(values);
  const terms = splitTerms(rule).map((term) => ({ rule: term, read: readBy(term, values) }));
  const results = terms.map(({ rule: term, read }) => (read.some(([name]) => cut.has(name)) ? undefined : evaluate(term, scope)));
  const decider = deciderOf(results, found);
  if (decider === null) return undefined;
  return terms.map((term, at) => {
    if (decider !== undefined && at > decider) return { ...term, result: "not read", decides: false };
    if (at === decider) return { ...term, result: found === "failed" ? "error" : "false", decides: true };
    return { ...term, result: decider !== undefined || found === "pass" ? "true" : wordOf(results[at]), decides: false };
  });
}

/** The place of the term that decided; undefined: it passed, or it cannot be told; null: the results do not fit. */
function deciderOf(results: readonly (boolean | "error" | undefined)[], found: Found): number | undefined | null {
  if (found === "pass") return results.some((one) => one === false || one === "error") ? null : undefined;
  const wanted = found === "stop" ? false : "error";
  const at = results.indexOf(wanted);
  const unknown = results.indexOf(undefined);
  if (at >= 0 && (unknown < 0 || unknown > at)) return results.slice(0, at).every((one) => one === true) ? at : null;
  if (at >= 0) return undefined;
  // Everything that can be told is true, so that the one that cannot is it.
  if (unknown < 0) return null;
  return results.filter((one) => one !== true).length === 1 ? unknown : undefined;
}

function wordOf(result: boolean | "error" | undefined): Term["result"] {
  return result === undefined ? "unknown" : result === "error" ? "error" : result ? "true" : "false";
}
