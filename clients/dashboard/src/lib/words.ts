import {
  DeliveryOutcome,
  DeliveryReason,
  FailureReason,
  Lineage,
  type Run,
  RunState,
  type Session,
  SessionState,
  Source,
  Stage,
} from "@reprise/client";

/** What a state looks like; the shape differs as well as the colour. */
export type Mark = "live" | "ok" | "failed" | "waiting" | "none";

/** A state as it is shown. */
export interface Shown {
  mark: Mark;
  word: string;
}

const RUN: Record<RunState, Shown> = {
  [RunState.UNSPECIFIED]: { mark: "none", word: "unknown" },
  [RunState.QUEUED]: { mark: "waiting", word: "queued" },
  [RunState.WAITING]: { mark: "waiting", word: "waiting" },
  [RunState.RUNNING]: { mark: "live", word: "running" },
  [RunState.CANCELLING]: { mark: "live", word: "cancelling" },
  [RunState.SUCCEEDED]: { mark: "ok", word: "succeeded" },
  [RunState.FAILED]: { mark: "failed", word: "failed" },
  [RunState.CANCELLED]: { mark: "none", word: "cancelled" },
};

export function runState(state: RunState): Shown {
  return RUN[state] ?? RUN[RunState.UNSPECIFIED];
}

/** Whether a run has ended. */
export function runEnded(run: Pick<Run, "state">): boolean {
  return run.state === RunState.SUCCEEDED || run.state === RunState.FAILED || run.state === RunState.CANCELLED;
}

const OUTCOME: Record<DeliveryOutcome, Shown> = {
  [DeliveryOutcome.UNSPECIFIED]: { mark: "none", word: "unknown" },
  [DeliveryOutcome.QUEUED]: { mark: "ok", word: "started" },
  [DeliveryOutcome.COALESCED]: { mark: "none", word: "merged" },
  [DeliveryOutcome.DUPLICATE]: { mark: "none", word: "duplicate" },
  [DeliveryOutcome.FILTERED]: { mark: "none", word: "filtered" },
  [DeliveryOutcome.SELF_AUTHORED]: { mark: "none", word: "self-authored" },
  [DeliveryOutcome.DROPPED]: { mark: "none", word: "dropped" },
  [DeliveryOutcome.REJECTED]: { mark: "failed", word: "rejected" },
  [DeliveryOutcome.HANDSHAKE]: { mark: "none", word: "handshake" },
};

export function deliveryOutcome(outcome: DeliveryOutcome): Shown {
  return OUTCOME[outcome] ?? OUTCOME[DeliveryOutcome.UNSPECIFIED];
}

const SESSION: Record<SessionState, Shown> = {
  [SessionState.UNSPECIFIED]: { mark: "none", word: "unknown" },
  [SessionState.IDLE]: { mark: "none", word: "idle" },
  [SessionState.QUEUED]: { mark: "waiting", word: "queued" },
  [SessionState.RUNNING]: { mark: "live", word: "running" },
};

export function sessionState(session: Pick<Session, "state" | "stale">): Shown {
  if (session.stale && session.state === SessionState.IDLE) return { mark: "none", word: "stale" };
  return SESSION[session.state] ?? SESSION[SessionState.UNSPECIFIED];
}

const SOURCE: Record<Source, string> = {
  [Source.UNSPECIFIED]: "unknown",
  [Source.MANUAL]: "by hand",
  [Source.GITHUB]: "GitHub",
  [Source.LINEAR]: "Linear",
  [Source.CLICKUP]: "ClickUp",
  [Source.STANDARD_WEBHOOKS]: "Standard Webhooks",
  [Source.GENERIC_HMAC]: "any sender with HMAC",
};

export function sourceName(source: Source): string {
  return SOURCE[source] ?? SOURCE[Source.UNSPECIFIED];
}

const STAGE: Record<Stage, string> = {
  [Stage.UNSPECIFIED]: "Step",
  [Stage.VERIFY]: "Verified",
  [Stage.PARSE]: "Read",
  [Stage.AUTHOR]: "Author",
  [Stage.FILTER]: "Filter",
  [Stage.THREAD_KEY]: "Thread",
  [Stage.DEDUPE]: "Repeat",
  [Stage.POLICY]: "Queued",
  [Stage.PROMPT]: "Prompt",
};

export function stageName(stage: Stage): string {
  return STAGE[stage] ?? STAGE[Stage.UNSPECIFIED];
}

/** Lower-case words of an enum value: `FAILURE_REASON_MAX_COST` is `max_cost`, as it stands in the API. */
export const lineageWord = (value: Lineage) => wordOf(Lineage, value);
export const failureWord = (value: FailureReason) => wordOf(FailureReason, value);
export const reasonWord = (value: DeliveryReason) => wordOf(DeliveryReason, value).replaceAll("_", " ");

function wordOf(names: Record<number, string>, value: number): string {
  return (names[value] ?? "unknown").toLowerCase();
}
