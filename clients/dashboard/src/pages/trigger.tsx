import { Source, type Trigger } from "@reprise/client";
import { Page, type PageProps } from "../app/page.tsx";
import { Empty, Loading } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { CopyBlock } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useQuery } from "../data/query.ts";
import { durationMs } from "../lib/format.ts";
import { NEW } from "./trigger/address.ts";
import { Editor } from "./trigger/editor.tsx";
import { NewTrigger } from "./trigger/new.tsx";
import type { Defaults } from "./trigger/section.tsx";
import "../style/trigger.css";

const TRAIL = [{ href: "/triggers", label: "Triggers" }];

/** One trigger: its form, how its sender is set up, a test fire, a dry run. */
export default function TriggerPage({ params }: PageProps) {
  const name = params["trigger"] ?? "";
  const about = useAbout();
  if (!about.data) {
    return (
      <Page title={name === NEW ? "New trigger" : name} trail={TRAIL} tab="Trigger">
        {about.error ? <Problem error={about.error} onRetry={about.reload} /> : <Loading />}
      </Page>
    );
  }
  if (name === NEW) return <NewTrigger about={about.data} trail={TRAIL} />;
  return <Stored key={name} name={name} about={about.data} />;
}

function Stored({ name, about }: { name: string; about: About }) {
  const { data, error, reload, put } = useQuery(["trigger", name], async (signal) => {
    const answer = await reprise.triggers.getTrigger({ triggerId: name }, { signal });
    return answer.trigger;
  });
  if (data) return <Editor trigger={data} about={about} trail={TRAIL} onTrigger={(trigger: Trigger) => put(trigger)} />;
  const gone = error?.reason === "RESOURCE_NOT_FOUND" || error?.reason === "FIELD_INVALID";
  return (
    <Page title={name} trail={TRAIL} tab={name}>
      {gone && (
        <Empty
          text={`There is no trigger "${name}". It may have been deleted; its deliveries and runs are listed until their retention ends.`}
          command={<CopyBlock text="reprise trigger list" />}
          link={{ href: "/triggers", label: "All triggers" }}
        />
      )}
      {error && !gone && <Problem error={error} onRetry={reload} />}
      {!error && <Loading />}
    </Page>
  );
}

function Problem({ error, onRetry }: { error: Parameters<typeof ErrorNotice>[0]["error"]; onRetry: () => void }) {
  return (
    <div class="sec">
      <ErrorNotice error={error} onRetry={onRetry} />
    </div>
  );
}

/** What the form needs besides the trigger. */
export interface About {
  sources: Awaited<ReturnType<typeof reprise.triggers.listSources>>["sources"];
  defaults: Defaults;
}

function useAbout() {
  return useQuery<About>(["about"], async (signal) => {
    const [sources, { settings }] = await Promise.all([
      reprise.triggers.listSources({}, { signal }),
      reprise.settings.getSettings({}, { signal }),
    ]);
    const seconds = (ms: number | undefined) => (ms === undefined ? undefined : ms / 1000);
    return {
      sources: sources.sources.filter((one) => one.source !== Source.UNSPECIFIED),
      defaults: {
        resume: settings?.sessions?.defaultResumeForNewTriggers ?? false,
        model: settings?.agent?.defaultModel || "the server's",
        profile: settings?.agent?.defaultProfile ?? "",
        maxCostUsd: settings?.agent?.maxCostUsd,
        timeoutSeconds: seconds(durationMs(settings?.agent?.timeout)),
        silenceSeconds: seconds(durationMs(settings?.agent?.silenceTimeout)),
      },
    };
  });
}
