import { type Run, RunKind, RunState } from "@reprise/client";
import { PageHead } from "../../app/page.tsx";
import { hrefs } from "../../app/routes.ts";
import { type Fact, Facts, LineageDots, Meter, State, Tag } from "../../components/basics.tsx";
import { Id, Span } from "../../components/text.tsx";
import { formatCount, formatMoney, formatShare, plural, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { failureWord, runEnded, runState } from "../../lib/words.ts";
import { RunButtons } from "./buttons.tsx";
import { Sentence } from "./prose.tsx";
import { lineageText, waitText, warningText } from "./words.ts";

/** A longer thread is shown up to this run, so that it is among the last dots. */
const MOST_DOTS = 8;

/** What the run is, how it stands, and what can be done about it. `thread` is every run of its session, newest first. */
export function RunHead({ run, thread }: { run: Run; thread: readonly Run[] }) {
  return (
    <>
      <PageHead
        title={run.title || run.threadKey || run.triggerSlug}
        detail={run.title ? run.threadKey : undefined}
        state={<RunStateWord run={run} />}
        buttons={<RunButtons run={run} />}
        meta={<Meta run={run} thread={thread} />}
      />
      <Trouble run={run} />
      <RunFacts run={run} />
    </>
  );
}

function RunStateWord({ run }: { run: Run }) {
  const shown = runState(run.state);
  const amber = run.state === RunState.SUCCEEDED && run.warnings.length > 0;
  const start = toMs(run.startTime);
  const from = start ?? toMs(run.createTime);
  return (
    <State mark={amber ? "waiting" : shown.mark} word={amber ? "succeeded with warnings" : shown.word}>
      <Span from={from} to={runEnded(run) ? (toMs(run.endTime) ?? from) : undefined} />
    </State>
  );
}

function Meta({ run, thread }: { run: Run; thread: readonly Run[] }) {
  const at = thread.findIndex((one) => one.id === run.id);
  const number = at < 0 ? 0 : thread.length - at;
  const last = run.deliveryIds.at(-1);
  return (
    <>
      {run.triggerId && <a href={hrefs.trigger(run.triggerSlug || run.triggerId)}>{run.triggerSlug}</a>}
      {run.sessionId && (
        <span>
          {number > 0 ? `run ${number} of ` : "part of "}
          <a href={hrefs.session(run.sessionId)}>its thread</a>
        </span>
      )}
      {thread.length > 1 && at >= 0 && (
        <LineageDots
          runs={(thread.length > MOST_DOTS ? thread.slice(at) : thread).toReversed().map((one) => ({
            id: one.id,
            href: hrefs.run(one.id),
            title: [lineageText(one.lineage) || runState(one.state).word, one.id === run.id ? "this run" : runState(one.state).word].join(
              ", ",
            ),
            ...(one.id === run.id ? { mark: runState(one.state).mark } : {}),
          }))}
        />
      )}
      {run.continuedFromRunId ? (
        <span>
          {lineageText(run.lineage) || "continued"} from <Id id={run.continuedFromRunId} href={hrefs.run(run.continuedFromRunId)} />
        </span>
      ) : (
        lineageText(run.lineage) && <span>{lineageText(run.lineage)}</span>
      )}
      {run.retryOfRunId && (
        <span>
          retry of <Id id={run.retryOfRunId} href={hrefs.run(run.retryOfRunId)} />
        </span>
      )}
      {last && (
        <span>
          {run.deliveryCount > 1 ? `${plural(run.deliveryCount, "delivery", "deliveries")}, last ` : "delivery "}
          <Id id={last} href={hrefs.delivery(last)} />
        </span>
      )}
      {run.requestedBy?.displayName && <span>by {legible(run.requestedBy.displayName)}</span>}
      {run.kind === RunKind.COMPACTION && <span>compaction</span>}
      {run.attempt > 1 && <span>attempt {run.attempt}</span>}
      {run.model && <span>{run.model}</span>}
      {run.profile && <Tag title={`It runs with the profile ${run.profile}`}>{run.profile}</Tag>}
    </>
  );
}

/** What went wrong, or what holds the run back, with what helps. */
function Trouble({ run }: { run: Run }) {
  const waiting = waitText(run);
  return (
    <>
      {run.failure && (
        <div class="problem" role="status">
          <span class="st fail" />
          <p>
            <code>{failureWord(run.failure.reason)}</code> <Sentence text={run.failure.message} />{" "}
            <span class="f2">
              <Sentence text={run.failure.remedy} />
            </span>
          </p>
        </div>
      )}
      {!runEnded(run) && !run.startTime && waiting && (
        <p class="aside-line">
          <span class="st wait" />
          {legible(waiting)}
        </p>
      )}
      {run.warnings.map((one) => (
        <p key={one} class="aside-line c-amber">
          {warningText(one)}
        </p>
      ))}
    </>
  );
}

function RunFacts({ run }: { run: Run }) {
  const { usage } = run;
  const cost = usage?.costUsd ?? 0;
  const live = !runEnded(run);
  const written = usage?.cacheWriteTokens ?? 0n;
  const facts: Fact[] = [
    {
      label: "Cost",
      value: formatMoney(cost),
      rest: run.maxCostUsd > 0 ? `of ${formatMoney(run.maxCostUsd)}` : "no limit",
      below: run.maxCostUsd > 0 ? <Meter value={cost} max={run.maxCostUsd} live={live} label="Budget" /> : undefined,
    },
    {
      label: "Tokens",
      value: formatCount(usage?.cacheReadTokens ?? 0n),
      rest: "read from cache",
      below: `in ${formatCount(usage?.inputTokens ?? 0n)} · written ${formatCount(written)} · out ${formatCount(usage?.outputTokens ?? 0n)}`,
    },
    {
      label: "Cache health",
      value: usage?.cacheShare === undefined ? "–" : formatShare(usage.cacheShare, 1),
      below: usage?.cacheShare === undefined ? "nothing was asked yet" : "of the input was read from the cache",
    },
    {
      label: "Context",
      value: formatCount(run.contextTokens),
      rest: run.contextWindowTokens > 0n ? `of ${formatCount(run.contextWindowTokens)}` : "tokens",
      below:
        run.contextWindowTokens > 0n ? (
          <Meter value={Number(run.contextTokens)} max={Number(run.contextWindowTokens)} label="Context window" />
        ) : undefined,
    },
    {
      label: "Turn",
      value: run.turn > 0 ? formatCount(run.turn) : "–",
      rest: "of its conversation",
      below: run.generation > 1 ? `conversation ${run.generation} of its thread` : undefined,
    },
  ];
  return <Facts facts={facts} />;
}
