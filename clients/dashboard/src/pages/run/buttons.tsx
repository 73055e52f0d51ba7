import { CancelMode, newId, RepriseError, type Run, RunState, SessionMode } from "@reprise/client";
import { useRef, useState } from "preact/hooks";
import { useKeys } from "../../app/keys.ts";
import { navigate } from "../../app/router.ts";
import { hrefs } from "../../app/routes.ts";
import { ask, Dialog } from "../../components/dialog.tsx";
import { ErrorNotice } from "../../components/error.tsx";
import { MenuButton, type MenuItem } from "../../components/menu.tsx";
import { reprise } from "../../data/api.ts";
import { shortId } from "../../lib/format.ts";
import { runEnded } from "../../lib/words.ts";

/** Cancel while it is not over, and the ways to run it again. */
export function RunButtons({ run }: { run: Run }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<RepriseError>();
  const openCancel = useRef<(() => void) | null>(null);
  const act = async (work: () => Promise<string | undefined>) => {
    setBusy(true);
    try {
      const href = await work();
      if (href) await navigate(href);
    } catch (thrown) {
      setError(RepriseError.from(thrown));
    } finally {
      setBusy(false);
    }
  };
  const cancel = (mode: CancelMode) =>
    act(async () => {
      await reprise.runs.cancelRun({ runId: run.id, mode });
      return undefined;
    });
  const retry = (sessionMode: SessionMode) =>
    act(async () => {
      const { run: made } = await reprise.runs.retryRun({ runId: run.id, sessionMode, requestId: newId() });
      return made && hrefs.run(made.id);
    });
  const delivery = run.deliveryIds.at(-1);
  const replay = async () => {
    if (!delivery) return;
    const yes = await ask({
      title: "Replay its delivery",
      body: `Delivery ${shortId(delivery)} goes once more through the rules of now. If they let it pass, a new run starts and costs what it costs.`,
      confirm: "Replay",
    });
    if (!yes) return;
    await act(async () => {
      const answer = await reprise.triggers.replayDelivery({ deliveryId: delivery, requestId: newId() });
      if (answer.run) return hrefs.run(answer.run.id);
      return answer.delivery && hrefs.delivery(answer.delivery.id);
    });
  };
  const ended = runEnded(run);
  const live = run.state === RunState.RUNNING || run.state === RunState.CANCELLING;
  useKeys("Run", {
    ...(ended ? {} : { c: { label: "Cancel…", run: () => openCancel.current?.() } }),
    ...(delivery ? { r: { label: "Replay its delivery…", run: () => void replay() } } : {}),
    ...(run.sessionId ? { p: { label: "Its thread", run: () => void navigate(hrefs.session(run.sessionId)) } } : {}),
  });
  const cancels: MenuItem[] = live
    ? [
        {
          label: "After this step",
          hint: "When the tool call that is running has answered",
          onChoose: () => void cancel(CancelMode.AFTER_STEP),
        },
        {
          label: "Now",
          hint: "The agent is stopped at once; its conversation stays",
          danger: true,
          onChoose: () => void cancel(CancelMode.NOW),
        },
      ]
    : [{ label: "Now", hint: "It has not started, so nothing is lost", danger: true, onChoose: () => void cancel(CancelMode.NOW) }];
  return (
    <>
      {!ended && <MenuButton label="Cancel" items={cancels} busy={busy} openRef={openCancel} />}
      <MenuButton label="Retry" items={retries(ended, retry, delivery ? replay : undefined)} busy={busy} />
      {error && (
        <Dialog title="That did not work" onClose={() => setError(undefined)}>
          <ErrorNotice error={error} />
        </Dialog>
      )}
    </>
  );
}

function retries(ended: boolean, retry: (mode: SessionMode) => void, replay: (() => Promise<void>) | undefined): MenuItem[] {
  const item = (label: string, hint: string, mode: SessionMode): MenuItem => ({
    label,
    hint: ended ? hint : "once it has ended",
    disabled: !ended,
    onChoose: () => retry(mode),
  });
  return [
    item("Same prompt", "In the conversation that the trigger says", SessionMode.UNSPECIFIED),
    item("Continue", "The same prompt after this turn, which the agent remembers", SessionMode.RESUME),
    item("From before this turn", "In a copy of the conversation as it was before", SessionMode.FORK),
    item("Fresh", "The same prompt in a new conversation", SessionMode.FRESH),
    ...(replay ? [{ label: "Replay its delivery…", hint: "Through the rules of now", onChoose: () => void replay() }] : []),
  ];
}
