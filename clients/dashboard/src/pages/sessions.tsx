import { type Session, SessionOrder, SessionState } from "@reprise/client";
import { useEffect, useState } from "preact/hooks";
import { useKeys } from "../app/keys.ts";
import { Page } from "../app/page.tsx";
import { query, setQuery } from "../app/router.ts";
import { hrefs } from "../app/routes.ts";
import { Empty, Loading, Segments, State, Tag } from "../components/basics.tsx";
import { ErrorNotice } from "../components/error.tsx";
import { Choice, Find } from "../components/form.tsx";
import { type Column, List, MoreButton, RowAction, RowActions } from "../components/list.tsx";
import { Age, CopyBlock, Money } from "../components/text.tsx";
import { reprise } from "../data/api.ts";
import { usePages, useQuery } from "../data/query.ts";
import { formatBytes, formatCount, formatShare, toMs } from "../lib/format.ts";
import { legible } from "../lib/legible.ts";
import { sessionState } from "../lib/words.ts";
import { Reset } from "./session/acts.tsx";
import { merged } from "./sessions/merge.ts";
import "../style/sessions.css";

type Filter = "all" | "running" | "waiting" | "idle" | "stale";
const FILTERS: Record<Filter, { states?: SessionState[]; stale?: boolean }> = {
  all: {},
  running: { states: [SessionState.RUNNING] },
  waiting: { states: [SessionState.QUEUED] },
  idle: { states: [SessionState.IDLE], stale: false },
  stale: { stale: true },
};

const ORDERS = [
  { value: "cost", label: "dearest first", order: SessionOrder.COST },
  { value: "size", label: "largest first", order: SessionOrder.SIZE },
] as const;

/** How often the rows that are shown are read again. */
const EVERY_MS = 5000;
const SEARCH_MS = 250;

/** The threads: which remember something, since when, and what they cost. */
export default function SessionsPage() {
  const chosen = query("state");
  const filter: Filter = chosen in FILTERS ? (chosen as Filter) : "all";
  const trigger = query("trigger");
  const words = useDelayed(query("q"), SEARCH_MS);
  const order = ORDERS.find((one) => one.value === query("order"))?.order ?? SessionOrder.LAST_USE;
  const asked = { ...FILTERS[filter], triggerId: trigger, query: words, order };
  const deps = [filter, trigger, words, order];
  const read = async (pageToken: string, signal: AbortSignal) => {
    const page = await reprise.sessions.listSessions({ ...asked, pageSize: 100, pageToken }, { signal });
    return { items: page.sessions, next: page.nextPageToken };
  };
  const pages = usePages(deps, read);
  // Rows change in place; what would move them waits until it is asked for.
  const fresh = useQuery(["fresh", ...deps], async (signal) => (await read("", signal)).items, EVERY_MS);
  const { rows, news } = merged(pages.items, fresh.data ?? [], order);
  const triggers = useQuery(["trigger-names"], async (signal) => {
    const answer = await reprise.triggers.listTriggers({ pageSize: 500 }, { signal });
    return answer.triggers.map((one) => one.slug).sort();
  });
  const [resetting, setResetting] = useState<Session>();
  useKeys("Sessions", { "/": { label: "Find a thread", run: () => document.querySelector<HTMLElement>("[data-find]")?.focus() } });
  const filtered = filter !== "all" || trigger !== "" || words !== "";
  return (
    <Page title="Sessions">
      <div class="bar">
        <Segments
          label="State"
          options={(Object.keys(FILTERS) as Filter[]).map((value) => ({ value, label: value }))}
          value={filter}
          onChange={(value) => setQuery({ state: value === "all" ? undefined : value })}
        />
        <Choice
          label="All triggers"
          value={trigger}
          options={[...new Set([...(triggers.data ?? []), ...(trigger ? [trigger] : [])])].map((value) => ({ value, label: value }))}
          onChange={(value) => setQuery({ trigger: value })}
        />
        <Choice
          label="last used first"
          value={query("order") === "cost" || query("order") === "size" ? query("order") : ""}
          options={ORDERS}
          onChange={(value) => setQuery({ order: value })}
        />
        <Find label="Find a thread or title" width="wide" value={query("q")} onInput={(q) => setQuery({ q })} />
      </div>
      <div class="sec first">
        <ErrorNotice error={pages.error ?? fresh.error} onRetry={pages.reload} />
        {pages.loading && pages.items.length === 0 && !pages.error ? (
          <Loading />
        ) : (
          <List
            title="Threads"
            count={pages.hasMore ? `${formatCount(rows.length)}+` : formatCount(rows.length)}
            rows={rows}
            columns={columns(setResetting)}
            template="cols-sessions"
            idOf={(session) => session.id}
            hrefOf={(session) => hrefs.session(session.id)}
            aside={
              news > 0 ? (
                <button type="button" class="chip new" onClick={pages.reload}>
                  {news} new
                </button>
              ) : undefined
            }
            empty={pages.error ? undefined : <Nothing filtered={filtered} />}
          />
        )}
        <MoreButton hasMore={pages.hasMore} loading={pages.loading} onMore={pages.more} />
      </div>
      {resetting && (
        <Reset
          session={resetting}
          onClose={() => setResetting(undefined)}
          onSession={() => {
            pages.reload();
            fresh.reload();
          }}
        />
      )}
    </Page>
  );
}

/** A text once it has stood still. */
function useDelayed(value: string, ms: number): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}

function columns(reset: (session: Session) => void): readonly Column<Session>[] {
  return [
    { narrow: "corner", cell: (session) => <State {...sessionState({ state: session.state, stale: false })} /> },
    {
      label: "thread",
      narrow: "first",
      cell: (session) => (
        <>
          <b>{legible(session.threadKey || session.displayName) || "fork"}</b> <span class="f2">{legible(session.title)}</span>
          {session.forkedFromSessionId && (
            <>
              {" "}
              <Tag title="A copy of another conversation">fork</Tag>
            </>
          )}
          {session.stale && (
            <>
              {" "}
              <Tag title="Past its time: the next event begins a new conversation">stale</Tag>
            </>
          )}
        </>
      ),
    },
    {
      label: "trigger",
      narrow: "line",
      cell: (session) => (
        <span class="f2">
          {session.triggerSlug}
          <span class="narrow">
            {" "}
            · <Age ms={toMs(session.lastUseTime)} suffix=" ago" /> · <Money usd={session.usage?.costUsd ?? 0} />
          </span>
        </span>
      ),
    },
    { label: "last used", right: true, narrow: "hide", cell: (session) => <Age ms={toMs(session.lastUseTime)} suffix=" ago" /> },
    {
      label: "turns",
      right: true,
      narrow: "hide",
      cell: (session) => (
        <span title={`conversation ${session.generation}, ${session.runCount} runs in all`}>{formatCount(session.turnCount)}</span>
      ),
    },
    { label: "cost", right: true, narrow: "hide", cell: (session) => <Money usd={session.usage?.costUsd ?? 0} /> },
    {
      label: "cache",
      right: true,
      narrow: "hide",
      cell: (session) => <Health share={session.lastCacheShare} />,
    },
    { label: "size", right: true, narrow: "hide", cell: (session) => <span class="f2">{formatBytes(session.transcriptBytes)}</span> },
    {
      label: "",
      right: true,
      narrow: "hide",
      cell: (session) => (
        <RowActions>
          <RowAction label="Reset…" onClick={() => reset(session)} />
        </RowActions>
      ),
    },
  ];
}

/** A cold cache makes a continued turn dearer than a fresh one. */
function Health({ share }: { share: number | undefined }) {
  if (share === undefined) return <span class="f3">–</span>;
  return <span class={share < 0.5 ? "c-amber" : "f2"}>{formatShare(share)}</span>;
}

function Nothing({ filtered }: { filtered: boolean }) {
  if (filtered) return <Empty text="No thread is like this." link={{ href: "/sessions", label: "All sessions" }} />;
  return (
    <Empty
      text="A session is the conversation about one thread: a pull request, an issue, a task. Triggers that continue sessions make one with the first event of a thread. Turn that on for a trigger:"
      command={<CopyBlock text="reprise trigger update SLUG --resume" />}
      link={{ href: "/triggers", label: "Triggers" }}
    />
  );
}
