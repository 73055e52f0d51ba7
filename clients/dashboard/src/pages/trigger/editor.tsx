import { RepriseError, type Trigger } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { useLeave, useUnsaved } from "../../app/guard.ts";
import { useKeys } from "../../app/keys.ts";
import { Page, PageHead } from "../../app/page.tsx";
import { query, setQuery } from "../../app/router.ts";
import { Button, Segments, State } from "../../components/basics.tsx";
import { ask, Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { SaveBar } from "../../components/save_bar.tsx";
import { Age, Id } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction } from "../../data/query.ts";
import { plural, toMs } from "../../lib/format.ts";
import { sourceName } from "../../lib/words.ts";
import type { About } from "../trigger.tsx";
import { askToDelete } from "./delete.tsx";
import { changedPaths, pathWord, toDraft } from "./draft.ts";
import { DryRun } from "./dry_run.tsx";
import { FormSections } from "./form.tsx";
import { justMade } from "./made.ts";
import { SetUp } from "./set_up.tsx";
import { TryTrigger } from "./try.tsx";
import { saveTrigger, useDraft } from "./use_draft.ts";

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

/**
 * The trigger that the form began with. It is read again now and then: while something is unsaved, what somebody else
 * changed is not taken over, so that saving finds out.
 */
function useStored(trigger: Trigger, form: ReturnType<typeof useDraft>): Trigger {
  const [stored, setStored] = useState(trigger);
  useEffect(() => {
    if (trigger.etag === stored.etag) return;
    const differs = changedPaths(toDraft(stored), toDraft(trigger)).length > 0;
    if (form.dirty && differs) return;
    setStored(trigger);
    if (differs) form.reset(trigger);
  }, [trigger, form.dirty]);
  return stored;
}

/** Saving, with the questions that belong to it: what it ends, and whose change stands. */
function useSaving(trigger: Trigger, form: ReturnType<typeof useDraft>, onTrigger: (trigger: Trigger) => void) {
  const [theirs, setTheirs] = useState<Trigger>();
  const [error, setError] = useState<RepriseError>();
  const [busy, setBusy] = useState(false);
  const write = async (etag: string) => {
    setBusy(true);
    setError(undefined);
    try {
      const stored = await saveTrigger(trigger.id, etag, form.draft, form.changed);
      setTheirs(undefined);
      form.reset(stored);
      onTrigger(stored);
    } catch (thrown) {
      const failure = RepriseError.from(thrown);
      if (failure.reason === "ETAG_MISMATCH") setTheirs((await reprise.triggers.getTrigger({ triggerId: trigger.id })).trigger);
      else setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return {
    busy,
    error,
    theirs,
    close: () => setTheirs(undefined),
    save: async () => {
      form.showAll();
      const what = plural(form.restarts, "conversation");
      const title = `Save and end ${what}?`;
      const body = `They no longer fit the trigger: agent, profile or workspace changed. The next event of each thread begins a new conversation that remembers nothing of the old one.`;
      if (form.restarts > 0 && !(await ask({ title, body, confirm: "Save and end them", danger: true }))) return;
      await write(trigger.etag);
    },
    reload: () => {
      if (!theirs) return;
      form.reset(theirs);
      onTrigger(theirs);
      setTheirs(undefined);
    },
    overwrite: () => write(theirs?.etag ?? ""),
  };
}

function Conflict({
  mine,
  theirs,
  busy,
  onClose,
  onReload,
  onOverwrite,
}: {
  mine: readonly string[];
  theirs: readonly string[];
  busy: boolean;
  onClose: () => void;
  onReload: () => void;
  onOverwrite: () => void;
}) {
  const both = mine.filter((path) => theirs.includes(path));
  return (
    <Dialog
      title="Changed meanwhile"
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button danger onClick={onReload}>
            Reload
          </Button>
          <Button primary busy={busy} onClick={onOverwrite}>
            Overwrite
          </Button>
        </>
      }
    >
      <p>
        Somebody saved this trigger after you opened it{theirs.length > 0 && <>: {theirs.map(pathWord).join(", ")}</>}. Nothing of yours was
        saved.
      </p>
      <p>
        Reload loses your changes: {mine.map(pathWord).join(", ")}.{" "}
        {both.length > 0
          ? `Overwrite replaces theirs in ${both.map(pathWord).join(", ")} and keeps the rest.`
          : "Overwrite writes yours beside theirs; nothing of theirs is lost."}
      </p>
    </Dialog>
  );
}
