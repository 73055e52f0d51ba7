import { type ReadonlySignal, signal } from "@preact/signals";
import type { JournalEntry } from "@reprise/client";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { reprise } from "../../data/api.ts";
import { visible } from "../../data/visible.ts";
import { stripAnsi } from "../../lib/ansi.ts";

/** The newest line of a run: what a tool was asked, or what was written. */
export interface LastLine {
  /** Name of the tool, before a call. */
  tool?: string;
  text: string;
  /** In the monospace. */
  code: boolean;
}

/** Between two looks at the runs, and how many are looked at: those at the top of the page. */
const EVERY_MS = 1500;
const MOST = 12;
const KINDS = ["agent_started", "text", "thinking", "tool_call", "tool_result", "stderr", "notice", "retry"];

/** An entry as one line; undefined for kinds that say nothing to people. */
export function lineOf(entry: JournalEntry): LastLine | undefined {
  const { kind } = entry;
  switch (kind.case) {
    case "text":
      return { text: lastLine(kind.value.text), code: false };
    case "agentStarted":
      return { text: "asks the model", code: false };
    case "thinking":
      return { text: "thinking", code: false };
    case "toolCall":
      return { tool: kind.value.name, text: kind.value.summary, code: true };
    case "toolResult":
    case "stderr":
      return { text: lastLine(stripAnsi(kind.value.text)), code: true };
    case "notice":
      return { text: kind.value.message, code: false };
    case "retry":
      return { text: `asks the model again, ${kind.value.number} of ${kind.value.maxCount}`, code: false };
    default:
      return undefined;
  }
}

function lastLine(text: string): string {
  const end = text.trimEnd();
  return end.slice(end.lastIndexOf("\n") + 1).trim();
}

/**
 * The newest line of each run, looked at one after the other. A stream each would take a page's connections; this takes
 * one, and asks only for what came after the line that is shown.
 */
export function useLastLines(ids: readonly string[]): ReadonlySignal<ReadonlyMap<string, LastLine>> {
  const lines = useMemo(() => signal<ReadonlyMap<string, LastLine>>(new Map()), []);
  const wanted = useRef<readonly string[]>(ids);
  wanted.current = ids.slice(0, MOST);
  const seen = visible.value;
  const any = ids.length > 0;
  useEffect(() => {
    if (!seen || !any) return;
    const stop = new AbortController();
    const sequences = new Map<string, number>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const look = async () => {
      for (const runId of wanted.current) {
        if (stop.signal.aborted) return;
        try {
          const after = sequences.get(runId) ?? 0;
          const { entries } = await reprise.runs.listJournalEntries(
            { runId, kinds: KINDS, newestFirst: true, pageSize: 1, position: { case: "afterSequence", value: after } },
            { signal: stop.signal },
          );
          const entry = entries[0];
          const line = entry && lineOf(entry);
          if (entry) sequences.set(runId, entry.sequence);
          if (line?.text) lines.value = new Map(lines.peek()).set(runId, line);
        } catch {
          // A line that cannot be read is not worth a notice: the row says the rest, and it is asked again.
        }
      }
      for (const id of sequences.keys()) if (!wanted.current.includes(id)) sequences.delete(id);
      const kept = [...lines.peek()].filter(([id]) => wanted.current.includes(id));
      if (kept.length < lines.peek().size) lines.value = new Map(kept);
      if (!stop.signal.aborted) timer = setTimeout(() => void look(), EVERY_MS);
    };
    void look();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [seen, any, lines]);
  return lines;
}
