import type { SourceInfo } from "@reprise/client";
import type { ComponentChildren } from "preact";
import type { DraftState } from "./use_draft.ts";

/** What the settings say where a trigger says nothing. */
export interface Defaults {
  resume: boolean;
  model: string;
  profile: string;
  maxCostUsd: number | undefined;
  timeoutSeconds: number | undefined;
  silenceSeconds: number | undefined;
}

/** What every part of the form is given. */
export interface SectionProps {
  form: DraftState;
  info: SourceInfo | undefined;
  defaults: Defaults;
}

/** A part of the form: its name and what it is about, its fields, and what stands beside them. */
export function Section({
  title,
  about,
  beside,
  children,
}: {
  title: string;
  about?: ComponentChildren;
  beside?: ComponentChildren;
  children: ComponentChildren;
}) {
  return (
    <section class={`form-section${beside ? " has-beside" : ""}`} aria-label={title}>
      <div class="fields">
        <header>
          <h2>{title}</h2>
          {about && <p class="help">{about}</p>}
        </header>
        {children}
      </div>
      {beside}
    </section>
  );
}
