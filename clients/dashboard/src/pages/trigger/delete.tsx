import type { Trigger } from "@reprise/client";
import { ask } from "../../components/dialog.tsx";
import { reprise } from "../../data/api.ts";
import { formatBytes, plural } from "../../lib/format.ts";

/** Deletes a trigger after naming what goes with it; true when it is gone. */
export async function askToDelete(trigger: Trigger): Promise<boolean> {
  const lost = await reprise.triggers.deleteTrigger({ triggerId: trigger.id, force: true, validateOnly: true });
  const { deletedSessionCount: sessions, cancelledRunCount: runs, freedBytes } = lost;
  const confirmed = await ask({
    title: `Delete ${trigger.slug}?`,
    confirm: "Delete",
    danger: true,
    body: (
      <>
        <p>This cannot be undone. It takes with it:</p>
        <ul class="lost">
          <li>
            {sessions === 0 ? "no conversation" : `${plural(sessions, "conversation")} with ${sessions === 1 ? "its" : "their"} memory`}
            {freedBytes > 0n && `, ${formatBytes(freedBytes)}`}
          </li>
          <li>
            {runs === 0
              ? "no run: none is queued or live"
              : `${plural(runs, "run")} queued or live, which ${runs === 1 ? "is" : "are"} cancelled`}
          </li>
          {trigger.webhookUrl && <li>its webhook address; the sender gets 401 from then on</li>}
        </ul>
        <p>Its deliveries and runs are listed, with their costs, until their retention ends.</p>
      </>
    ),
  });
  if (!confirmed) return false;
  await reprise.triggers.deleteTrigger({ triggerId: trigger.id, force: runs > 0 });
  return true;
}
