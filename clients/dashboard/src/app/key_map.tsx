import { signal } from "@preact/signals";
import { Dialog } from "../components/dialog.tsx";
import { keyGroups, keyLabel } from "./keys.ts";

/** Whether the map of the keys is open. */
export const keyMap = signal(false);

/** What every key does on this page. */
export function KeyMap() {
  return (
    <Dialog title="Keys" wide onClose={() => (keyMap.value = false)}>
      <div class="keymap">
        {keyGroups.value
          .filter((group) => Object.keys(group.table.current).length > 0)
          .map((group) => (
            <div key={group.title}>
              <h3>{group.title}</h3>
              {Object.entries(group.table.current).map(([key, action]) => (
                <p key={key}>
                  {action.label}
                  <kbd>{keyLabel(key)}</kbd>
                </p>
              ))}
            </div>
          ))}
      </div>
    </Dialog>
  );
}
