import type { ComponentChildren } from "preact";
import { useKeys } from "../app/keys.ts";
import { Button } from "./basics.tsx";
import "../style/save_bar.css";

/** What is not saved yet, and the one button that saves it. Stands at the foot of a form while something was changed. */
export function SaveBar({
  label = "Save",
  dirty,
  busy,
  problem,
  blocked = false,
  children,
  onSave,
  onDiscard,
}: {
  label?: string;
  dirty: boolean;
  busy: boolean;
  /** Why it cannot be saved as it is. */
  problem?: string | undefined;
  /** It cannot be tried before something is put right. */
  blocked?: boolean;
  /** What saving does besides. */
  children?: ComponentChildren;
  onSave: () => void;
  onDiscard: () => void;
}) {
  useKeys("Form", {
    "mod+s": {
      label: "Save",
      always: true,
      run: () => {
        if (dirty && !busy && !blocked) onSave();
      },
    },
  });
  if (!dirty) return null;
  return (
    <div class="save-bar" role="group" aria-label="Unsaved changes">
      <div class="grow" role="status">
        {problem ? <span class="c-red">{problem}</span> : children}
      </div>
      <Button onClick={onDiscard}>Discard</Button>
      <Button primary busy={busy} disabled={blocked} onClick={onSave}>
        {label}
      </Button>
    </div>
  );
}
