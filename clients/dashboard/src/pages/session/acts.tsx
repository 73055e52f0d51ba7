import { newId, RepriseError, type Run, RunKind, type Session } from "@reprise/client";
import { useState } from "preact/hooks";
import { navigate } from "../../app/router.ts";
import { hrefs } from "../../app/routes.ts";
import { Button } from "../../components/basics.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { Check, fieldError, SelectField, TextField } from "../../components/form.tsx";
import { CopyBlock } from "../../components/text.tsx";
import { reprise } from "../../data/api.ts";
import { useAction } from "../../data/query.ts";
import { formatBytes, formatWhen, plural, toMs } from "../../lib/format.ts";
import { archiveName, assemble, download, type SessionArchive } from "./export.ts";
import { howItBegan } from "./timeline.ts";

/** What can be called for in a dialog. */
export type Act = "reset" | "fork" | "compact" | "export";

interface ActProps {
  session: Session;
  runs: readonly Run[];
  onClose: () => void;
  onSession: (session: Session) => void;
}

/** The dialog of an act. */
export function ActDialog({ act, ...props }: ActProps & { act: Act }) {
  if (act === "reset") return <Reset {...props} />;
  if (act === "fork") return <Fork {...props} />;
  if (act === "compact") return <Compact {...props} />;
  return <Export {...props} />;
}

/** What is lost when a conversation is reset, in a sentence. */
export function lostByReset(session: Session): string {
  if (!session.agentSessionId) return "There is no conversation yet, so nothing is lost.";
  const turns = plural(session.turnCount, "turn");
  return `The agent forgets ${turns} of conversation (${formatBytes(session.transcriptBytes)}). The next event of this thread begins anew, with the instructions.`;
}

/** Resets a conversation after naming what is lost; also from lists. */
export function Reset({ session, onClose, onSession }: Omit<ActProps, "runs">) {
  const [cancelRuns, setCancelRuns] = useState(false);
  const [purge, setPurge] = useState(false);
  const [reason, setReason] = useState("");
  const live = session.liveRunId !== "";
  const waiting = session.queuedRunCount;
  const reset = useAction(async () => {
    const answer = await reprise.sessions.resetSession({ sessionId: session.id, cancelRuns, purge, reason: reason.trim() });
    if (answer.session) onSession(answer.session);
    onClose();
  });
  return (
    <Dialog
      title={`Reset ${session.threadKey || session.displayName || "this session"}?`}
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button danger busy={reset.busy} onClick={() => void reset.run()}>
            Reset
          </Button>
        </>
      }
    >
      <p>{lostByReset(session)}</p>
      {(live || waiting > 0) && (
        <Check
          label={`Cancel ${[live ? "the live run" : "", waiting > 0 ? plural(waiting, "waiting run") : ""].filter(Boolean).join(" and ")}`}
          help={
            live
              ? "Otherwise the live run ends in the old conversation and is not remembered, and waiting runs start in the new one."
              : "Otherwise they stay and start in the new conversation."
          }
          checked={cancelRuns}
          onChange={setCancelRuns}
        />
      )}
      <Check
        label="Delete the stored transcript and the workspace now"
        help="Otherwise they are kept until the session is cleaned up, and can be exported until then."
        checked={purge}
        onChange={setPurge}
      />
      <TextField label="Reason" value={reason} onInput={setReason} help="For the server's log. May be empty." />
      <ErrorNotice error={reset.error} />
    </Dialog>
  );
}

function Fork({ session, runs, onClose }: ActProps) {
  const [name, setName] = useState("");
  const [after, setAfter] = useState("");
  const [requestId] = useState(newId);
  const turns = runs.filter((run) => run.generation === session.generation && run.kind === RunKind.TURN && run.endTime);
  const fork = useAction(async () => {
    const request = { sessionId: session.id, afterRunId: after, displayName: name.trim(), requestId };
    const answer = await reprise.sessions.forkSession(request);
    onClose();
    if (answer.session) void navigate(hrefs.session(answer.session.id));
  });
  return (
    <Dialog
      title="Fork this conversation"
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button primary busy={fork.busy} onClick={() => void fork.run()}>
            Fork
          </Button>
        </>
      }
    >
      <p>
        A copy in a session of its own; this one stays as it is. Webhooks do not reach the copy: only firing, replaying and retrying by
        hand, with its id.
      </p>
      <SelectField
        label="Copy up to"
        value={after}
        options={[
          { value: "", label: "its end" },
          ...turns.map((run) => ({
            value: run.id,
            label: `after ${howItBegan(run)} of ${formatWhen(toMs(run.startTime ?? run.createTime) ?? 0)}`,
          })),
        ]}
        onChange={setAfter}
        error={fieldError(fork.error, "after_run_id")}
        help="What came later is not part of the copy."
      />
      <TextField
        label="Name of the copy"
        value={name}
        onInput={setName}
        error={fieldError(fork.error, "display_name")}
        help="For people, at most 100 characters. May be empty."
      />
      {fork.error && fork.error.fields.length === 0 && <ErrorNotice error={fork.error} />}
    </Dialog>
  );
}

function Compact({ session, onClose }: ActProps) {
  const [requestId] = useState(newId);
  const compact = useAction(async () => {
    const answer = await reprise.sessions.compactSession({ sessionId: session.id, requestId });
    onClose();
    if (answer.run) void navigate(hrefs.run(answer.run.id));
  });
  return (
    <Dialog
      title="Compact this conversation?"
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button primary busy={compact.busy} onClick={() => void compact.run()}>
            Compact
          </Button>
        </>
      }
    >
      <p>
        A run of its own asks Claude to put a summary in place of {plural(session.turnCount, "turn")} and{" "}
        {session.contextTokens.toLocaleString("en")} tokens. Details that the summary leaves out are lost to the agent; the journals of the
        runs stay.
      </p>
      <p>
        It costs one turn over the whole conversation. Later turns cost less, and the first of them finds the prompt cache cold.
        {session.queuedRunCount > 0 && ` It runs behind ${plural(session.queuedRunCount, "waiting run")}.`}
      </p>
      <ErrorNotice error={compact.error} />
    </Dialog>
  );
}

function Export({ session, onClose }: ActProps) {
  const numbers = session.conversations.map((one) => one.generation);
  const [generation, setGeneration] = useState(session.agentSessionId ? session.generation : (numbers[0] ?? session.generation));
  const [bytes, setBytes] = useState(0);
  const [done, setDone] = useState<SessionArchive>();
  const [stop, setStop] = useState<AbortController>();
  const run = useAction(async () => {
    const own = new AbortController();
    setStop(own);
    setBytes(0);
    setDone(undefined);
    try {
      const request = { sessionId: session.id, generation };
      const archive = await assemble(reprise.sessions.exportSession(request, { signal: own.signal }), setBytes);
      download(archive.blob, archiveName(session.threadKey || session.displayName, generation));
      setDone(archive);
    } catch (thrown) {
      if (own.signal.aborted) return;
      // What this page found wrong with the archive is said as it is.
      throw thrown instanceof Error && thrown.name === "Error" ? new RepriseError(thrown.message, 15, NO_DETAILS, thrown) : thrown;
    }
  });
  const close = () => {
    stop?.abort();
    onClose();
  };
  return (
    <Dialog
      title="Export the transcript"
      onClose={close}
      wide={done !== undefined}
      end={
        <>
          <Button onClick={close}>{done ? "Close" : "Cancel"}</Button>
          {!done && (
            <Button primary busy={run.busy} onClick={() => void run.run()}>
              Download .tar.zst
            </Button>
          )}
        </>
      }
    >
      <p>The conversation as Claude Code keeps it, to continue it on another machine or to look at it.</p>
      {numbers.length > 1 && !done && (
        <SelectField
          label="Conversation"
          value={String(generation)}
          options={session.conversations.map((one) => ({
            value: String(one.generation),
            label: `${one.generation}${one.generation === session.generation ? ", the present one" : ""}, ${plural(one.turnCount, "turn")}`,
          }))}
          onChange={(value) => setGeneration(Number(value))}
          help="The transcripts of earlier conversations are kept until the session is cleaned up or purged."
        />
      )}
      {run.busy && <p role="status">{bytes === 0 ? "Asking…" : `${formatBytes(bytes)} read`}</p>}
      {done && (
        <>
          <p role="status">
            {formatBytes(done.blob.size)}, {plural(done.manifest?.files.length ?? 0, "file")}.{" "}
            {done.checked
              ? "Its SHA-256 is the one that the server names."
              : "Its size is right; its SHA-256 was not compared, since this page came over plain HTTP."}
          </p>
          {done.manifest?.resumeCommand && (
            <>
              <p>Unpack it where Claude Code keeps its projects, then continue with</p>
              <CopyBlock text={done.manifest.resumeCommand} />
            </>
          )}
        </>
      )}
      <ErrorNotice error={run.error} />
    </Dialog>
  );
}

const NO_DETAILS = { reason: "", metadata: {}, fields: [], retryAfterMs: undefined };
