import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Check, Field, NumberField, TextField } from "../../components/form.tsx";
import { defaultWords, labelOf, type SettingField } from "./form.ts";
import type { SettingsForm } from "./use_settings.ts";

/** All settings of a group, as the server names them. `more` says what its one sentence cannot. */
export function GroupFields({ form, group, more = {} }: { form: SettingsForm; group: string; more?: Record<string, ComponentChildren> }) {
  const fields = form.fields.filter(({ rule }) => rule.path.startsWith(`${group}.`));
  return fields.map((field) => <OneField key={field.rule.path} form={form} field={field} more={more[field.rule.path]} />);
}

function OneField({ form, field, more }: { form: SettingsForm; field: SettingField; more: ComponentChildren }) {
  const { rule, kind } = field;
  const value = form.values[rule.path];
  const label = labelOf(rule.path);
  const error = form.problem(field);
  const help = (
    <>
      {rule.help} {more}{" "}
      <span class="nowrap">
        {range(field)}Default: {defaultWords(field)}.
      </span>
    </>
  );
  if (kind === "boolean") {
    return <Check label={label} help={help} checked={value === true} onChange={(checked) => form.set(rule.path, checked)} />;
  }
  if (kind === "number" || kind === "duration") {
    return (
      <NumberField
        label={label}
        help={help}
        error={error}
        value={value as number | undefined}
        onInput={(next) => form.set(rule.path, next)}
        min={rule.min}
        max={rule.max}
        step={rule.unit === "USD" || kind === "duration" ? "any" : 1}
        unit={rule.unit === "hour" ? "o'clock" : rule.unit}
      />
    );
  }
  if (rule.path === "sessions.time_zone") {
    return <TimeZone label={label} help={help} error={error} value={String(value ?? "")} onInput={(next) => form.set(rule.path, next)} />;
  }
  return (
    <TextField
      label={label}
      help={help}
      error={error}
      mono
      value={String(value ?? "")}
      placeholder={rule.default}
      onInput={(next) => form.set(rule.path, next)}
    />
  );
}

function range({ rule, kind }: SettingField): string {
  if (kind === "text" || kind === "boolean" || rule.min === undefined || rule.max === undefined) return "";
  return `${rule.min.toLocaleString("en")} to ${rule.max.toLocaleString("en")}. `;
}

/** A time zone, with those that the browser knows to choose from. */
function TimeZone({
  label,
  help,
  error,
  value,
  onInput,
}: {
  label: string;
  help: ComponentChildren;
  error: string | undefined;
  value: string;
  onInput: (value: string) => void;
}) {
  const list = useId();
  return (
    <Field label={label} help={help} error={error}>
      {({ id, describedBy }) => (
        <>
          <input
            id={id}
            class="input m"
            list={list}
            value={value}
            autocomplete="off"
            spellcheck={false}
            aria-invalid={error !== undefined}
            aria-describedby={describedBy}
            onInput={(event) => onInput(event.currentTarget.value)}
          />
          <datalist id={list}>
            {["UTC", ...Intl.supportedValuesOf("timeZone")].map((zone) => (
              <option key={zone} value={zone} />
            ))}
          </datalist>
        </>
      )}
    </Field>
  );
}
