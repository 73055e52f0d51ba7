import { RepriseError, type Trigger } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { ask } from "../../components/dialog.tsx";
import { reprise } from "../../data/api.ts";
import { plural } from "../../lib/format.ts";
import { changedPaths, toDraft } from "./draft.ts";
import { type DraftState, saveTrigger } from "./use_draft.ts";

/**
 * The trigger that the form began with. It is read again now and then: while something is unsaved, what somebody else
 * changed is not taken over, so that saving finds out.
 */
export function useStored(trigger: Trigger, form: DraftState): Trigger {
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
export function useSaving(trigger: Trigger, form: DraftState, onTrigger: (trigger: Trigger) => void) {
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
