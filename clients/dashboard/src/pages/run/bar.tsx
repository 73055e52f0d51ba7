import { setQuery } from "../../app/router.ts";
import { Segments } from "../../components/basics.tsx";
import { Choice, Find } from "../../components/form.tsx";
import { MenuButton } from "../../components/menu.tsx";
import { formatCount } from "../../lib/format.ts";
import { downloadRun } from "./download.ts";
import type { Hits } from "./hits.ts";
import { GROUPS, type Group } from "./rows.ts";
import type { TimeMode } from "./view.ts";

const LABEL: Record<Group, string> = { text: "Text", tools: "Tools", thinking: "Thinking", system: "System", stderr: "Stderr" };

interface Props {
  runId: string;
  counts: Record<Group, number>;
  /** The counts are of a part of the run. */
  partial: boolean;
  hidden: readonly Group[];
  hits: Hits;
  searched: string;
  time: TimeMode;
  raw: boolean;
}

/** Above the log: which kinds are shown, the search, how times are written, and the rest in a menu. */
export function LogBar({ runId, counts, partial, hidden, hits, searched, time, raw }: Props) {
  const step = (by: 1 | -1) => void hits.step(by);
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      setQuery({ q: undefined });
      if (event.target instanceof HTMLElement) event.target.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const toggle = (group: Group) => setQuery({ hide: hidden.includes(group) ? hidden.filter((one) => one !== group) : [...hidden, group] });
  const none = searched === "" || hits.count.value === 0;
  return (
    <div class="bar run-bar">
      <Segments
        label="Kinds shown"
        options={GROUPS.map((group) => ({
          value: group,
          label: LABEL[group],
          count: hidden.includes(group) ? "" : `${formatCount(counts[group])}${partial ? "+" : ""}`,
          ...(partial ? { hint: "so many of those that were read" } : {}),
        }))}
        value={GROUPS.filter((group) => !hidden.includes(group))}
        onChange={toggle}
      />
      <span class="grow" />
      <span class="search" onKeyDown={onKey}>
        <Find
          label="Search this run"
          value={searched}
          onInput={(value) => setQuery({ q: value || undefined })}
          rest={hits.error.value ? "failed" : searched === "" ? undefined : hits.text}
        />
      </span>
      <span class="seg">
        <button type="button" aria-label="Previous hit" disabled={none} onClick={() => step(-1)}>
          ‹
        </button>
        <button type="button" aria-label="Next hit" disabled={none} onClick={() => step(1)}>
          ›
        </button>
      </span>
      <Choice
        label="Since start"
        value={time}
        options={[
          { value: "clock", label: "Clock" },
          { value: "previous", label: "Since previous" },
        ]}
        onChange={(value) => setQuery({ time: value || undefined })}
      />
      <MenuButton
        label="Log"
        items={[
          raw
            ? { label: "Readable view", hint: "Cards, diffs and text", onChoose: () => setQuery({ view: undefined }) }
            : { label: "Raw lines", hint: "As the agent wrote them", onChoose: () => setQuery({ view: "raw" }) },
          { label: "Download", hint: "All raw lines and stderr, .jsonl.zst", onChoose: () => void downloadRun(runId) },
        ]}
      />
    </div>
  );
}
