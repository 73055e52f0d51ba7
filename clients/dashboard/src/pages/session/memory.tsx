import { type Conversation, type Run, RunKind, type Session, SessionOrigin } from "@reprise/client";
import { hrefs } from "../../app/routes.ts";
import { Id, When } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useQuery } from "../../data/query.ts";
import { formatBytes, plural, toMs } from "../../lib/format.ts";
import { legible } from "../../lib/legible.ts";

/** What the agent remembers, and the conversations that the thread had. */
export function Memory({ session, runs }: { session: Session; runs: readonly Run[] }) {
  const settings = useQuery(["compaction"], async (signal) => (await reprise.settings.getSettings({}, { signal })).settings);
  const due = settings.data?.sessions?.forceCompactionTurns;
  const compacted = runs.find((run) => run.kind === RunKind.COMPACTION && run.endTime);
  const said = runs.find((run) => run.resultText !== "")?.resultText ?? "";
  const has = session.agentSessionId !== "";
  return (
    <section class="sec memory-side" aria-label="What it remembers">
      <header>
        <h2>What it remembers</h2>
      </header>
      <dl class="kv">
        <dt>Turns</dt>
        <dd>{has ? plural(session.turnCount, "turn") : "nothing: the next run begins anew"}</dd>
        {has && (
          <>
            <dt>Compacted</dt>
            <dd>
              {compacted ? (
                <a href={hrefs.run(compacted.id)}>
                  <When ms={toMs(compacted.endTime)} />
                </a>
              ) : (
                "never"
              )}
              {due !== undefined && `, due after ${plural(Math.max(0, due - session.turnsSinceCompaction), "more turn")}`}
            </dd>
          </>
        )}
        <dt>Last used</dt>
        <dd>
          <When ms={toMs(session.lastUseTime)} />
        </dd>
      </dl>
      {said && (
        <dl class="kv">
          <dt>Last said</dt>
          <dd class="f2 said">“{legible(shorten(said))}”</dd>
        </dl>
      )}
      <dl class="kv">
        <dt>Transcript</dt>
        <dd>{session.transcriptBytes > 0n ? formatBytes(session.transcriptBytes) : "none kept"}</dd>
        <dt>Claude session</dt>
        <dd>{has ? <Id id={session.agentSessionId} /> : <span class="f3">–</span>}</dd>
      </dl>
      <header class="lineage-head">
        <h2>
          Conversations <small>{session.conversations.length}</small>
        </h2>
      </header>
      <ol class="lineage">
        {session.conversations.map((one) => (
          <li key={one.generation} class={one.generation === session.generation ? "present" : ""}>
            <b>{one.generation}</b>
            <span>
              {ORIGIN[one.origin] ?? "begun"} <When ms={toMs(one.startTime)} />
              <Cause one={one} />
            </span>
            <span class="f3 r">{plural(one.turnCount, "turn")}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}

const ORIGIN: Partial<Record<SessionOrigin, string>> = {
  [SessionOrigin.FIRST]: "the thread was new,",
  [SessionOrigin.RESET]: "reset",
  [SessionOrigin.EXPIRED]: "the one before expired,",
  [SessionOrigin.CHANGED]: "the trigger changed,",
  [SessionOrigin.LOST]: "the one before was lost; begun with a summary",
  [SessionOrigin.FORK]: "a copy of another,",
};

function Cause({ one }: { one: Conversation }) {
  if (one.fromSessionId)
    return (
      <>
        {" "}
        · <a href={hrefs.session(one.fromSessionId)}>the original</a>
      </>
    );
  if (!one.causeRunId) return null;
  return (
    <>
      {" "}
      · <a href={hrefs.run(one.causeRunId)}>its first run</a>
    </>
  );
}

const MOST = 280;

function shorten(text: string): string {
  const flat = text.trim().replaceAll(/\s+/g, " ");
  return flat.length > MOST ? `${flat.slice(0, MOST)}…` : flat;
}
