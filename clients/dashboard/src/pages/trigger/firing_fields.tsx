import { SessionMode, Source } from "@reprise/client";
import { AreaField, Check, fieldError, SelectField, TextField } from "../../components/form.tsx";
import type { Firing } from "./use_firing.ts";

/** The event itself: one of the samples, or a payload with headers. */
export function EventFields({ firing, samples, source }: { firing: Firing; samples: readonly string[]; source: Source }) {
  const { event, set, problem, wrong } = firing;
  return event.kind === "sample" ? (
    <SelectField
      label="Sample"
      value={event.sample}
      options={samples.map((one) => ({ value: one, label: one.replaceAll("_", " ") }))}
      onChange={(sample) => set({ sample })}
      error={fieldError(problem, "sample")}
      help={samples.length === 0 ? "This source has none; give a payload." : "A webhook as the sender would send it, with its headers."}
    />
  ) : (
    <>
      <AreaField
        label="Payload"
        mono
        rows={10}
        value={event.body}
        onInput={(body) => set({ body })}
        error={wrong.body ?? fieldError(problem, "payload", "body")}
        help="The body as the sender would send it, a JSON object."
      />
      <AreaField
        label="Headers"
        mono
        rows={2}
        value={event.headers}
        placeholder={source === Source.GITHUB ? "x-github-event: pull_request" : "name: value"}
        onInput={(text) => set({ headers: text })}
        error={wrong.headers ?? fieldError(problem, "headers")}
        help="One a line. GitHub and Linear name the kind of event here."
      />
    </>
  );
}

/** What else can be chosen: filter, thread, conversation, prompt. */
export function Choices({ firing: { event, set, problem } }: { firing: Firing }) {
  return (
    <>
      <Check
        label="Leave out the filter"
        help="Also the rule of what may start a conversation."
        checked={event.skipFilter}
        onChange={(skipFilter) => set({ skipFilter })}
      />
      <Check
        label="A thread of my choice"
        help="In place of the one that the payload gives."
        checked={event.ownThread}
        onChange={(ownThread) => set({ ownThread })}
      />
      {event.ownThread && (
        <TextField
          label="Thread key"
          mono
          value={event.threadKey}
          onInput={(threadKey) => set({ threadKey })}
          error={fieldError(problem, "thread_key")}
          help="Empty: no thread, a run of its own."
        />
      )}
      <SelectField
        label="Conversation"
        value={String(event.mode)}
        options={MODES}
        onChange={(mode) => set({ mode: Number(mode) as SessionMode })}
        error={fieldError(problem, "session_mode")}
      />
      <TextField
        label="Session"
        mono
        value={event.sessionId}
        placeholder="ses_…"
        onInput={(sessionId) => set({ sessionId })}
        error={fieldError(problem, "session_id")}
        help="For example a fork. Empty: the thread's."
      />
      <Check
        label="A prompt of my own"
        help="In place of the trigger's; it is sent as it is."
        checked={event.ownPrompt}
        onChange={(ownPrompt) => set({ ownPrompt })}
      />
      {event.ownPrompt && (
        <AreaField
          label="Prompt"
          mono
          rows={4}
          value={event.prompt}
          onInput={(prompt) => set({ prompt })}
          error={fieldError(problem, "prompt")}
        />
      )}
    </>
  );
}

const MODES = [
  { value: String(SessionMode.UNSPECIFIED), label: "As the trigger says" },
  { value: String(SessionMode.FRESH), label: "Fresh: a new conversation for the thread" },
  { value: String(SessionMode.RESUME), label: "Resume: continue it, or fail" },
  { value: String(SessionMode.FORK), label: "Fork: a copy; the thread's own stays as it is" },
];
