import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Delivery, type RepriseError, type Run, type Session, SessionState } from "@reprise/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { Page, PageHead, type PageProps } from "../app/page.tsx";
import { hrefs } from "../app/routes.ts";
import { Button, Empty, Loading, State, Tag } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { Age, Id, Span, When } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { useRunRows } from "../data/lists.ts";
import { useQuery } from "../data/query.ts";
import { toMs } from "../lib/format.ts";
import { runEnded, sessionState } from "../lib/words.ts";
import { type Act, ActDialog } from "./session/acts.tsx";
import { SessionFacts } from "./session/facts.tsx";
import { History } from "./session/history_view.tsx";
import { Memory } from "./session/memory.tsx";
import { TimelineView } from "./session/timeline_view.tsx";
import "../style/session.css";

const NEAR_TOP = 120;
const TRAIL = [{ href: "/sessions", label: "Sessions" }];

/** A thread: its timeline, its history, and what the agent remembers of it. */
export default function SessionPage({ params }: PageProps) {
  const id = params["session"] ?? "";
  return <Thread key={id} id={id} />;
}

function Thread({ id }: { id: string }) {
  const list = useRunRows({ sessionId: id, pageSize: 500 });
  const runs = list.rows.rows.value;
  // Whatever changes a session is a change of one of its runs, also of those that are not shown yet.
  const pulse = list.rows.ready.value ? list.rows.known.value.map((run) => `${run.id}${run.state}`).join() : "";
  const followed = useRef(false);
  const session = useQuery(["session", id], async (signal) => {
    const answer = await reprise.sessions.getSession({ sessionId: id }, { signal });
    return answer.session;
  });
  const deliveries = useQuery(
    ["session-deliveries", id],
    async (signal) => {
      const answer = await reprise.triggers.listDeliveries({ sessionId: id, pageSize: 500 }, { signal });
      return answer.deliveries;
    },
    15_000,
  );
  useEffect(() => {
    if (pulse === "") return;
    // The first snapshot is as old as what was read beside it.
    if (!followed.current) {
      followed.current = true;
      return;
    }
    const timer = setTimeout(() => {
      session.reload();
      deliveries.reload();
    }, 250);
    return () => clearTimeout(timer);
  }, [pulse]);
  // A new run belongs on the timeline at once, unless somebody reads further down, where it would move the page.
  const held = list.rows.heldCount.value;
  useEffect(() => {
    if (held > 0 && list.rows.ready.peek() && (document.querySelector(".main")?.scrollTop ?? 0) < NEAR_TOP) list.rows.release();
  }, [held]);
  if (!session.data) {
    return (
      <Page title={<Id id={id} />} trail={TRAIL} tab="Session">
        <Absent error={session.error} onRetry={session.reload} />
      </Page>
    );
  }
  return (
    <Shown
      session={session.data}
      runs={runs}
      ready={list.rows.ready.value}
      deliveries={deliveries.data ?? []}
      live={list.rows}
      errors={[session.error, list.error.value, deliveries.error]}
      onSession={(next) => {
        // The answer of an act comes without the conversations.
        session.put({ ...next, conversations: next.conversations.length > 0 ? next.conversations : (session.data?.conversations ?? []) });
        session.reload();
      }}
    />
  );
}

function Absent({ error, onRetry }: { error: RepriseError | undefined; onRetry: () => void }) {
  if (!error) return <Loading />;
  if (error.reason === "RESOURCE_NOT_FOUND" || error.reason === "FIELD_INVALID") {
    return (
      <Empty
        text="This session is not there any more: it was cleaned up, or its trigger was deleted. Its runs and deliveries are listed until their retention ends."
        link={{ href: "/sessions", label: "All sessions" }}
      />
    );
  }
  return (
    <div class="sec">
      <ErrorNotice error={error} onRetry={onRetry} />
    </div>
  );
}

interface ShownProps {
  session: Session;
  runs: readonly Run[];
  ready: boolean;
  deliveries: readonly Delivery[];
  live: ReturnType<typeof useRunRows>["rows"];
  errors: readonly (RepriseError | undefined)[];
  onSession: (session: Session) => void;
}

function Shown({ session, runs, ready, deliveries, live, errors, onSession }: ShownProps) {
  const [act, setAct] = useState<Act>();
  const current = runs.find((run) => run.id === session.liveRunId) ?? runs.find((run) => !runEnded(run));
  const name = session.displayName || session.title || session.threadKey || "Session";
  const detail = session.threadKey || (session.displayName ? session.title : "");
  const state = sessionState(session);
  const usage = useSessionUsage(session);
  useKeys("Session", {
    r: { label: "Reset…", run: () => setAct("reset") },
    x: { label: "Export…", run: () => setAct("export") },
  });
  return (
    <Page title={<Id id={session.id} />} trail={TRAIL} tab={session.threadKey || name} mark={state.mark}>
      <PageHead
        title={name}
        detail={name === detail ? undefined : detail}
        state={<State {...state}>{since(session, current)}</State>}
        buttons={
          <>
            <Button onClick={() => setAct("fork")} disabled={!session.agentSessionId}>
              Fork…
            </Button>
            <Button onClick={() => setAct("compact")} disabled={!session.agentSessionId}>
              Compact…
            </Button>
            <Button onClick={() => setAct("export")} disabled={!session.agentSessionId && session.conversations.length === 0}>
              Export…
            </Button>
            <Button onClick={() => setAct("reset")}>Reset…</Button>
          </>
        }
        meta={<Meta session={session} />}
      />
      <div class="problems">
        {errors.map((error, at) => (
          <ErrorNotice key={at} error={error} />
        ))}
      </div>
      <SessionFacts session={session} runs={runs} savedUsd={usage} waiting={current} />
      {(runs.length > 0 || deliveries.length > 0) && (
        <TimelineView
          deliveries={deliveries}
          runs={runs}
          conversations={session.conversations}
          generation={session.generation}
          rememberedUntil={rememberedUntil(session)}
        />
      )}
      <div class="two">
        <div class="sec">{ready ? <History session={session} rows={runs} deliveries={deliveries} live={live} /> : <Loading />}</div>
        <Memory session={session} runs={runs} />
      </div>
      {act && <ActDialog act={act} session={session} runs={runs} onClose={() => setAct(undefined)} onSession={onSession} />}
    </Page>
  );
}

/** How long it runs, or how long it has done nothing. */
function since(session: Session, current: Run | undefined) {
  if (session.state === SessionState.IDLE) return session.lastUseTime && <Age ms={toMs(session.lastUseTime)} />;
  return session.state === SessionState.RUNNING && current?.startTime ? <Span from={toMs(current.startTime)} /> : undefined;
}

function Meta({ session }: { session: Session }) {
  const began = session.conversations.find((one) => one.generation === session.generation)?.startTime ?? session.createTime;
  const expires = toMs(session.expireTime);
  return (
    <>
      <a href={hrefs.trigger(session.triggerId)}>{session.triggerSlug}</a>
      {session.model && <span>{session.model}</span>}
      <span>
        {session.agentSessionId ? "one Claude session since" : "first seen"} <When ms={toMs(began)} />
      </span>
      {expires !== undefined && (
        <span>
          {session.stale ? "stale since" : "kept until"} <When ms={expires} />
        </span>
      )}
      {session.url && /^https?:/.test(session.url) && (
        <a href={session.url} target="_blank" rel="noreferrer noopener">
          open at the sender
        </a>
      )}
      {session.forkedFromSessionId && <a href={hrefs.session(session.forkedFromSessionId)}>forked from another session</a>}
      {session.profile && <Tag>{session.profile}</Tag>}
    </>
  );
}

/** Until when the present conversation can be continued; undefined: there is none. */
function rememberedUntil(session: Session): number | undefined {
  if (!session.agentSessionId) return undefined;
  return toMs(session.expireTime) ?? Number.POSITIVE_INFINITY;
}

/** What continuing saved in this thread, by the server's reckoning. */
function useSessionUsage(session: Session): number | undefined {
  const { data } = useQuery(["session-usage", session.id, session.runCount], async (signal) => {
    const startTime = session.createTime ?? timestampFromMs(0);
    const answer = await reprise.runs.queryUsage({ sessionId: session.id, startTime }, { signal });
    return answer.total?.savedUsd;
  });
  return data;
}
