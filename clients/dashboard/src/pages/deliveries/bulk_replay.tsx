import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { newId, type ReplayDeliveriesResponse } from "@reprise/client";
import { useRef, useState } from "preact/hooks";
import { setQuery } from "../../app/router.ts";
import { Button } from "../../components/basics.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { fieldError, SelectField } from "../../components/form.tsx";
import { reprise } from "../../data/api.ts";
import { useAction, useQuery } from "../../data/query.ts";
import { formatCount, plural } from "../../lib/format.ts";
import { type DeliveryFilter, describeFilter } from "./filters.ts";
import { type ModeName, modeOf, SESSION_MODES } from "./replay.tsx";

const HOUR = 3_600_000;
const SPANS = [
  { value: "1", label: "the last hour" },
  { value: "24", label: "the last 24 hours" },
  { value: "168", label: "the last 7 days" },
  { value: "720", label: "the last 30 days" },
] as const;
type SpanName = (typeof SPANS)[number]["value"];

/** The most that one call replays. */
const MOST = 1000;

/** What is replayed, how many that are, and the act. */
function useBulkReplay(filter: DeliveryFilter) {
  const [span, setSpan] = useState<SpanName>("24");
  const [mode, setMode] = useState<ModeName>("trigger");
  // One bound for the count and for the act: what arrives in between was not counted, so it is not replayed.
  const [end, setEnd] = useState(Date.now);
  const request = {
    ...filter,
    startTime: timestampFromMs(end - Number(span) * HOUR),
    endTime: timestampFromMs(end),
    sessionMode: modeOf(mode),
  };
  const chosen = filter.triggerId !== "";
  const count = useQuery([span, mode, end, filter], async (signal) => {
    if (!chosen) return undefined;
    return (await reprise.triggers.replayDeliveries({ ...request, validateOnly: true }, { signal })).matchedCount;
  });
  // The same press twice is one replay; another choice is another one.
  const requestId = useRef(newId());
  const replay = useAction(() => reprise.triggers.replayDeliveries({ ...request, requestId: requestId.current }));
  const change = (act: () => void) => {
    requestId.current = newId();
    setEnd(Date.now());
    act();
  };
  return { span, setSpan, mode, setMode, chosen, count, replay, change };
}

/** Replays every delivery that the filters find; how many that are is said before it is done. */
export function BulkReplay({ filter, onClose }: { filter: DeliveryFilter; onClose: () => void }) {
  const { span, setSpan, mode, setMode, chosen, count, replay, change } = useBulkReplay(filter);
  const [done, setDone] = useState<ReplayDeliveriesResponse>();
  const matched = count.data;
  if (done) return <Done answer={done} onClose={onClose} />;
  return (
    <Dialog
      title="Replay by filter"
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button primary busy={replay.busy} disabled={!matched || count.loading} onClick={() => void replay.run().then(setDone)}>
            {matched ? `Replay ${plural(matched, "delivery", "deliveries")}` : "Replay"}
          </Button>
        </>
      }
    >
      <p>
        Every delivery that matches goes through the rules of now, oldest first, at most {formatCount(MOST)}. Words in the search field do
        not count.
      </p>
      {chosen ? (
        <p>
          Filter: <b>{describeFilter(filter)}</b>
        </p>
      ) : (
        <TriggerField error={fieldError(replay.error, "trigger_id")} onChoose={(trigger) => change(() => setQuery({ trigger }))} />
      )}
      <SelectField label="Received" value={span} options={SPANS} onChange={(value) => change(() => setSpan(value))} />
      <SelectField label="Conversation" value={mode} options={SESSION_MODES} onChange={(value) => change(() => setMode(value))} />
      <p aria-live="polite">{chosen ? matchWords(matched, count.error !== undefined) : "Choose a trigger to see how many match."}</p>
      <ErrorNotice error={replay.error ?? count.error} />
    </Dialog>
  );
}

function TriggerField({ error, onChoose }: { error: string | undefined; onChoose: (slug: string) => void }) {
  const { data } = useQuery(["triggers"], async (signal) => (await reprise.triggers.listTriggers({ pageSize: 500 }, { signal })).triggers);
  return (
    <SelectField
      label="Trigger"
      value=""
      options={[{ value: "", label: "Choose one" }, ...(data ?? []).map(({ slug }) => ({ value: slug, label: slug }))]}
      onChange={onChoose}
      help="One trigger at a time, so that nothing runs by surprise."
      error={error}
    />
  );
}

function Done({ answer, onClose }: { answer: ReplayDeliveriesResponse; onClose: () => void }) {
  return (
    <Dialog title="Replayed" onClose={onClose} end={<Button onClick={onClose}>Close</Button>}>
      <p>
        {plural(answer.matchedCount, "delivery", "deliveries")} went through the rules of now; {formatCount(answer.queuedCount)} made a run
        or joined one that waits. The others were stopped by a rule, or their body is no longer kept.
      </p>
    </Dialog>
  );
}

function matchWords(matched: number | undefined, failed: boolean): string {
  if (matched === undefined) return failed ? "" : "Counting…";
  if (matched === 0) return "None matches.";
  const words = `${plural(matched, "delivery matches", "deliveries match")}.`;
  return matched >= MOST ? `${words} There may be more: a call takes the oldest ${formatCount(MOST)}.` : words;
}
