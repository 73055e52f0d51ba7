import { type CleanUpStaleSessionsResponse, type Session, SessionOrder } from "@reprise/client";
import { useState } from "preact/hooks";
import { hrefs } from "../../app/routes.ts";
import { Button, Empty, Facts, Loading, State } from "../../components/basics.tsx";
import { ask } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { List, RowAction, RowActions } from "../../components/list.tsx";
import { Age, CopyBlock, Money } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction, useQuery } from "../../data/query.ts";
import { formatBytes, formatCount, plural, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";
import { sessionState } from "../../lib/words.ts";
import { Reset } from "../session/acts.tsx";

/** What is stored for sessions, and the clean-up by hand. */
export function Storage() {
  const { data, error, reload } = useQuery(["storage"], (signal) => reprise.sessions.getSessionStorage({}, { signal }), 60_000);
  const [done, setDone] = useState<CleanUpStaleSessionsResponse>();
  const cleanUp = useAction(async () => {
    setDone(undefined);
    const found = await reprise.sessions.cleanUpStaleSessions({ validateOnly: true });
    const count = found.deletedCount + found.remainingCount;
    const busy =
      found.busyCount > 0
        ? ` ${plural(found.busyCount, "stale session")} with a queued or live run ${found.busyCount === 1 ? "is" : "are"} left alone.`
        : "";
    if (count === 0) {
      setDone(found);
      return;
    }
    const confirmed = await ask({
      title: `Delete ${plural(count, "stale session")}?`,
      body: `Their conversations and workspaces go for good, ${formatBytes(found.freedBytes)}. Their runs and costs stay.${busy}`,
      confirm: "Clean up",
      danger: true,
    });
    if (!confirmed) return;
    let total: CleanUpStaleSessionsResponse | undefined;
    // One call deletes a bounded number: call again until nothing is left.
    for (;;) {
      const answer = await reprise.sessions.cleanUpStaleSessions({});
      total = total
        ? { ...answer, deletedCount: total.deletedCount + answer.deletedCount, freedBytes: total.freedBytes + answer.freedBytes }
        : answer;
      setDone(total);
      if (answer.remainingCount === 0 || answer.deletedCount === 0) break;
    }
    reload();
  });
  return (
    <section aria-label="Storage">
      <div class="sec storage-head">
        <h2>What is stored</h2>
        <span class="grow" />
        <Button busy={cleanUp.busy} onClick={() => void cleanUp.run()}>
          Clean up stale now…
        </Button>
      </div>
      <div class="problems">
        <ErrorNotice error={error} onRetry={reload} />
        <ErrorNotice error={cleanUp.error} />
        {done && (
          <p class="storage-note f2" role="status">
            {done.deletedCount === 0
              ? "No session is stale: nothing to clean up."
              : `${plural(done.deletedCount, "session")} deleted, ${formatBytes(done.freedBytes)} freed.`}
          </p>
        )}
      </div>
      {data ? (
        <Facts
          facts={[
            {
              label: "Sessions",
              value: formatCount(data.sessionCount),
              rest: `${formatCount(data.staleSessionCount)} stale, ${formatCount(data.liveSessionCount)} at work`,
            },
            {
              label: "Transcripts",
              value: formatBytes(data.transcriptBytes),
              rest: `of ${formatBytes(data.transcriptRawBytes)} before compression`,
            },
            {
              label: "Agent's own files",
              value: formatBytes(data.agentFilesBytes),
              rest: `and ${formatBytes(data.workspaceBytes)} of workspaces`,
            },
            { label: "Database", value: formatBytes(data.databaseBytes), rest: `${formatBytes(data.journalBytes)} of it journals` },
            { label: "Disk", value: formatBytes(data.diskFreeBytes), rest: "free", below: <Oldest ms={toMs(data.oldestUseTime)} /> },
          ]}
        />
      ) : (
        !error && (
          <div class="sec">
            <Loading />
          </div>
        )
      )}
    </section>
  );
}

function Oldest({ ms }: { ms: number | undefined }) {
  if (ms === undefined) return null;
  return (
    <>
      oldest session used <Age ms={ms} /> ago
    </>
  );
}

/** The sessions that were used last, as they now are, to reset one. */
export function LiveSessions() {
  const { data, error, reload } = useQuery(
    ["live-sessions"],
    async (signal) => (await reprise.sessions.listSessions({ order: SessionOrder.LAST_USE, pageSize: 20 }, { signal })).sessions,
    3000,
  );
  const [resetting, setResetting] = useState<Session>();
  return (
    <div class="sec">
      <ErrorNotice error={data ? undefined : error} onRetry={reload} />
      {!data && !error && <Loading />}
      {data && (
        <List
          title="Used last"
          count={data.length === 20 ? "20 newest" : data.length}
          rows={data}
          template="cols-live"
          idOf={(one) => one.id}
          hrefOf={(one) => hrefs.session(one.id)}
          columns={[
            { narrow: "corner", cell: (one) => <State {...sessionState(one)} /> },
            {
              label: "thread",
              narrow: "first",
              cell: (one) => (
                <>
                  <b>{legible(one.threadKey || one.displayName) || "fork"}</b> <span class="f2">{legible(one.title)}</span>
                </>
              ),
            },
            { label: "trigger", narrow: "line", cell: (one) => <span class="f2">{one.triggerSlug}</span> },
            { label: "last used", right: true, narrow: "hide", cell: (one) => <Age ms={toMs(one.lastUseTime)} suffix=" ago" /> },
            { label: "cost", right: true, narrow: "hide", cell: (one) => <Money usd={one.usage?.costUsd ?? 0} /> },
            {
              label: "",
              right: true,
              narrow: "line",
              cell: (one) => (
                <RowActions>
                  <RowAction label="Reset…" onClick={() => setResetting(one)} />
                </RowActions>
              ),
            },
          ]}
          empty={
            <Empty
              text="No thread has a conversation yet. Triggers that continue sessions make one with the first event of a thread."
              command={<CopyBlock text="reprise session list" />}
              link={{ href: "/triggers", label: "Triggers" }}
            />
          }
        />
      )}
      {resetting && <Reset session={resetting} onClose={() => setResetting(undefined)} onSession={reload} />}
    </div>
  );
}
