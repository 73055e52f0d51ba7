import { newId, RepriseError } from "@reprise/client";
import { useState } from "preact/hooks";
import { useLeave, useUnsaved } from "../../app/guard.ts";
import { Page, PageHead } from "../../app/page.tsx";
import { hrefs } from "../../app/routes.ts";
import { ErrorNotice } from "../../components/error.tsx";
import { SaveBar } from "../../components/save_bar.tsx";
import type { About } from "../trigger.tsx";
import { FormSections } from "./form.tsx";
import { justMade } from "./made.ts";
import { createTrigger, useDraft } from "./use_draft.ts";

/** The form of a trigger that is not there yet. */
export function NewTrigger({ about, trail }: { about: About; trail: readonly { href: string; label: string }[] }) {
  const [secret, setSecret] = useState("");
  const form = useDraft(undefined, secret);
  const [requestId, setRequestId] = useState(newId);
  const [failed, setFailed] = useState<RepriseError>();
  const [busy, setBusy] = useState(false);
  const [made, setMade] = useState<string>();
  useUnsaved(form.dirty && made === undefined, "the new trigger");
  useLeave(made && `${hrefs.trigger(made)}?tab=setup`);
  const shown = { ...form, problem: failed ?? form.problem };
  const save = async () => {
    form.showAll();
    setBusy(true);
    setFailed(undefined);
    try {
      const answer = await createTrigger(form.draft, secret, requestId);
      const { trigger } = answer;
      if (!trigger) return;
      justMade.value = { triggerId: trigger.id, secret: answer.secret, warnings: answer.warnings };
      setMade(trigger.id);
    } catch (thrown) {
      setFailed(RepriseError.from(thrown));
      setBusy(false);
      setRequestId(newId());
      requestAnimationFrame(() => document.querySelector<HTMLElement>(".field.wrong .input")?.focus());
    }
  };
  return (
    <Page title="New trigger" trail={trail} tab="New trigger">
      <PageHead title="New trigger" meta={<span>Says which webhooks of one sender may do something, and what the agent is told.</span>} />
      <form
        class="editor"
        aria-label="New trigger"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
        onInput={() => failed && setFailed(undefined)}
      >
        <FormSections form={shown} about={about} triggerId={undefined} isNew secret={secret} onSecret={setSecret} />
        <div class="form-section">
          <ErrorNotice error={failed && failed.fields.length === 0 && failed.reason !== "SLUG_TAKEN" ? failed : undefined} />
        </div>
      </form>
      <SaveBar
        label="Create trigger"
        dirty={form.dirty}
        busy={busy}
        problem={failed ? "It was not created: see the marked fields." : undefined}
        onSave={() => void save()}
        onDiscard={() => {
          form.reset();
          setSecret("");
          setFailed(undefined);
        }}
      >
        Not created yet
      </SaveBar>
    </Page>
  );
}
