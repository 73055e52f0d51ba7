import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { newId } from "@reprise/client";
import { useRef, useState } from "preact/hooks";
import { setQuery } from "../../app/router.ts";
import { Button } from "../../components/basics.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { fieldError, SelectField } from "../../components/form.tsx";
import { reprise } from "../../data/api.ts";
import { useAction, useQuery } from "../../data/query.ts";
import { plural } from "../../lib/format.ts";
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

/** Replays every delivery that the filters find; how many that are is said before it is done. */
export function BulkReplay({ filter, onClose }: { filter: DeliveryFilter; onClose: () => void }) {
  const [span, setSpan] = useState<SpanName>("24");
  const [mode, setMode] = useState<ModeName>("trigger");
  // One bound for the count and for the act: what arrives in between was not counted, so it is not replayed.
  const [end, setEnd] = useState(Date.now);
  const triggers = useQuery(["triggers"], async (signal) => (await reprise.triggers.listTriggers({ pageSize: 500 }, { signal })).triggers);
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
  const requestId = useRef(newId());
  const replay = useAction(() => reprise.triggers.replayDeliveries({ ...request, requestId: requestId.current }));
  const [done, setDone] = useState<{ matched: number; queued: number }>();
  const change = (act: () => void) => {
    requestId.current = newId();
    setEnd(Date.now());
    act();
  };
  const matched = count.data;
  const onReplay = async () => {
    const answer = await replay.run();
    if (answer) setDone({ matched: answer.matchedCount, queued: answer.queuedCount });
  };
  if (done) {
    return (
      <Dialog title="Replayed" onClose={onClose} end={<Button onClick={onClose}>Close</Button>}>
        <p>
          {plural(done.matched, "delivery", "deliveries")} went through the rules of now; {plural(done.queued, "one was", "were")} queued or
          joined a run that waits. The others were stopped by a rule, or their body is no longer kept.
        </p>
      </Dialog>
    );
  }
  return (
    <Dialog
      title="Replay by filter"
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button primary busy={replay.busy} disabled={!matched || count.loading} onClick={() => void onReplay()}>
            {matched ? `Replay ${plural(matched, "delivery", "deliveries")}` : "Replay"}
          </Button>
        </>
      }
    >
      <p>
        Every delivery that matches goes through the rules of now, oldest first, at most {MOST.toLocaleString("en")}. Words in the search
        field do not count.
      </p>
      {chosen ? (
        <p>
          Filter: <b>{describeFilter(filter)}</b>
        </p>
      ) : (
        <SelectField
          label="Trigger"
          value=""
          options={[{ value: "", label: "Choose one" }, ...(triggers.data ?? []).map(({ slug }) => ({ value: slug, label: slug }))]}
          onChange={(trigger) => change(() => setQuery({ trigger }))}
          help="One trigger at a time, so that nothing runs by surprise."
          error={fieldError(replay.error, "trigger_id")}
        />
      )}
      <SelectField label="Received" value={span} options={SPANS} onChange={(value) => change(() => setSpan(value))} />
      <SelectField label="Conversation" value={mode} options={SESSION_MODES} onChange={(value) => change(() => setMode(value))} />
      <p aria-live="polite">
        {!chosen
          ? "Choose a trigger to see how many match."
          : matched === undefined
            ? count.error
              ? ""
              : "Counting…"
            : matchWords(matched)}
      </p>
      <ErrorNotice error={replay.error ?? count.error} />
    </Dialog>
  );
}

function matchWords(matched: number): string {
  if (matched === 0) return "None matches.";
  const words = `${plural(matched, "delivery matches", "deliveries match")}.`;
  return matched >= MOST ? `${words} There may be more: a call takes the oldest ${MOST.toLocaleString("en")}.` : words;
}
