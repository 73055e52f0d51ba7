import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { useComputed } from "@preact/signals";
import { type QueryUsageResponse, type Run, RunState, UsageBucket } from "@reprise/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { Page } from "../app/page.tsx";
import { Facts, Loading, Sparkline } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { clock } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useQuery } from "../data/query.ts";
import { durationMs, formatCount, formatMoney, formatShare, formatSpan, plural } from "../lib/format.ts";
import "../style/now.css";
import { intoBuckets, lastHours, ownZone } from "./costs/buckets.ts";
import { type Board, boardOf, heldBoard } from "./now/board.ts";
import { useLastLines } from "./now/last_line.ts";
import { FailedList, FirstSteps, RunningList, WaitingList } from "./now/lists.tsx";
import { useActiveRuns } from "./now/live.ts";

const DAY = 86_400_000;
/** How long a run that ended stays where it ran. */
const LINGERS_MS = 5000;
const LINE_STATES = new Set([RunState.RUNNING, RunState.CANCELLING]);

/** What is running now, what waits, what failed, and the figures of the last day. */
export default function NowPage() {
  const { active, error } = useActiveRuns();
  const usage = useQuery(["now"], (signal) => hourly(signal), 30_000);
  const failures = useFailures([...active.runs.value.values()].filter((run) => run.state === RunState.FAILED).length);
  const body = useRef<HTMLDivElement>(null);
  const pointed = usePointed(body);
  const lingers = (run: Run) => {
    const ended = active.endedAt(run.id);
    return ended !== undefined && clock.value - ended < LINGERS_MS;
  };
  const { board, shown, come, release } = useBoard(mergeRuns(active.runs.value, failures.data ?? []), lingers, pointed);
  const lines = useLastLines(shown.running.filter((run) => LINE_STATES.has(run.state)).map((run) => run.id));
  const live = board.running.filter((run) => LINE_STATES.has(run.state)).length;
  const ready = active.ready.value;
  const nothing = ready && shown.running.length + shown.waiting.length + shown.failed.length === 0;
  return (
    <Page
      title="Now"
      tab={live > 0 ? `Now · ${live} running` : "Now"}
      {...(live > 0 ? { mark: "live" as const } : {})}
      aside={come > 0 ? <Come count={come} onShow={release} /> : "last 24 hours, local time"}
    >
      <Figures answer={usage.data} />
      <ErrorNotice error={error.value ?? usage.error ?? failures.error} onRetry={usage.reload} />
      <div ref={body} class="now">
        {!ready && !error.value && (
          <div class="sec">
            <Loading />
          </div>
        )}
        {nothing && usage.data?.total?.runCount === 0 && usage.data.total.notStartedCount === 0 && <FirstSteps />}
        {ready && (
          <>
            <RunningList runs={shown.running} lines={lines.value} />
            <WaitingList waiting={shown.waiting} running={shown.running} />
            <FailedList runs={shown.failed} />
          </>
        )}
      </div>
    </Page>
  );
}

/** Rows that would move what somebody points at wait here. */
function Come({ count, onShow }: { count: number; onShow: () => void }) {
  return (
    <button type="button" class="chip new" onClick={onShow}>
      {plural(count, "new row")}
    </button>
  );
}

/** Rows of the stream win over those that were read before. */
function mergeRuns(live: ReadonlyMap<string, Run>, read: readonly Run[]): ReadonlyMap<string, Run> {
  return new Map([...read.map((run) => [run.id, run] as const), ...live]);
}

/** The failures of the last day; read again when one more is seen. */
function useFailures(seen: number) {
  const failures = useQuery(
    ["failures"],
    async (signal) => {
      const startTime = timestampFromMs(Date.now() - DAY);
      return (await reprise.runs.listRuns({ states: [RunState.FAILED], startTime, pageSize: 20 }, { signal })).runs;
    },
    120_000,
  );
  const before = useRef(seen);
  useEffect(() => {
    if (seen > before.current) failures.reload();
    before.current = seen;
  }, [seen]);
  return failures;
}

/** The board as it is shown: while it is pointed at, rows change but none comes, goes or moves. */
function useBoard(byId: ReadonlyMap<string, Run>, lingers: (run: Run) => boolean, pointed: boolean) {
  const kept = useRef<Board | undefined>(undefined);
  const [, again] = useState(0);
  const board = boardOf([...byId.values()], lingers);
  const held = pointed && kept.current ? heldBoard(kept.current, board, byId) : { board, come: 0 };
  kept.current = held.board;
  const release = () => {
    kept.current = undefined;
    again((was) => was + 1);
  };
  return { board, shown: held.board, come: held.come, release };
}

/** Whether the reader is in the lists: the pointer over a row, the keyboard in one, or the page scrolled. */
function usePointed(body: { current: HTMLDivElement | null }): boolean {
  const [pointed, setPointed] = useState(false);
  useEffect(() => {
    const element = body.current;
    const scroller = element?.closest(".main");
    if (!element || !scroller) return;
    let [over, scrolled, within] = [false, false, false];
    const say = () => setPointed(over || scrolled || within);
    const listen = new AbortController();
    const on = (target: Element, name: string, act: (event: Event) => void) => {
      const heard = (event: Event) => {
        act(event);
        say();
      };
      target.addEventListener(name, heard, { signal: listen.signal, passive: true });
    };
    on(element, "pointerover", (event) => {
      over = (event as PointerEvent).pointerType === "mouse" && (event.target as Element).closest(".row:not(.th)") !== null;
    });
    on(element, "pointerleave", () => {
      over = false;
    });
    on(element, "focusin", () => {
      within = true;
    });
    on(element, "focusout", () => {
      within = false;
    });
    on(scroller, "scroll", () => {
      scrolled = scroller.scrollTop > 40;
    });
    return () => listen.abort();
  }, []);
  return pointed;
}

function hourly(signal: AbortSignal): Promise<QueryUsageResponse> {
  const now = Date.now();
  const startTime = timestampFromMs(lastHours(24, now)[0] ?? now - DAY);
  return reprise.runs.queryUsage({ startTime, timeZone: ownZone(), bucket: UsageBucket.HOUR, pageSize: 50 }, { signal });
}

/** Four figures of the last day, each with its hours. The strip is there before its figures are, so that nothing moves. */
function Figures({ answer }: { answer: QueryUsageResponse | undefined }) {
  const hours = useComputed(() => Math.floor(clock.value / 3_600_000)).value;
  const buckets = intoBuckets(answer?.rows ?? [], lastHours(24, hours * 3_600_000));
  const sum = (of: (row: NonNullable<QueryUsageResponse["total"]>) => number) =>
    buckets.map((rows) => rows.reduce((total, row) => total + of(row), 0));
  const total = answer?.total;
  const wait = durationMs(total?.waitP50);
  const share = total?.usage?.cacheShare;
  const dash = answer ? undefined : "–";
  return (
    <Facts
      large
      top
      facts={[
        {
          label: "Runs",
          value: dash ?? formatCount(total?.runCount ?? 0),
          rest: total ? `${formatCount(total.failedCount)} failed` : "",
          below: <Sparkline values={sum((row) => row.runCount)} label="Runs by the hour" />,
        },
        {
          label: "Cost",
          value: dash ?? formatMoney(total?.usage?.costUsd ?? 0),
          rest: share === undefined ? "" : `cache ${formatShare(share, 1)}`,
          below: <Sparkline values={sum((row) => row.usage?.costUsd ?? 0)} label="Cost by the hour" />,
        },
        {
          label: "Not started",
          value: dash ?? formatCount(total?.notStartedCount ?? 0),
          rest: notStarted(total),
          below: <Sparkline values={sum((row) => row.notStartedCount)} label="Deliveries not started, by the hour" />,
        },
        {
          label: "Wait, median",
          value: dash ?? (wait === undefined ? "–" : formatSpan(wait)),
          rest: "",
          below: <Sparkline values={carried(buckets.map(([row]) => durationMs(row?.waitP50)))} label="Median wait by the hour" />,
        },
      ]}
    />
  );
}

/** In an hour in which nothing started the wait is not zero, it is not known: the one before stands on. */
function carried(values: readonly (number | undefined)[]): number[] {
  let last = values.find((value) => value !== undefined) ?? 0;
  return values.map((value) => {
    last = value ?? last;
    return last;
  });
}

function notStarted(total: QueryUsageResponse["total"]): string {
  if (!total) return "";
  return total.notSpentUsd ? `${formatMoney(total.notSpentUsd)} not spent` : "own, bots, loops";
}
