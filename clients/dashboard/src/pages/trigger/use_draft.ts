import { type CreateTriggerResponse, newId, RepriseError, type Trigger } from "@reprise/client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { reprise } from "../../data/api.ts";
import { epoch } from "../../data/connection.ts";
import { changedPaths, type Draft, isAbout, newDraft, toDraft, toTrigger } from "./draft.ts";

const QUIET_MS = 350;

/** A form of a trigger, checked by the server while it is typed. */
export interface DraftState {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
  /** Paths that differ from what is stored; all of a new trigger's count as one. */
  changed: readonly string[];
  dirty: boolean;
  /** What the server says about the form as it is; undefined while it is right or was not asked yet. */
  problem: RepriseError | undefined;
  /** Conversations that saving would end. */
  restarts: number;
  checking: boolean;
  /** Forgets the changes; with a trigger, takes it as what is stored. */
  reset: (to?: Trigger) => void;
  /** Shows what is missing in fields that were not touched, too. */
  showAll: () => void;
}

/** The form of a stored trigger, or of a new one. */
export function useDraft(stored: Trigger | undefined, secret: string): DraftState {
  const [base, setBase] = useState(() => (stored ? toDraft(stored) : newDraft()));
  const [draft, setDraft] = useState(base);
  const [all, setAll] = useState(false);
  const [check, setCheck] = useState<{ of: Draft; error?: RepriseError; restarts: number }>();
  const changed = useMemo(() => changedPaths(base, draft), [base, draft]);
  const dirty = stored ? changed.length > 0 : JSON.stringify(base) !== JSON.stringify(draft) || secret !== "";
  const standIn = useRef(`x${newId().replaceAll("-", "").slice(0, 20)}`);
  const era = epoch.value;

  useEffect(() => {
    if (!dirty) {
      setCheck(undefined);
      return;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      const call = stored ? checkUpdate(stored, draft, changed, stop.signal) : checkCreate(draft, secret, standIn.current, stop.signal);
      call.then(
        (restarts) => !stop.signal.aborted && setCheck({ of: draft, restarts }),
        (thrown: unknown) => {
          if (stop.signal.aborted) return;
          const error = RepriseError.from(thrown);
          // A server that cannot be reached says nothing about the form; the banner says it.
          if (!error.transient) setCheck({ of: draft, error, restarts: 0 });
        },
      );
    }, QUIET_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [draft, secret, dirty, stored, era]);

  return {
    draft,
    set: (change) => setDraft((was) => ({ ...was, ...change })),
    changed,
    dirty,
    problem: check?.error && relevant(check.error, stored ? changed : undefined, all, base, draft),
    restarts: check?.restarts ?? 0,
    checking: dirty && check?.of !== draft,
    reset: (to) => {
      const next = to ? toDraft(to) : base;
      setBase(next);
      setDraft(next);
      setCheck(undefined);
      setAll(false);
    },
    showAll: () => setAll(true),
  };
}

/** Leaves out violations of fields that nobody touched yet: an empty form is not a wrong one. */
function relevant(error: RepriseError, changed: readonly string[] | undefined, all: boolean, base: Draft, draft: Draft) {
  if (all || error.fields.length === 0) return error;
  const touched = changed ?? [...changedPaths(base, draft), ...(draft.slug === base.slug ? [] : ["slug"])];
  return error.fields.some(({ field }) => isAbout(field, touched) || field === "secret") ? error : undefined;
}

async function checkUpdate(stored: Trigger, draft: Draft, changed: readonly string[], signal: AbortSignal): Promise<number> {
  const answer = await reprise.triggers.updateTrigger(
    { trigger: { ...toTrigger(draft), id: stored.id }, updateMask: { paths: [...changed] }, validateOnly: true },
    { signal },
  );
  return answer.restartedSessionCount;
}

/** A form without a name or a prompt is asked about with stand-ins, so that its expressions are looked at already. */
async function checkCreate(draft: Draft, secret: string, standIn: string, signal: AbortSignal): Promise<number> {
  const filled: Draft = { ...draft, slug: draft.slug.trim() || standIn, template: draft.template.trim() ? draft.template : "-" };
  const trigger = toTrigger(filled);
  await reprise.triggers.createTrigger({ trigger, validateOnly: true, ...(secret ? { secret } : {}) }, { signal });
  return 0;
}

/** Makes the trigger that the form says. */
export function createTrigger(draft: Draft, secret: string, requestId: string): Promise<CreateTriggerResponse> {
  return reprise.triggers.createTrigger({ trigger: toTrigger(draft), requestId, ...(secret ? { secret } : {}) });
}

/** Writes what was changed, and nothing else. Without an etag the last write wins. */
export async function saveTrigger(id: string, etag: string, draft: Draft, changed: readonly string[]): Promise<Trigger> {
  const answer = await reprise.triggers.updateTrigger({
    trigger: { ...toTrigger(draft), id, etag },
    updateMask: { paths: [...changed] },
  });
  return answer.trigger as Trigger;
}
