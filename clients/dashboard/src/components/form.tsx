import type { RepriseError } from "@reprise/client";
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

/** What every field takes: its name, what it means, and what is wrong with it. */
interface FieldProps {
  label: string;
  help?: ComponentChildren;
  error?: string | undefined;
}

/** The sentence that the server wrote for a field of the request: `fieldError(error, "trigger.slug")`. Fields below it count too. */
export function fieldError(error: RepriseError | undefined, ...paths: string[]): string | undefined {
  const found = error?.fields.find(({ field }) =>
    paths.some((path) => field === path || field.startsWith(`${path}.`) || field.startsWith(`${path}[`)),
  );
  return found?.description;
}

/** Violations that no field of the form shows, so that nothing the server said is lost. */
export function otherFields(error: RepriseError | undefined, shown: readonly string[]): string[] {
  return (error?.fields ?? [])
    .filter(({ field }) => !shown.some((path) => field === path || field.startsWith(`${path}.`)))
    .map(({ field, description }) => `${field}: ${description}`);
}

/** Label above, help below, the error in place of nothing: the height of a form changes only when there is an error. */
export function Field({
  label,
  help,
  error,
  children,
}: FieldProps & { children: (ids: { id: string; describedBy: string }) => ComponentChildren }) {
  const id = useId();
  return (
    <div class={`field${error ? " wrong" : ""}`}>
      <label for={id}>{label}</label>
      {children({ id, describedBy: `${id}-help` })}
      <div id={`${id}-help`}>
        {error && (
          <p class="error" role="alert">
            {error}
          </p>
        )}
        {help && <p class="help">{help}</p>}
      </div>
    </div>
  );
}

interface TextProps extends FieldProps {
  value: string;
  onInput: (value: string) => void;
  type?: "text" | "password" | "search" | "url";
  name?: string;
  placeholder?: string;
  mono?: boolean;
  autoFocus?: boolean;
  disabled?: boolean;
}

export function TextField({ value, onInput, type = "text", name, placeholder, mono, autoFocus, disabled, ...field }: TextProps) {
  return (
    <Field {...field}>
      {({ id, describedBy }) => (
        <input
          id={id}
          class={`input${mono ? " m" : ""}`}
          // The types of JSX tie each kind of input to its role; these kinds all take the same attributes.
          type={type as "text"}
          name={name}
          value={value}
          placeholder={placeholder}
          disabled={disabled}
          // biome-ignore lint/a11y/noAutofocus: only the sign-in page asks for it, where it is the one thing to do
          autoFocus={autoFocus}
          autocomplete="off"
          spellcheck={false}
          aria-invalid={field.error !== undefined}
          aria-describedby={describedBy}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** A text of several lines: prompts, expressions. */
export function AreaField({ value, onInput, rows = 4, mono = false, placeholder, ...field }: Omit<TextProps, "type"> & { rows?: number }) {
  return (
    <Field {...field}>
      {({ id, describedBy }) => (
        <textarea
          id={id}
          class={`input${mono ? " m" : ""}`}
          rows={rows}
          value={value}
          placeholder={placeholder}
          spellcheck={!mono}
          aria-invalid={field.error !== undefined}
          aria-describedby={describedBy}
          onInput={(event) => onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

interface NumberProps extends FieldProps {
  /** Undefined: nothing is typed. 0 is a number like any other. */
  value: number | undefined;
  onInput: (value: number | undefined) => void;
  min?: number;
  max?: number;
  step?: number | "any";
  unit?: string;
}

/** A number with its unit. What is out of range is said while it is typed. */
export function NumberField({ value, onInput, min, max, step = 1, unit, ...field }: NumberProps) {
  const error = field.error ?? rangeError(value, min, max);
  return (
    <Field {...field} error={error}>
      {({ id, describedBy }) => (
        <span class="with-unit">
          <input
            id={id}
            class="input number"
            type="number"
            inputMode="decimal"
            value={value ?? ""}
            min={min}
            max={max}
            step={step}
            aria-invalid={error !== undefined}
            aria-describedby={describedBy}
            onInput={(event) => onInput(event.currentTarget.value === "" ? undefined : event.currentTarget.valueAsNumber)}
          />
          {unit && <span class="f3">{unit}</span>}
        </span>
      )}
    </Field>
  );
}

/** What is wrong with a number, in the words of the server. */
export function rangeError(value: number | undefined, min: number | undefined, max: number | undefined): string | undefined {
  if (value === undefined || Number.isNaN(value)) return undefined;
  if ((min !== undefined && value < min) || (max !== undefined && value > max)) {
    if (min !== undefined && max !== undefined) return `must be between ${min} and ${max}`;
    return min !== undefined ? `must be at least ${min}` : `must be at most ${max}`;
  }
  return undefined;
}

interface SelectProps<T extends string> extends FieldProps {
  value: T;
  options: readonly { value: T; label: string }[];
  onChange: (value: T) => void;
  disabled?: boolean;
}

export function SelectField<T extends string>({ value, options, onChange, disabled, ...field }: SelectProps<T>) {
  return (
    <Field {...field}>
      {({ id, describedBy }) => (
        <select
          id={id}
          class="input"
          disabled={disabled}
          aria-describedby={describedBy}
          onChange={(event) => onChange(event.currentTarget.value as T)}
        >
          {options.map((one) => (
            <option key={one.value} value={one.value} selected={one.value === value}>
              {one.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** A box to tick, with its sentence. */
export function Check({
  label,
  help,
  checked,
  onChange,
  disabled,
}: {
  label: ComponentChildren;
  help?: ComponentChildren;
  checked: boolean;
  onChange: (checked: boolean) => void;
  disabled?: boolean;
}) {
  const id = useId();
  return (
    <div class="check">
      <input
        id={id}
        type="checkbox"
        checked={checked}
        disabled={disabled}
        aria-describedby={`${id}-help`}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {help && (
        <p id={`${id}-help`} class="help">
          {help}
        </p>
      )}
    </div>
  );
}

/** The field of a filter bar: search words, and at its end how many there are. */
export function Find({
  value,
  onInput,
  label,
  rest,
  width,
}: {
  value: string;
  onInput: (value: string) => void;
  label: string;
  rest?: ComponentChildren;
  width?: "wide";
}) {
  return (
    <label class={`find${width ? " is-wide" : ""}`}>
      <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
        <circle cx="7" cy="7" r="4" />
        <path d="m10 10 3.2 3.2" />
      </svg>
      <input
        type="text"
        value={value}
        placeholder={label}
        aria-label={label}
        spellcheck={false}
        data-find
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      {rest !== undefined && <span class="t12">{rest}</span>}
    </label>
  );
}

/** A choice in a filter bar. The empty value is "all". */
export function Choice<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string;
  value: T | "";
  options: readonly { value: T; label: string }[];
  onChange: (value: T | "") => void;
}) {
  return (
    <span class="choice">
      <select aria-label={label} onChange={(event) => onChange(event.currentTarget.value as T | "")}>
        <option value="" selected={value === ""}>
          {label}
        </option>
        {options.map((one) => (
          <option key={one.value} value={one.value} selected={one.value === value}>
            {one.label}
          </option>
        ))}
      </select>
      <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
        <path d="m5 6.5 3 3 3-3" />
      </svg>
    </span>
  );
}
