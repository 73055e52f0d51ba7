import { newId, type Run, RunState } from "@reprise/client";
import { hrefs } from "../../app/routes.ts";
import { Empty, State } from "../../components/basics.tsx";
import { ask } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { type Column, List, RowAction, RowActions } from "../../components/list.tsx";
import { Age, CopyBlock, Cost, clock, Span, When } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction, useQuery } from "../../data/query.ts";
import { formatShare, plural, shortId, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { runEnded, runState } from "../../lib/words.ts";
import { cacheWord, failureOf, startsIn, type Waiting, waitsFor } from "./board.ts";
import type { LastLine } from "./last_line.ts";

const idOf = (run: Run) => run.id;

function Thread({ run }: { run: Run }) {
  return <span class="m">{legible(run.threadKey || run.triggerSlug)}</span>;
}

/** The event's title, or who asked where it has none. */
function titleOf(run: Run): string {
  return legible(run.title || (run.requestedBy?.displayName ? `by ${run.requestedBy.displayName}` : run.triggerSlug));
}

/** Live runs; one that ended stays a moment, with its end. */
export function RunningList({ runs, lines }: { runs: readonly Run[]; lines: ReadonlyMap<string, LastLine> }) {
  const columns: Column<Run>[] = [
    {
      narrow: "first",
      cell: (run) => (
        <State {...runState(run.state)}>
          <Span from={toMs(run.startTime)} to={runEnded(run) ? toMs(run.endTime) : undefined} />
        </State>
      ),
    },
    { label: "thread", narrow: "corner", cell: (run) => <Thread run={run} /> },
    { narrow: "line", cell: titleOf },
    { label: "last line", narrow: "line", cell: (run) => <Line run={run} line={lines.get(run.id)} /> },
    { label: "cost", narrow: "hide", right: true, cell: (run) => <Cost run={run} /> },
    { label: "cache", narrow: "hide", right: true, cell: (run) => <span class="f2">{shareOf(run)}</span> },
    {
      label: "run",
      narrow: "hide",
      right: true,
      cell: (run) => (
        <span class="id" title={run.id}>
          {shortId(run.id)}
        </span>
      ),
    },
  ];
  return (
    <div class="sec">
      <List
        title="Running"
        count={runs.filter((run) => !runEnded(run)).length}
        rows={runs}
        columns={columns}
        template="cols-now-live"
        idOf={idOf}
        hrefOf={(run) => hrefs.run(run.id)}
        empty={<Quiet text="Nothing is running." />}
      />
    </div>
  );
}

function Line({ run, line }: { run: Run; line: LastLine | undefined }) {
  if (run.state === RunState.FAILED) return <span class="f2">{legible(failureOf(run).text)}</span>;
  if (!line) return <span class="f3">{run.attempt > 1 ? `attempt ${run.attempt}` : "starting"}</span>;
  return (
    <span class={line.code ? "m f2" : "f2"}>
      {line.tool && <span class="f3">{legible(line.tool)} </span>}
      {legible(line.text)}
    </span>
  );
}

function shareOf(run: Run): string {
  const word = cacheWord(run);
  return typeof word === "number" ? formatShare(word) : (word ?? "–");
}

/** Threads with work that has not started: what waits, for what, since when. */
export function WaitingList({ waiting, running }: { waiting: readonly Waiting[]; running: readonly Run[] }) {
  const drop = useAction((run: Run) => reprise.runs.cancelRun({ runId: run.id, reason: "dropped while it waited" }));
  const live = new Set(running.filter((run) => !runEnded(run)).map((run) => run.sessionId));
  const onDrop = async ({ head }: Waiting) => {
    const events = plural(Math.max(1, head.deliveryCount), "event");
    const yes = await ask({
      title: "Drop what waits?",
      body: `The run of ${legible(head.threadKey || head.triggerSlug)} is cancelled before it starts; its ${events} will not be answered. The conversation stays.`,
      confirm: "Drop",
      danger: true,
    });
    if (yes) await drop.run(head);
  };
  const columns: Column<Waiting>[] = [
    {
      narrow: "first",
      cell: ({ head }) => (
        <State {...runState(head.state)}>
          {isHeld(head) ? <Age ms={toMs(head.createTime)} /> : <Span from={toMs(head.startTime)} to={toMs(head.endTime)} />}
        </State>
      ),
    },
    { label: "thread", narrow: "corner", cell: ({ head }) => <Thread run={head} /> },
    { narrow: "line", cell: ({ head }) => titleOf(head) },
    { label: "waits for", narrow: "line", cell: (one) => <span class="f2">{legible(waitsFor(one, live))}</span> },
    {
      label: "starts in",
      narrow: "hide",
      right: true,
      cell: ({ head }) => <span class="f2">{isHeld(head) ? (startsIn(head, clock.value) ?? "–") : "–"}</span>,
    },
    {
      narrow: "line",
      cell: (one) => <RowActions>{isHeld(one.head) && <RowAction label="Drop" onClick={() => void onDrop(one)} />}</RowActions>,
    },
  ];
  return (
    <div class="sec">
      <List
        title="Waiting"
        count={waiting.length}
        rows={waiting}
        columns={columns}
        template="cols-now-two"
        idOf={(one) => one.key}
        hrefOf={(one) => hrefs.run(one.head.id)}
        empty={<Quiet text="Nothing waits." />}
      />
      <ErrorNotice error={drop.error} />
    </div>
  );
}

function isHeld(run: Run): boolean {
  return run.state === RunState.QUEUED || run.state === RunState.WAITING;
}

/** The failures of the last day, each with its reason and a retry. */
export function FailedList({ runs }: { runs: readonly Run[] }) {
  const retry = useAction((run: Run) => reprise.runs.retryRun({ runId: run.id, requestId: newId() }));
  const columns: Column<Run>[] = [
    {
      narrow: "first",
      cell: (run) => (
        <State {...runState(run.state)}>
          <When ms={toMs(run.endTime)} />
        </State>
      ),
    },
    { label: "thread", narrow: "corner", cell: (run) => <Thread run={run} /> },
    { narrow: "line", cell: titleOf },
    { label: "reason", narrow: "line", cell: (run) => <Reason run={run} /> },
    { label: "cost", narrow: "hide", right: true, cell: (run) => <Cost run={run} /> },
    {
      narrow: "line",
      cell: (run) => (
        <RowActions>
          <RowAction label="Retry" onClick={() => void retry.run(run)} />
        </RowActions>
      ),
    },
  ];
  return (
    <div class="sec">
      <List
        title="Failed"
        count={runs.length < 20 ? runs.length : `${runs.length}, the newest`}
        rows={runs}
        columns={columns}
        template="cols-now-two"
        idOf={idOf}
        hrefOf={(run) => hrefs.run(run.id)}
        empty={<Quiet text="Nothing failed in the last 24 hours." />}
      />
      <ErrorNotice error={retry.error} />
      {runs.length >= 20 && (
        <p class="more">
          <a class="f2" href="/runs?state=failed">
            All failed runs
          </a>
        </p>
      )}
    </div>
  );
}

function Reason({ run }: { run: Run }) {
  const { word, text } = failureOf(run);
  return (
    <span class="f2" title={run.failure?.remedy || undefined}>
      <span class="m">{word}</span> {legible(text)}
    </span>
  );
}

/** A list with nothing in it says so in one line as high as a row, so that the next row moves nothing. */
function Quiet({ text }: { text: string }) {
  return <p class="quiet f3">{text}</p>;
}

/** A server on which nothing has happened yet says how something does. */
export function FirstSteps() {
  const { data } = useQuery(
    ["first-trigger"],
    async (signal) => (await reprise.triggers.listTriggers({ pageSize: 1 }, { signal })).triggers,
  );
  const first = data?.[0];
  if (!data) return null;
  return (
    <div class="sec">
      {first ? (
        <Empty
          text={`Nothing ran in the last 24 hours. Fire ${first.slug} by hand, and its run appears below:`}
          command={<CopyBlock text={`reprise trigger fire ${first.slug} --watch`} />}
          link={{ href: hrefs.trigger(first.slug), label: `Set up the sender of ${first.slug}` }}
        />
      ) : (
        <Empty
          text="Runs begin with a trigger: it says which webhooks count, and what Claude is asked. There is none yet; this makes one and fires it:"
          command={
            <CopyBlock text={'reprise trigger create hello --source manual --prompt "Say hello"\nreprise trigger fire hello --watch'} />
          }
          link={{ href: "/triggers", label: "Make a trigger here" }}
        />
      )}
    </div>
  );
}
