//! The journal: everything that happened in a run, in order, each with its sequence.

use super::text_enum::text_enum;
use super::{DeliveryId, Failure, Lineage, RunState, RunWarning, SpawnPurpose, UnixMicros, Usage};

/// A place in a run's journal, from 1, without gaps, across attempts. 0 stands before the first.
pub type Sequence = i32;

text_enum! {
    /// Which prompt a run was given.
    PromptKind {
        /// The first of a conversation.
        First = "first",
        /// A later one.
        FollowUp = "follow_up",
        /// The first one with a summary of a lost conversation.
        Summary = "summary",
        /// `/compact`.
        Compact = "compact",
        /// A note to go on after an interruption.
        Retry = "retry",
    }
}

text_enum! {
    /// What a notice says.
    NoticeCode {
        /// The conversation could not be found.
        SessionLost = "session_lost",
        /// The transcript was put back from custody.
        TranscriptRestored = "transcript_restored",
        /// The transcript could not be saved.
        TranscriptNotSaved = "transcript_not_saved",
        /// The conversation was compacted.
        Compacted = "compacted",
        /// It could not be compacted.
        CompactionFailed = "compaction_failed",
        /// A new conversation began although the thread had one.
        SessionRenewed = "session_renewed",
        /// The server died under the attempt.
        Interrupted = "interrupted",
        /// Another attempt goes on.
        TakenOver = "taken_over",
        /// An attempt ended without ending the run.
        AttemptEnded = "attempt_ended",
        /// Somebody asked for the end.
        CancelRequested = "cancel_requested",
        /// Another model answered.
        ModelFallback = "model_fallback",
        /// The CLI is another version than at the last turn.
        AgentVersionChanged = "agent_version_changed",
        /// Output past the limit was left out.
        OutputTruncated = "output_truncated",
        /// The agent left processes running; they were ended.
        BackgroundWorkStopped = "background_work_stopped",
        /// Entries are missing.
        Gap = "gap",
    }
}

/// One entry of a run's journal.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Its place.
    pub sequence: Sequence,
    /// The attempt that wrote it, from 1.
    pub attempt: i32,
    /// When it was read from the agent.
    pub time: UnixMicros,
    /// The subagent's tool call it belongs to; empty for the agent itself.
    pub parent_tool_use_id: String,
    /// Some text of it was cut.
    pub truncated: bool,
    /// The agent's own line, up to 64 KiB of it; empty for entries of ours.
    pub raw: String,
    /// What happened.
    pub kind: EntryKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryKind {
    /// An attempt began.
    RunStarted { attempt: i32, lineage: Lineage, prompt: String, prompt_kind: PromptKind, delivery_ids: Vec<DeliveryId> },
    /// An agent process is up.
    AgentStarted {
        purpose: SpawnPurpose,
        agent_session_id: String,
        agent_version: String,
        model: String,
        permission_mode: String,
        tools: Vec<String>,
        mcp_servers: Vec<String>,
        credential_kind: String,
    },
    /// The agent said something.
    Text { block_id: String, text: String },
    /// The agent thought something.
    Thinking { block_id: String, text: String },
    /// The agent called a tool.
    ToolCall { tool_use_id: String, name: String, summary: String, input_json: String },
    /// A tool answered.
    ToolResult { tool_use_id: String, is_error: bool, text: String, size_bytes: i64, duration_ms: i64, image_count: i32 },
    /// What the attempt used so far.
    Usage { usage: Usage, context_tokens: i64, context_window_tokens: i64 },
    /// The agent asks the model again.
    Retry { number: i32, max_count: i32, delay_ms: i64, api_status: Option<i32>, error: String },
    /// Something that a reader should know.
    Notice { code: NoticeCode, message: String, values: Vec<(String, String)> },
    /// A line of the agent's standard error.
    Stderr { text: String },
    /// The end: exactly one per run, always last.
    Outcome {
        state: RunState,
        result_text: String,
        failure: Option<Failure>,
        usage: Usage,
        warnings: Vec<RunWarning>,
        turn_duration_ms: i64,
        api_duration_ms: i64,
    },
    /// A line we do not know; never dropped.
    Other { line_type: String, subtype: String, raw_json: String },
}

/// The block that a live run is writing, whole so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBlock {
    /// As the later entry will name it.
    pub block_id: String,
    /// Thinking, or text.
    pub thinking: bool,
    /// All text so far.
    pub text: String,
}
