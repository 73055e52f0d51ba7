import { Button } from "../../components/basics.tsx";
import { Dialog } from "../../components/dialog.tsx";
import { pathWord } from "./draft.ts";

/** Somebody else saved the same trigger: whose change stands? */
export function Conflict({
  mine,
  theirs,
  busy,
  onClose,
  onReload,
  onOverwrite,
}: {
  mine: readonly string[];
  theirs: readonly string[];
  busy: boolean;
  onClose: () => void;
  onReload: () => void;
  onOverwrite: () => void;
}) {
  const both = mine.filter((path) => theirs.includes(path));
  return (
    <Dialog
      title="Changed meanwhile"
      onClose={onClose}
      end={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button danger onClick={onReload}>
            Reload
          </Button>
          <Button primary busy={busy} onClick={onOverwrite}>
            Overwrite
          </Button>
        </>
      }
    >
      <p>
        Somebody saved this trigger after you opened it{theirs.length > 0 && <>: {theirs.map(pathWord).join(", ")}</>}. Nothing of yours was
        saved.
      </p>
      <p>
        Reload loses your changes: {mine.map(pathWord).join(", ")}.{" "}
        {both.length > 0
          ? `Overwrite replaces theirs in ${both.map(pathWord).join(", ")} and keeps the rest.`
          : "Overwrite writes yours beside theirs; nothing of theirs is lost."}
      </p>
    </Dialog>
  );
}
