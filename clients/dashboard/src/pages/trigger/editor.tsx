import type { Trigger } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { useLeave, useUnsaved } from "../../app/guard.ts";
import { useKeys } from "../../app/keys.ts";
import { Page, PageHead } from "../../app/page.tsx";
import { query, setQuery } from "../../app/router.ts";
import { Button, Segments, State } from "../../components/basics.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { SaveBar } from "../../components/save_bar.tsx";
import { Age, Id } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction } from "../../data/query.ts";
import { plural, toMs } from "../../lib/format.ts";
import { sourceName } from "../../lib/words.ts";
import type { About } from "../trigger.tsx";
import { Conflict } from "./conflict.tsx";
import { askToDelete } from "./delete.tsx";
import { changedPaths, pathWord, toDraft } from "./draft.ts";
import { DryRun } from "./dry_run.tsx";
import { FormSections } from "./form.tsx";
import { justMade } from "./made.ts";
import { SetUp } from "./set_up.tsx";
import { TryTrigger } from "./try.tsx";
import { useDraft } from "./use_draft.ts";
import { useSaving, useStored } from "./use_saving.ts";

const TABS = [
  { value: "rules", label: "Rules" },
  { value: "setup", label: "Set-up" },
  { value: "try", label: "Test fire" },
  { value: "dry", label: "Dry run" },
] as const;
type Tab = (typeof TABS)[number]["value"];

/** A stored trigger and everything one can do with it. */
export function Editor({
  trigger,
  about,
  trail,
  onTrigger,
}: {
  trigger: Trigger;
  about: About;
  trail: readonly { href: string; label: string }[];
  onTrigger: (trigger: Trigger) => void;
}) {
  const tab: Tab = TABS.find((one) => one.value === query("tab"))?.value ?? "rules";
  const setTab = (to: Tab) => setQuery({ tab: to === "rules" ? undefined : to });
  const form = useDraft(trigger, "");
  const stored = useStored(trigger, form);
  const made = justMade.value?.triggerId === trigger.id ? justMade.value : undefined;
  const info = about.sources.find((one) => one.source === trigger.source);
  const saving = useSaving(stored, form, onTrigger);
  const enabled = trigger.enabled ?? true;
  const [deleted, setDeleted] = useState(false);
  const toggle = useAction(async () => {
    const answer = await reprise.triggers.updateTrigger({ trigger: { id: trigger.id, enabled: !enabled } });
    if (answer.trigger) onTrigger(answer.trigger);
  });
  const remove = useAction(async () => {
    if (!(await askToDelete(trigger))) return;
    justMade.value = undefined;
    setDeleted(true);
  });
  useUnsaved(form.dirty && !deleted, `your changes to \`${trigger.slug}\``);
  // A secret is forgotten with the page.
  useEffect(
    () => () => {
      justMade.value = undefined;
    },
    [],
  );
  useLeave(deleted ? "/triggers" : undefined);
  useKeys("Trigger", Object.fromEntries(TABS.map((one, at) => [String(at + 1), { label: one.label, run: () => setTab(one.value) }])));
  const filter = `trigger=${encodeURIComponent(trigger.slug)}`;
  return (
    <Page title={trigger.slug} trail={trail} tab={trigger.slug} aside={form.dirty ? "not saved" : undefined}>
      <PageHead
        title={trigger.slug}
        detail={trigger.displayName}
        state={enabled ? <State mark="ok" word="enabled" /> : <State mark="none" word="disabled" />}
        buttons={
          <>
            <Button busy={toggle.busy} onClick={() => void toggle.run()}>
              {enabled ? "Disable" : "Enable"}
            </Button>
            <Button danger busy={remove.busy} onClick={() => void remove.run()}>
              Delete…
            </Button>
          </>
        }
        meta={
          <>
            <span>{info?.title ?? sourceName(trigger.source)}</span>
            <Id id={trigger.id} />
            <span>
              changed <Age ms={toMs(trigger.updateTime)} /> ago
            </span>
            <a href={`/deliveries?${filter}`}>deliveries</a>
            <a href={`/runs?${filter}`}>runs</a>
            <a href={`/sessions?${filter}`}>sessions</a>
          </>
        }
      />
      <div class="bar tabs">
        <Segments label="Parts of the trigger" options={TABS} value={tab} onChange={setTab} />
      </div>
      <div class="problems">
        <ErrorNotice error={toggle.error} />
        <ErrorNotice error={remove.error} />
      </div>
      {tab === "rules" && (
        <form
          class="editor"
          aria-label="Rules"
          onSubmit={(event) => {
            event.preventDefault();
            void saving.save();
          }}
        >
          <FormSections form={form} about={about} triggerId={trigger.id} isNew={false} secret="" onSecret={() => {}} />
        </form>
      )}
      {tab === "setup" && (
        <SetUp trigger={trigger} info={info} made={made} onTrigger={onTrigger} onMade={(next) => (justMade.value = next)} />
      )}
      {tab === "try" && <TryTrigger trigger={trigger} info={info} dirty={form.dirty} />}
      {tab === "dry" && <DryRun trigger={trigger} draft={form.draft} dirty={form.dirty} />}
      {saving.error && (
        <div class="problems">
          <ErrorNotice error={saving.error} />
        </div>
      )}
      <SaveBar
        dirty={form.dirty}
        busy={saving.busy}
        problem={form.problem && `Cannot be saved yet: ${form.problem.message}`}
        onSave={() => void saving.save()}
        onDiscard={() => form.reset()}
      >
        Changed: {form.changed.map(pathWord).join(", ")}
        {form.restarts > 0 && <b class="c-amber"> · saving ends {plural(form.restarts, "conversation")}</b>}
      </SaveBar>
      {saving.theirs && (
        <Conflict
          mine={form.changed}
          theirs={changedPaths(toDraft(stored), toDraft(saving.theirs))}
          busy={saving.busy}
          onClose={saving.close}
          onReload={saving.reload}
          onOverwrite={() => void saving.overwrite()}
        />
      )}
    </Page>
  );
}
