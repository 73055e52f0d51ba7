import { Code } from "@connectrpc/connect";
import { Page, type PageProps } from "../app/page.tsx";
import { place, query } from "../app/router.ts";
import { hrefs } from "../app/routes.ts";
import { Empty, Loading } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { useNeighbours } from "../components/list.tsx";
import { Id } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useQuery } from "../data/query.ts";
import { type RunLog, useRunLog } from "../data/run_log.ts";
import { neighbours } from "../data/trail.ts";
import { formatSpan, toMs } from "../lib/format.ts";
import { runEnded, runState } from "../lib/words.ts";
import { RunHead } from "./run/head.tsx";
import { withLiveUsage } from "./run/live_usage.ts";
import { Log } from "./run/log.tsx";
import { hiddenGroups, kindsLeft, sequenceInHash } from "./run/use_log.ts";
import "../style/run.css";

const TRAIL = [{ href: "/runs", label: "Runs" }];

/** A run: what it is and costs, and its log, live. */
export default function RunPage({ params }: PageProps) {
  const id = params["run"] ?? "";
  const raw = query("view") === "raw";
  // Another run is another page: nothing of the one before is kept.
  return <OneRun key={`${id} ${raw}`} id={id} raw={raw} />;
}

function OneRun({ id, raw }: { id: string; raw: boolean }) {
  const at = sequenceInHash(place.peek().hash);
  const log = useRunLog(id, at, raw, kindsLeft(hiddenGroups()));
  if (at !== undefined && !log.run.peek()) log.following = false;
  const run = log.run.value;
  const sessionId = run?.sessionId ?? "";
  const { data: thread = [] } = useQuery([sessionId, run ? runEnded(run) : false], async (signal) =>
    sessionId === "" ? [] : (await reprise.runs.listRuns({ sessionId, pageSize: 100 }, { signal })).runs,
  );
  const { older, newer } = neighbours(
    id,
    thread.map((one) => one.id),
  );
  useNeighbours("Run", older && hrefs.run(older), newer && hrefs.run(newer));
  return (
    <Page
      title={<Id id={id} />}
      trail={TRAIL}
      tab={tabTitle(log)}
      {...(run ? { mark: runState(run.state).mark } : {})}
      aside={
        <span class="wide">
          {older && (
            <a href={hrefs.run(older)}>
              older <kbd>j</kbd>
            </a>
          )}
          {older && newer && <>&ensp;</>}
          {newer && (
            <a href={hrefs.run(newer)}>
              newer <kbd>k</kbd>
            </a>
          )}
        </span>
      }
    >
      {run ? <RunHead run={withLiveUsage(run, log.entries.value) ?? run} thread={thread} /> : <Opening log={log} />}
      {run && <Log log={log} runId={id} raw={raw} />}
    </Page>
  );
}

function Opening({ log }: { log: RunLog }) {
  const error = log.error.value;
  if (log.state.value === "failed" && error?.code === Code.NotFound) {
    return (
      <Empty
        text="There is no such run. Runs are kept as long as the settings say; the address may also be that of another server."
        link={{ href: "/runs", label: "All runs" }}
      />
    );
  }
  if (error) return <ErrorNotice error={error} />;
  return <Loading />;
}

/** `running · acme/shop#412`, and how long it took when it is over. */
function tabTitle(log: RunLog): string {
  const run = log.run.value;
  if (!run) return "Run";
  const [start, end] = [toMs(run.startTime), toMs(run.endTime)];
  const span = start !== undefined && end !== undefined ? ` ${formatSpan(end - start)}` : "";
  return `${runState(run.state).word}${span} · ${run.threadKey || run.title || run.triggerSlug}`;
}
