import { Lineage, NoticeCode, type NoticeEntry, PromptKind, type Run, RunWarning, WaitReason } from "@reprise/client";
import type { Mark } from "../../lib/words.ts";
import { lineageWord } from "../../lib/words.ts";

/** How a notice looks: its mark, its name, and whether it tells that the run goes on from an earlier one. */
export interface NoticeLook {
  mark: Mark;
  title: string;
  continues?: boolean;
}

const NOTICE: Record<NoticeCode, NoticeLook> = {
  [NoticeCode.UNSPECIFIED]: { mark: "none", title: "Notice" },
  [NoticeCode.SESSION_LOST]: { mark: "waiting", title: "Conversation lost" },
  [NoticeCode.TRANSCRIPT_RESTORED]: { mark: "none", title: "Transcript restored", continues: true },
  [NoticeCode.COMPACTED]: { mark: "none", title: "Compacted" },
  [NoticeCode.COMPACTION_FAILED]: { mark: "waiting", title: "Compaction failed" },
  [NoticeCode.INTERRUPTED]: { mark: "waiting", title: "Interrupted" },
  [NoticeCode.TAKEN_OVER]: { mark: "none", title: "Taken over", continues: true },
  [NoticeCode.CANCEL_REQUESTED]: { mark: "waiting", title: "Cancel requested" },
  [NoticeCode.ATTEMPT_ENDED]: { mark: "none", title: "Attempt ended" },
  [NoticeCode.MODEL_FALLBACK]: { mark: "waiting", title: "Another model" },
  [NoticeCode.AGENT_VERSION_CHANGED]: { mark: "none", title: "Agent changed" },
  [NoticeCode.OUTPUT_TRUNCATED]: { mark: "waiting", title: "Output cut" },
  [NoticeCode.TRANSCRIPT_NOT_SAVED]: { mark: "waiting", title: "Transcript not saved" },
  [NoticeCode.BACKGROUND_WORK_STOPPED]: { mark: "waiting", title: "Background work stopped" },
  [NoticeCode.SESSION_RENEWED]: { mark: "none", title: "New conversation" },
};

export function noticeLook(notice: NoticeEntry): NoticeLook {
  return NOTICE[notice.code] ?? NOTICE[NoticeCode.UNSPECIFIED];
}

const WARNING: Record<RunWarning, string> = {
  [RunWarning.UNSPECIFIED]: "warning",
  [RunWarning.CACHE_COLD]: "The prompt cache was gone, so this turn cost more.",
  [RunWarning.TOOLS_DENIED]: "The agent asked for tools that its profile denies.",
  [RunWarning.BACKGROUND_WORK_STOPPED]: "Processes that the agent left behind were stopped.",
  [RunWarning.SESSION_RESTORED]: "The transcript had to be put back from the store first.",
  [RunWarning.SESSION_RECOVERED]: "The conversation was lost; a new one began with a summary.",
  [RunWarning.COMPACTION_FAILED]: "The conversation was due to be compacted, but that failed.",
  [RunWarning.MODEL_FALLBACK]: "The agent used another model than asked for.",
  [RunWarning.OUTPUT_TRUNCATED]: "Output was too large and is kept in part only.",
  [RunWarning.NEAR_MAX_COST]: "It used at least four fifths of what it may cost.",
  [RunWarning.TRANSCRIPT_NOT_SAVED]: "The transcript could not be saved; this turn may be forgotten.",
  [RunWarning.NOT_SANDBOXED]: "The agent ran without a sandbox, with the rights of the server's user.",
};

export function warningText(warning: RunWarning): string {
  return WARNING[warning] ?? WARNING[RunWarning.UNSPECIFIED];
}

const PROMPT: Record<PromptKind, string> = {
  [PromptKind.UNSPECIFIED]: "",
  [PromptKind.FIRST]: "first template",
  [PromptKind.FOLLOW_UP]: "follow-up template",
  [PromptKind.SUMMARY]: "with a summary",
  [PromptKind.COMPACT]: "to compact",
  [PromptKind.RETRY]: "once more",
};

export function promptKind(kind: PromptKind): string {
  return PROMPT[kind] ?? "";
}

const LINEAGE: Record<Lineage, string> = {
  [Lineage.UNSPECIFIED]: "",
  [Lineage.FRESH]: "fresh",
  [Lineage.CONTINUED]: "continued",
  [Lineage.RESTORED]: "continued, transcript restored",
  [Lineage.RECOVERED]: "recovered with a summary",
  [Lineage.RENEWED]: "fresh, the one before ended",
  [Lineage.FORKED]: "forked",
};

export function lineageText(lineage: Lineage): string {
  return LINEAGE[lineage] ?? "";
}

/** How a run got its memory, and which turn of its conversation it is: `continued · turn 2`. */
export function memoryWords({ lineage, turn }: Pick<Run, "lineage" | "turn">): string {
  if (lineage === Lineage.UNSPECIFIED) return "–";
  return turn > 1 ? `${lineageWord(lineage)} · turn ${turn}` : lineageWord(lineage);
}

const WAIT: Record<WaitReason, string> = {
  [WaitReason.UNSPECIFIED]: "waits for its turn",
  [WaitReason.QUIET_PERIOD]: "waits for further events to join it",
  [WaitReason.BREAKER]: "held by the loop breaker",
  [WaitReason.TRIGGER_DISABLED]: "its trigger is disabled",
  [WaitReason.RUN_CAP]: "its trigger has as many live runs as it may",
};

/** Why a run has not started yet, in a sentence; empty when it has. */
export function waitText(run: Run): string {
  if (run.wait) return run.wait.message || (WAIT[run.wait.reason] ?? WAIT[WaitReason.UNSPECIFIED]);
  if (run.queuePosition > 1) return `behind ${run.queuePosition - 1} ${run.queuePosition === 2 ? "run" : "runs"} of its thread`;
  return run.queuePosition === 1 ? "next of its thread; waits for a free place" : "";
}
