//! What a claim gives to the runner, and what the runner gives back.

use std::sync::Arc;

use uuid::Uuid;

use crate::domain::{
    Billing, Delivery, DeliveryId, DeliveryPayload, Failure, LeaseId, Lineage, Manifest, Memory, NanoUsd, PromptKind, RunId, RunKind,
    RunWarning, SessionId, SessionMode, SessionOrigin, Settings, Trigger, Usage,
};

/// The fence of one claim. Every write of a worker carries it, and counts only while it is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Random per claim.
    pub id: LeaseId,
    /// The claimed session.
    pub session_id: SessionId,
    /// Its head run.
    pub run_id: RunId,
    /// Which attempt at it, from 1.
    pub attempt: i32,
}

/// Everything the runner needs for one attempt, read in the claim or right after it.
#[derive(Debug, Clone)]
pub struct Assignment {
    /// The fence.
    pub lease: Lease,
    /// The run as claimed.
    pub run: ClaimedRun,
    /// Its session; `last_use_time` and `last_run_id` are those before the claim.
    pub session: Memory,
    /// The trigger as it is now.
    pub trigger: Arc<Trigger>,
    /// The settings as they are now.
    pub settings: Arc<Settings>,
    /// The deliveries it answers, oldest first.
    pub deliveries: Vec<WorkedDelivery>,
    /// Which conversation is wanted.
    pub session_mode: SessionMode,
    /// A prompt that was given instead of made.
    pub prompt_override: Option<String>,
    /// The prompt of the attempt before, if there was one.
    pub stored_prompt: Option<(PromptKind, String)>,
    /// The attempts before this one, oldest first.
    pub earlier: Vec<EarlierAttempt>,
    /// Which files of the conversation are in custody.
    pub manifest: Manifest,
    /// What the agent said the conversation cost in all, where that is the only figure it gives.
    pub agent_total_cost: NanoUsd,
    /// The CLI's version at the conversation's last turn; empty before it.
    pub last_agent_version: String,
}

/// What an attempt has to know of its run.
#[derive(Debug, Clone)]
pub struct ClaimedRun {
    /// Its id.
    pub id: RunId,
    /// A turn, or a compaction.
    pub kind: RunKind,
    /// Its place in the session.
    pub seq: i64,
    /// Which turn of its conversation it is, from 1.
    pub turn: i32,
    /// Its trigger's slug.
    pub trigger_slug: String,
    /// The thread; none for a run without one.
    pub thread_key: Option<String>,
    /// What earlier attempts got their memory from, if there were any.
    pub lineage: Option<Lineage>,
    /// What earlier attempts cost.
    pub spent: NanoUsd,
    /// What it answers, oldest first.
    pub delivery_ids: Vec<DeliveryId>,
}

/// A delivery with its payload.
#[derive(Debug, Clone)]
pub struct WorkedDelivery {
    /// As listed.
    pub delivery: Delivery,
    /// Headers and raw body.
    pub payload: DeliveryPayload,
}

/// What is known of an attempt before this one.
#[derive(Debug, Clone)]
pub struct EarlierAttempt {
    /// From 1.
    pub number: i32,
    /// The conversation it used.
    pub agent_session_id: Option<Uuid>,
    /// How it ended.
    pub exit: String,
}

/// A piece of a file, at most 256 KiB before compression.
#[derive(Debug, Clone)]
pub struct TranscriptPart {
    /// Which conversation.
    pub generation: i32,
    /// Which rewrite.
    pub rewrite: i32,
    /// Which file.
    pub path: String,
    /// Which part, from 0.
    pub part: i32,
    /// Where it begins.
    pub byte_from: i64,
    /// Where it ends.
    pub byte_to: i64,
    /// Hex SHA-256 of the piece.
    pub sha256: String,
    /// The piece, compressed with zstd.
    pub body_zstd: Vec<u8>,
}

/// A conversation is about to begin: stored, fenced, before the process is spawned.
#[derive(Debug, Clone)]
pub struct ConversationStart {
    /// Its generation: 1 for the first, else one more than before.
    pub generation: i32,
    /// The id we give it.
    pub agent_session_id: Uuid,
    /// Why it begins.
    pub origin: SessionOrigin,
    /// What it must fit to be continued.
    pub fingerprint: String,
}

/// What one spawn used; added to the run's, the attempt's and the session's sums as soon as it is known.
#[derive(Debug, Clone)]
pub struct SpawnUsage {
    /// All of it.
    pub usage: Usage,
    /// The same by model.
    pub by_model: Vec<(String, Usage)>,
    /// The agent's running total after it, where it tells one.
    pub agent_total_cost: Option<NanoUsd>,
    /// Tokens of context at its end.
    pub context_tokens: i64,
    /// How many the model can hold.
    pub context_window_tokens: i64,
}

/// How a run ends.
#[derive(Debug, Clone)]
pub enum RunEnd {
    /// It worked, with this text.
    Succeeded(String),
    /// It did not.
    Failed {
        /// Why.
        failure: Failure,
        /// What it said before, if anything.
        text: String,
    },
    /// Somebody ended it.
    Cancelled,
}

/// The end of a run: one transaction writes run, attempt, session, limits, manifest and the outcome entry.
#[derive(Debug, Clone)]
pub struct Finish {
    /// How it ends.
    pub end: RunEnd,
    /// What a reader should know.
    pub warnings: Vec<RunWarning>,
    /// How it got its memory.
    pub lineage: Option<Lineage>,
    /// The model that answered.
    pub model: String,
    /// The CLI's version.
    pub agent_version: String,
    /// Who pays.
    pub billing: Option<Billing>,
    /// What it leaves of the conversation; none: the conversation did not advance.
    pub conversation: Option<ConversationUpdate>,
    /// Wall time of its turns, for the outcome entry.
    pub turn_duration_ms: i64,
    /// Of it, time in the model's API.
    pub api_duration_ms: i64,
}

/// What a run leaves of its conversation. Ignored when the session's generation has moved on meanwhile (a reset).
#[derive(Debug, Clone)]
pub struct ConversationUpdate {
    /// The generation it belongs to.
    pub generation: i32,
    /// The id that counts from here on.
    pub agent_session_id: Uuid,
    /// Turns it added (compaction is not one).
    pub turns: i32,
    /// Whether it was compacted before or by this run.
    pub compacted: bool,
    /// What is in custody now; none: as before.
    pub manifest: Option<Manifest>,
    /// Cache health, for a continued turn.
    pub cache_share: Option<f64>,
}
