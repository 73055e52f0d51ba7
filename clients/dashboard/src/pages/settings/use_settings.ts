import { type GetSettingsResponse, RepriseError, type Settings } from "@reprise/client";
import { useEffect, useMemo, useState } from "preact/hooks";
import { reprise } from "../../data/api.ts";
import { epoch } from "../../data/connection.ts";
import { changedSettings, fieldsOf, problemOf, type SettingField, toSettings, type Value, type Values, valuesOf } from "./form.ts";

const QUIET_MS = 350;

/** The form of the settings: one for all its parts, saved at once. */
export interface SettingsForm {
  stored: Settings;
  fields: readonly SettingField[];
  values: Values;
  set: (path: string, value: Value) => void;
  changed: readonly string[];
  /** What is wrong with a field, in words. */
  problem: (field: SettingField) => string | undefined;
  /** Whether any field is wrong. */
  wrong: boolean;
  busy: boolean;
  error: RepriseError | undefined;
  /** The settings that somebody else saved meanwhile. */
  theirs: Settings | undefined;
  save: () => Promise<void>;
  overwrite: () => Promise<void>;
  discard: () => void;
  reload: () => void;
  close: () => void;
}

/** Reads nothing by itself: takes what GetSettings said, checks while typing, writes when asked. */
export function useSettingsForm(read: GetSettingsResponse & { settings?: Settings }): SettingsForm {
  const [stored, setStored] = useState(read.settings as Settings);
  const fields = useMemo(() => fieldsOf(read.settings as Settings, read.rules), [read]);
  const before = useMemo(() => valuesOf(stored, fields), [stored, fields]);
  const [values, setValues] = useState(before);
  const [check, setCheck] = useState<{ of: Values; error: RepriseError | undefined }>();
  const [error, setError] = useState<RepriseError>();
  const [theirs, setTheirs] = useState<Settings>();
  const [busy, setBusy] = useState(false);
  const changed = useMemo(() => changedSettings(before, values), [before, values]);
  const said = error ?? check?.error;
  const problem = (field: SettingField) => problemOf(field, values[field.rule.path], said);
  const outOfRange = fields.some((field) => problemOf(field, values[field.rule.path], undefined) !== undefined);
  const era = epoch.value;

  // Read again after an outage: taken over unless something is unsaved; then saving finds out.
  useEffect(() => {
    if (read.settings && read.settings.etag !== stored.etag && changed.length === 0) take(read.settings);
  }, [read]);

  const request = (validateOnly: boolean, etag: string) => ({
    settings: { ...toSettings(values, fields, changed), etag },
    updateMask: { paths: [...changed] },
    validateOnly,
  });

  // Ranges are checked here by the server's rules; names and zones only the server knows.
  useEffect(() => {
    setError(undefined);
    if (changed.length === 0 || outOfRange) {
      setCheck(undefined);
      return;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      reprise.settings.updateSettings(request(true, ""), { signal: stop.signal }).then(
        () => !stop.signal.aborted && setCheck({ of: values, error: undefined }),
        (thrown: unknown) => {
          const failure = RepriseError.from(thrown);
          if (!stop.signal.aborted && !failure.transient) setCheck({ of: values, error: failure });
        },
      );
    }, QUIET_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [values, before, outOfRange, era]);

  const take = (settings: Settings) => {
    setStored(settings);
    setValues(valuesOf(settings, fields));
    setTheirs(undefined);
    setError(undefined);
  };
  const write = async (etag: string) => {
    setBusy(true);
    setError(undefined);
    try {
      const { settings } = await reprise.settings.updateSettings(request(false, etag));
      if (settings) take(settings);
    } catch (thrown) {
      const failure = RepriseError.from(thrown);
      if (failure.reason !== "ETAG_MISMATCH") setError(failure);
      else setTheirs((await reprise.settings.getSettings({})).settings);
    } finally {
      setBusy(false);
    }
  };
  return {
    stored,
    fields,
    values,
    set: (path, value) => setValues((was) => ({ ...was, [path]: value })),
    changed,
    problem,
    wrong: outOfRange || (check?.of === values && check.error !== undefined),
    busy,
    error,
    theirs,
    save: () => write(stored.etag),
    overwrite: () => write(theirs?.etag ?? ""),
    discard: () => setValues(before),
    reload: () => theirs && take(theirs),
    close: () => setTheirs(undefined),
  };
}
