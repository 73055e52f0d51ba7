import { HmacAlgorithm, HmacEncoding, Source, type SourceInfo } from "@reprise/client";
import { Check, fieldError, NumberField, SelectField, TextField } from "../../components/form.tsx";
import { sourceName } from "../../lib/words.ts";
import { Section, type SectionProps } from "./section.tsx";

/** What the trigger is called and who sends its webhooks; both are fixed once it is made. */
export function IdentityFields({
  form,
  info,
  sources,
  isNew,
  secret,
  onSecret,
}: SectionProps & { sources: readonly SourceInfo[]; isNew: boolean; secret: string; onSecret: (secret: string) => void }) {
  const { draft, set, problem } = form;
  return (
    <Section title="Name and sender">
      {isNew && (
        <>
          <SelectField
            label="Source"
            value={String(draft.source)}
            options={sources.map((one) => ({ value: String(one.source), label: one.title || sourceName(one.source) }))}
            onChange={(value) => set({ source: Number(value) as Source })}
            error={fieldError(problem, "trigger.source")}
            help="Who sends the webhooks, and therefore how they are verified and read. Fixed afterwards."
          />
          <TextField
            label="Slug"
            mono
            value={draft.slug}
            placeholder="github-reviews"
            onInput={(slug) => set({ slug })}
            error={fieldError(problem, "trigger.slug") ?? (problem?.reason === "SLUG_TAKEN" ? "Is taken by another trigger." : undefined)}
            help="Short name, part of the webhook address: a-z, 0-9 and -, at most 48. Fixed afterwards."
          />
        </>
      )}
      <TextField
        label="Name for people"
        value={draft.displayName}
        onInput={(displayName) => set({ displayName })}
        error={fieldError(problem, "trigger.display_name")}
        help="May be empty."
      />
      {isNew && draft.source !== Source.MANUAL && (
        <TextField
          label={info?.needsProviderSecret ? `Signing secret that ${info.title} shows` : "Signing secret of the sender"}
          type="password"
          value={secret}
          onInput={onSecret}
          error={fieldError(problem, "secret")}
          help={
            info?.needsProviderSecret
              ? `${info.title} issues it once the webhook is made there with this trigger's address. Empty: give it later.`
              : "Empty: Reprise makes one and shows it once."
          }
        />
      )}
      {isNew && (
        <Check
          label="Act on webhooks at once"
          checked={draft.enabled}
          onChange={(enabled) => set({ enabled })}
          help="Off: they are recorded and do nothing."
        />
      )}
    </Section>
  );
}

/** How a sender without a standard of its own signs. */
export function HmacFields({ form }: SectionProps) {
  const { draft, set, problem } = form;
  if (draft.source !== Source.GENERIC_HMAC) return null;
  return (
    <Section title="Signature" about="How this sender signs its webhooks.">
      <div class="inline-fields">
        <TextField
          label="Header"
          mono
          value={draft.hmacHeader}
          placeholder="x-signature"
          onInput={(hmacHeader) => set({ hmacHeader })}
          error={fieldError(problem, "trigger.hmac.header")}
          help="Carries the signature."
        />
        <TextField
          label="Prefix"
          mono
          value={draft.hmacPrefix}
          placeholder="sha256="
          onInput={(hmacPrefix) => set({ hmacPrefix })}
          error={fieldError(problem, "trigger.hmac.prefix")}
          help="Text before the signature. May be empty."
        />
        <SelectField
          label="Hash"
          value={String(draft.hmacAlgorithm)}
          options={[
            { value: String(HmacAlgorithm.SHA256), label: "SHA-256" },
            { value: String(HmacAlgorithm.SHA512), label: "SHA-512" },
            { value: String(HmacAlgorithm.SHA1), label: "SHA-1, old senders only" },
          ]}
          onChange={(value) => set({ hmacAlgorithm: Number(value) as HmacAlgorithm })}
          error={fieldError(problem, "trigger.hmac.algorithm")}
        />
        <SelectField
          label="Written as"
          value={String(draft.hmacEncoding)}
          options={[
            { value: String(HmacEncoding.HEX), label: "hexadecimal" },
            { value: String(HmacEncoding.BASE64), label: "base64" },
          ]}
          onChange={(value) => set({ hmacEncoding: Number(value) as HmacEncoding })}
          error={fieldError(problem, "trigger.hmac.encoding")}
        />
      </div>
      <TextField
        label="What is signed"
        mono
        value={draft.hmacTemplate}
        placeholder="{body}"
        onInput={(hmacTemplate) => set({ hmacTemplate })}
        error={fieldError(problem, "trigger.hmac.signed_template")}
        help="With the places {body}, {timestamp} and {id}, as in {timestamp}.{body}."
      />
      <div class="inline-fields">
        <TextField
          label="Header with the time"
          mono
          value={draft.hmacTimestampHeader}
          onInput={(hmacTimestampHeader) => set({ hmacTimestampHeader })}
          error={fieldError(problem, "trigger.hmac.timestamp_header")}
          help="In Unix seconds. Empty: no time is checked."
        />
        <NumberField
          label="Tolerance"
          unit="seconds"
          min={0}
          value={draft.hmacTolerance}
          onInput={(hmacTolerance) => set({ hmacTolerance })}
          error={fieldError(problem, "trigger.hmac.tolerance")}
          help="How far the clocks may differ. Empty: 300 s."
        />
        <TextField
          label="Header with the delivery id"
          mono
          value={draft.hmacIdHeader}
          onInput={(hmacIdHeader) => set({ hmacIdHeader })}
          error={fieldError(problem, "trigger.hmac.id_header")}
          help="By which a repeat is known. Empty: the same body within ten minutes is a repeat."
        />
      </div>
    </Section>
  );
}
