import { signal } from "@preact/signals";
import { Role } from "@reprise/client";
import { Button } from "../components/basics.tsx";
import { Dialog } from "../components/dialog.tsx";
import { Check } from "../components/form.tsx";
import { Id } from "../components/text.tsx";
import { keepKey, remembered, signOut, who } from "../data/session.ts";

/** Whether the dialog about the key is open. */
export const keyDialog = signal(false);

const close = () => {
  keyDialog.value = false;
};

/** Whose key this tab uses, whether it outlives a reload, and the way out. */
export function KeyDialog() {
  const me = who.value;
  return (
    <Dialog
      title="API key"
      onClose={close}
      end={
        <>
          <Button
            onClick={() => {
              close();
              signOut();
            }}
          >
            Sign out
          </Button>
          <Button primary onClick={close}>
            Done
          </Button>
        </>
      }
    >
      {me && (
        <p>
          {me.displayName || "unnamed"} · {(Role[me.role] ?? "").toLowerCase()} · <Id id={me.apiKeyId} />
        </p>
      )}
      <Check
        label="Keep the key until this tab is closed"
        help="It then lies in the storage of this tab and outlives a reload. Otherwise it is only in memory."
        checked={remembered.value}
        onChange={keepKey}
      />
    </Dialog>
  );
}
