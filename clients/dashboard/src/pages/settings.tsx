import type { GetSettingsResponse } from "@reprise/client";
import { useUnsaved } from "../app/guard.ts";
import { Page } from "../app/page.tsx";
import { query, setQuery } from "../app/router.ts";
import { Button, Loading, Segments } from "../components/basics.tsx";
import { Dialog } from "../components/dialog.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { SaveBar } from "../components/save_bar.tsx";
import { Age } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useQuery } from "../data/query.ts";
import { toMs } from "../lib/format.ts";
import { GroupFields } from "./settings/fields.tsx";
import { changedSettings, labelOf, valuesOf } from "./settings/form.ts";
import { Server } from "./settings/server.tsx";
import { LiveSessions, Storage } from "./settings/storage.tsx";
import { type SettingsForm, useSettingsForm } from "./settings/use_settings.ts";
import "../style/settings.css";

const TABS = [
  { value: "sessions", label: "Sessions" },
  { value: "runs", label: "Runs" },
  { value: "history", label: "History" },
  { value: "server", label: "Server" },
] as const;
type Tab = (typeof TABS)[number]["value"];

/** The groups of settings that each tab shows; what the server adds stands with the runs. */
const GROUPS: Record<Tab, readonly string[]> = { sessions: ["sessions"], runs: ["limits", "agent"], history: ["retention"], server: [] };
const TITLES: Record<string, string> = { limits: "How much runs at a time", agent: "Defaults of triggers that do not say" };

/** The settings of the server: one form in parts, saved at once. */
export default function SettingsPage() {
  const read = useQuery(["settings"], (signal) => reprise.settings.getSettings({}, { signal }));
  if (read.data?.settings) return <Form read={read.data} />;
  return (
    <Page title="Settings">
      {read.error ? (
        <div class="sec">
          <ErrorNotice error={read.error} onRetry={read.reload} />
        </div>
      ) : (
        <Loading />
      )}
    </Page>
  );
}

function Form({ read }: { read: GetSettingsResponse }) {
  const form = useSettingsForm(read);
  const tab: Tab = TABS.find((one) => one.value === query("tab"))?.value ?? "sessions";
  useUnsaved(form.changed.length > 0, `your changes to the settings: ${form.changed.map(labelOf).join(", ")}`);
  const known = Object.values(GROUPS).flat();
  const others = [...new Set(form.fields.map(({ rule }) => rule.path.split(".")[0] ?? ""))].filter((group) => !known.includes(group));
  const groups = tab === "runs" ? [...GROUPS.runs, ...others] : GROUPS[tab];
  return (
    <Page
      title="Settings"
      tab="Settings"
      aside={
        form.changed.length > 0 ? (
          "not saved"
        ) : form.stored.updatedBy ? (
          <>
            changed by {form.stored.updatedBy} <Age ms={toMs(form.stored.updateTime)} /> ago
          </>
        ) : undefined
      }
    >
      <div class="bar">
        <Segments
          label="Parts of the settings"
          options={TABS.map((one) => ({ ...one, ...marked(form, GROUPS[one.value]) }))}
          value={tab}
          onChange={(value) => setQuery({ tab: value === "sessions" ? undefined : value })}
        />
      </div>
      {groups.length > 0 && (
        <form
          class="form settings"
          aria-label={`Settings: ${TABS.find((one) => one.value === tab)?.label}`}
          onSubmit={(event) => {
            event.preventDefault();
            if (form.changed.length > 0 && !form.wrong) void form.save();
          }}
        >
          {tab === "history" && (
            <p class="help">
              How long history is kept. What is older goes with the daily clean-up, at the hour that stands under Sessions.
            </p>
          )}
          {groups.map((group) => (
            <section key={group} aria-label={TITLES[group] ?? group}>
              {groups.length > 1 && <h2>{TITLES[group] ?? labelOf(group)}</h2>}
              <GroupFields form={form} group={group} more={MORE} />
            </section>
          ))}
        </form>
      )}
      {tab === "sessions" && (
        <>
          <Storage />
          <LiveSessions />
        </>
      )}
      {tab === "server" && <Server />}
      {form.error && (
        <div class="problems">
          <ErrorNotice error={form.error} />
        </div>
      )}
      <SaveBar
        dirty={form.changed.length > 0}
        busy={form.busy}
        problem={form.wrong ? "Cannot be saved yet: see the marked fields." : undefined}
        blocked={form.wrong}
        onSave={() => void form.save()}
        onDiscard={form.discard}
      >
        Changed: {form.changed.map((path) => labelOf(path).toLowerCase()).join(", ")}
      </SaveBar>
      {form.theirs && <Conflict form={form} />}
    </Page>
  );
}

/** How many settings of a tab are changed and not saved. */
function marked(form: SettingsForm, groups: readonly string[]): { count?: string } {
  const count = form.changed.filter((path) => groups.includes(path.split(".")[0] ?? "")).length;
  return count > 0 ? { count: `${count} changed` } : {};
}

function Conflict({ form }: { form: SettingsForm }) {
  const theirs = form.theirs ? changedSettings(valuesOf(form.stored, form.fields), valuesOf(form.theirs, form.fields)) : [];
  const both = form.changed.filter((path) => theirs.includes(path));
  const words = (paths: readonly string[]) => paths.map((path) => labelOf(path).toLowerCase()).join(", ");
  return (
    <Dialog
      title="Changed meanwhile"
      onClose={form.close}
      end={
        <>
          <Button onClick={form.close}>Cancel</Button>
          <Button danger onClick={form.reload}>
            Reload
          </Button>
          <Button primary busy={form.busy} onClick={() => void form.overwrite()}>
            Overwrite
          </Button>
        </>
      }
    >
      <p>
        {form.theirs?.updatedBy || "Somebody"} saved the settings after you opened them{theirs.length > 0 && `: ${words(theirs)}`}. Nothing
        of yours was saved.
      </p>
      <p>
        Reload loses your changes: {words(form.changed)}.{" "}
        {both.length > 0
          ? `Overwrite replaces theirs in ${words(both)} and keeps the rest.`
          : "Overwrite writes yours beside theirs; nothing of theirs is lost."}
      </p>
    </Dialog>
  );
}

/** What the server's one sentence cannot say. */
const MORE: Record<string, string> = {
  "sessions.default_resume_for_new_triggers": "A trigger that says so itself is not touched, nor is one that exists already.",
  "sessions.cleanup_hour_local": "0 is midnight. If the server was off at that hour, it cleans up when it starts.",
  "sessions.force_compaction_turns":
    "Every turn sends the whole conversation again, so a long one costs more each time and crowds the context window. Compacting puts a summary in its place: a turn of its own that is shown as such. The agent keeps the thread and forgets details.",
};
