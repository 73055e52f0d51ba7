import type { RepriseError } from "@reprise/client";
import { Field, fieldError } from "../../components/form.tsx";

/** A field of the form that takes a CEL expression. */
export function ExpressionField({
  label,
  help,
  path,
  value,
  problem,
  placeholder,
  onInput,
  onFocus,
}: {
  label: string;
  help: preact.ComponentChildren;
  /** Of the request, `trigger.filter_expression`. */
  path: string;
  value: string;
  problem: RepriseError | undefined;
  placeholder?: string;
  onInput: (value: string) => void;
  /** The values beside it put their paths into this field from now on. */
  onFocus: (field: HTMLTextAreaElement) => void;
}) {
  const error = fieldError(problem, path);
  const place = error ? placeOf(problem) : undefined;
  return (
    <Field label={label} help={help} error={error && sentence(error, place)}>
      {({ id, describedBy }) => (
        <>
          <textarea
            id={id}
            class="input m"
            rows={Math.min(8, Math.max(2, value.split("\n").length))}
            value={value}
            placeholder={placeholder}
            spellcheck={false}
            autocapitalize="off"
            aria-invalid={error !== undefined}
            aria-describedby={describedBy}
            onFocus={(event) => onFocus(event.currentTarget)}
            onInput={(event) => onInput(event.currentTarget.value)}
          />
          {place && <Excerpt source={value} line={place.line} column={place.column} />}
        </>
      )}
    </Field>
  );
}

/** Where in its text something is wrong; both from 1. */
export interface SourcePlace {
  line: number;
  column: number | undefined;
}

/** The place that EXPRESSION_INVALID and TEMPLATE_INVALID name. */
export function placeOf(problem: RepriseError | undefined): SourcePlace | undefined {
  const line = Number(problem?.metadata["line"]);
  if (!Number.isInteger(line) || line < 1) return undefined;
  const column = Number(problem?.metadata["column"]);
  return { line, column: Number.isInteger(column) && column >= 1 ? column : undefined };
}

function sentence(error: string, place: SourcePlace | undefined): string {
  if (!place) return error;
  return `Line ${place.line}${place.column ? `, column ${place.column}` : ""}: ${error}`;
}

/** The line with the mistake, and a mark under the place. */
export function Excerpt({ source, line, column }: { source: string; line: number; column: number | undefined }) {
  const text = source.split("\n")[line - 1];
  if (text === undefined) return null;
  const { shown, at } = excerpt(text, column);
  return (
    <pre class="excerpt" aria-hidden="true">
      {shown}
      {at !== undefined && (
        <>
          {"\n"}
          {" ".repeat(at)}
          <i class="c-red">^</i>
        </>
      )}
    </pre>
  );
}

const WIDE = 72;

/** What is shown of a line, and where its mark stands; a long line is cut around the place. */
export function excerpt(text: string, column: number | undefined): { shown: string; at: number | undefined } {
  const flat = text.replaceAll("\t", " ");
  if (column === undefined) return { shown: cut(flat, 0), at: undefined };
  const place = Math.min(column - 1, flat.length);
  const from = place > WIDE - 12 ? place - 24 : 0;
  const shown = cut(flat, from);
  return { shown, at: place - from + (from > 0 ? 1 : 0) };
}

function cut(text: string, from: number): string {
  const piece = text.slice(from, from + WIDE);
  return `${from > 0 ? "…" : ""}${piece}${from + WIDE < text.length ? "…" : ""}`;
}
