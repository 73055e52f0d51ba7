/** A number too large for a JavaScript number, as it stands in the text. */
export class BigNumber {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** A JSON value whose numbers are as they were written. */
export type Json = null | boolean | number | string | BigNumber | Json[] | { [name: string]: Json };

/** Reads JSON without losing digits of large numbers; undefined for text that is none. */
export function parseJson(text: string): Json | undefined {
  try {
    // Browsers pass the text of a number as a third argument; where they do not, a large number is shown as it came out.
    return JSON.parse(text, function (this: unknown, _name: string, value: unknown, context?: { source?: string }) {
      return typeof value === "number" &&
        context?.source !== undefined &&
        String(value) !== context.source &&
        isLossy(value, context.source)
        ? new BigNumber(context.source)
        : value;
    }) as Json;
  } catch {
    return undefined;
  }
}

function isLossy(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return true;
  return /^-?\d+$/.test(source) ? !Number.isSafeInteger(value) : source.replace(/[-.eE+]/g, "").replace(/^0+/, "").length > 17;
}

/** The path of a value as an expression writes it: `event.pull_request.number`, `event.labels[0]`, `event["x-y"]`. */
export function pathOf(base: string, step: string | number): string {
  if (typeof step === "number") return `${base}[${step}]`;
  return /^[A-Za-z_]\w*$/.test(step) ? `${base}.${step}` : `${base}[${JSON.stringify(step)}]`;
}
