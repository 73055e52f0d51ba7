import { toJsonString } from "@bufbuild/protobuf";
import { JournalEntrySchema } from "@reprise/client";
import { useState } from "preact/hooks";
import { CurrentHit, Marked } from "../../components/marked.tsx";
import { formatCount } from "../../lib/format.ts";
import type { Row } from "./rows.ts";
import { exactTime, type LogView, timeText } from "./view.ts";

const LONGEST = 1500;

/** An entry as the agent wrote it: one line, and nothing made of it. */
export function RawRow({ row, view }: { row: Row; view: LogView }) {
  const [whole, setWhole] = useState(false);
  const { entry } = row;
  if (!entry) return null;
  const text = entry.raw || toJsonString(JournalEntrySchema, entry);
  const cut = !whole && text.length > LONGEST;
  return (
    <div class="e raw" aria-current={view.current === row.key ? "true" : undefined}>
      <a class="at" href={`#s${entry.sequence}`} title={`${exactTime(row)} · entry ${entry.sequence}`}>
        {timeText(row, view)}
      </a>
      <CurrentHit.Provider value={view.hit === row.key}>
        <pre class={`pre ${entry.raw ? "" : "f3"}`} title={entry.raw ? undefined : "made by the server, as JSON"}>
          <Marked text={cut ? text.slice(0, LONGEST) : text} />
          {cut && (
            <button type="button" class="plain f2" onClick={() => setWhole(true)}>
              … {formatCount(text.length - LONGEST)} more characters
            </button>
          )}
        </pre>
      </CurrentHit.Provider>
    </div>
  );
}
