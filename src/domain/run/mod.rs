//! A run: one prompt, and every attempt at it.

mod failure;
mod transition;

pub use failure::{Failure, FailureReason};
pub use transition::{IllegalTransition, RunEvent, RunStatus, transition};

use super::text_enum::text_enum;
use super::{DeliveryId, RunId, Sequence, SessionId, TriggerId, UnixMicros, Usage, WorkerId};

text_enum! {
    /// What a run does.
    RunKind {
        /// One turn of a conversation.
        Turn = "turn",
        /// Compaction of a conversation, asked for by hand.
        Compaction = "compaction",
    }
}

text_enum! {
    /// Where a run is, as callers see it.
    RunState {
        /// It waits for its turn.
        Queued = "queued",
        /// It waits for something that has a name.
        Waiting = "waiting",
        /// It is live.
        Running = "running",
        /// Its end was asked for.
        Cancelling = "cancelling",
        /// It worked.
        Succeeded = "succeeded",
        /// It did not, and says why.
        Failed = "failed",
        /// Somebody ended it.
        Cancelled = "cancelled",
    }
}

impl RunState {
    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

text_enum! {
    /// What a waiting run waits for.
    WaitReason {
        /// More events of the same burst.
        QuietPeriod = "quiet_period",
        /// The loop breaker's hour.
        Breaker = "breaker",
        /// Its trigger to be enabled.
        TriggerDisabled = "trigger_disabled",
        /// A free place under a cap.
        RunCap = "run_cap",
    }
}

/// What a waiting run waits for, and until when if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// What for.
    pub reason: WaitReason,
    /// Until when at the latest.
    pub until: Option<UnixMicros>,
    /// One sentence.
    pub message: String,
}

text_enum! {
    /// How a run got its memory.
    Lineage {
        /// It began a conversation.
        Fresh = "fresh",
        /// It continued one.
        Continued = "continued",
        /// It continued one whose transcript was put back first.
        Restored = "restored",
        /// It began anew with a summary, since the conversation was lost.
        Recovered = "recovered",
        /// It began anew, since the conversation was reset, expired or no longer fits.
        Renewed = "renewed",
        /// It continued a copy of one.
        Forked = "forked",
    }
}

text_enum! {
    /// Which conversation a hand-made run wants.
    SessionMode {
        /// What the trigger says.
        Default = "default",
        /// A new one.
        Fresh = "fresh",
        /// The thread's, or fail.
        Resume = "resume",
        /// A copy of the thread's, in a session of its own.
        Fork = "fork",
    }
}

text_enum! {
    /// When a live run that is cancelled is stopped.
    CancelMode {
        /// At once.
        Now = "now",
        /// When the tool call that is running has answered; at once while none runs.
        AfterStep = "after_step",
    }
}

text_enum! {
    /// Who asked for a run.
    RequesterKind {
        /// The webhook's sender.
        Sender = "sender",
        /// The holder of an API key.
        Key = "key",
        /// The server itself.
        System = "system",
    }
}

/// Who asked for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// What kind.
    pub kind: RequesterKind,
    /// The actor's or key's id.
    pub id: String,
    /// For people.
    pub display_name: String,
}

text_enum! {
    /// Who pays for the tokens.
    Billing {
        /// An API key: dollars are real.
        Api = "api",
        /// A subscription: dollars are nominal.
        Subscription = "subscription",
    }
}

text_enum! {
    /// What a reader of a finished run should know.
    RunWarning {
        /// A continued turn read little from the prompt cache.
        CacheCold = "cache_cold",
        /// A tool was denied.
        ToolsDenied = "tools_denied",
        /// The agent left processes running; they were ended.
        BackgroundWorkStopped = "background_work_stopped",
        /// The transcript was put back first.
        SessionRestored = "session_restored",
        /// The conversation was lost; the run began anew with a summary.
        SessionRecovered = "session_recovered",
        /// Compaction failed; the run went on.
        CompactionFailed = "compaction_failed",
        /// Another model answered.
        ModelFallback = "model_fallback",
        /// Output past the limit was left out.
        OutputTruncated = "output_truncated",
        /// More than 80 % of the allowed cost was used.
        NearMaxCost = "near_max_cost",
        /// The transcript could not be saved.
        TranscriptNotSaved = "transcript_not_saved",
        /// The run was not sandboxed.
        NotSandboxed = "not_sandboxed",
    }
}

/// One prompt, and every attempt at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose.
    pub trigger_id: TriggerId,
    /// That trigger's slug.
    pub trigger_slug: String,
    /// In which session.
    pub session_id: SessionId,
    /// Its place in that session's order, from 1.
    pub seq: i64,
    /// The thread; none for a run of its own.
    pub thread_key: Option<String>,
    /// As the event had it.
    pub title: String,
    /// Turn or compaction.
    pub kind: RunKind,
    /// Where it is.
    pub status: RunStatus,
    /// What it waits for, while queued.
    pub wait: Option<Wait>,
    /// How it got its memory; none before it began.
    pub lineage: Option<Lineage>,
    /// The run whose conversation it continued.
    pub continued_from: Option<RunId>,
    /// The run it repeats.
    pub retry_of: Option<RunId>,
    /// Which conversation of its session.
    pub generation: i32,
    /// Which turn of that conversation.
    pub turn: i32,
    /// The first 50 deliveries it answers, in order of arrival.
    pub delivery_ids: Vec<DeliveryId>,
    /// How many it answers.
    pub delivery_count: i32,
    /// Who asked.
    pub requested_by: Requester,
    /// Attempts so far.
    pub attempt: i32,
    /// Each attempt; empty in lists.
    pub attempts: Vec<Attempt>,
    /// The model that answered.
    pub model: String,
    /// The CLI's version.
    pub agent_version: String,
    /// The profile it ran under.
    pub profile: String,
    /// Who pays.
    pub billing: Option<Billing>,
    /// What it used so far, over all attempts.
    pub usage: Usage,
    /// The same by model; empty in lists.
    pub by_model: Vec<(String, Usage)>,
    /// Its limit in dollars; 0: none.
    pub max_cost: super::NanoUsd,
    /// Tokens of context of its last turn.
    pub context_tokens: i64,
    /// How many its model can hold.
    pub context_window_tokens: i64,
    /// The final text.
    pub result_text: String,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What a reader should know.
    pub warnings: Vec<RunWarning>,
    /// Runs before it in its session; 0 when it is next or live.
    pub queue_position: i32,
    /// When it was queued.
    pub create_time: UnixMicros,
    /// When its first attempt began.
    pub start_time: Option<UnixMicros>,
    /// When it ended.
    pub end_time: Option<UnixMicros>,
    /// The first entry that its journal still holds.
    pub first_sequence: Sequence,
    /// The last entry of its journal.
    pub last_sequence: Sequence,
}

impl Run {
    /// Where it is, as callers see it.
    #[must_use]
    pub fn state(&self) -> RunState {
        match self.status {
            RunStatus::Queued if self.wait.is_some() => RunState::Waiting,
            RunStatus::Queued => RunState::Queued,
            RunStatus::Starting | RunStatus::Running => RunState::Running,
            RunStatus::Cancelling => RunState::Cancelling,
            RunStatus::Succeeded => RunState::Succeeded,
            RunStatus::Failed => RunState::Failed,
            RunStatus::Cancelled => RunState::Cancelled,
        }
    }
}

/// One claim of a run by one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// How it got its memory.
    pub lineage: Option<Lineage>,
    /// The conversation's id at the agent.
    pub agent_session_id: String,
    /// The CLI's version.
    pub agent_version: String,
    /// Which server.
    pub worker: WorkerId,
    /// Which version of the trigger it used.
    pub trigger_version: i64,
    /// When it began.
    pub start_time: UnixMicros,
    /// When it ended.
    pub end_time: Option<UnixMicros>,
    /// How it ended: `succeeded`, `failed`, `cancelled` or `interrupted`; empty while live.
    pub exit: String,
    /// What it used.
    pub usage: Usage,
    /// Why it failed.
    pub failure: Option<Failure>,
}

/// Which runs a list holds. Fields combine with AND, repeated values with OR.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFilter {
    /// Only this trigger's.
    pub trigger_id: Option<TriggerId>,
    /// Only this session's.
    pub session_id: Option<SessionId>,
    /// Only those that answer this delivery.
    pub delivery_id: Option<DeliveryId>,
    /// Only this thread's.
    pub thread_key: Option<String>,
    /// Only these states.
    pub states: Vec<RunState>,
    /// Only these failures.
    pub failure_reasons: Vec<FailureReason>,
    /// Only these kinds of memory.
    pub lineages: Vec<Lineage>,
    /// Queued at or after.
    pub start_time: Option<UnixMicros>,
    /// Queued before.
    pub end_time: Option<UnixMicros>,
}
