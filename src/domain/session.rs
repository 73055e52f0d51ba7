//! A session: the conversation that a thread key finds, and the unit of scheduling.

use uuid::Uuid;

use super::text_enum::text_enum;
use super::{RunId, SessionId, TriggerId, UnixMicros, Usage};

text_enum! {
    /// What a session row stands for.
    SessionKind {
        /// A thread: later deliveries of the same key continue it.
        Thread = "thread",
        /// One run without a thread; listed nowhere and gone with its run.
        Once = "once",
    }
}

text_enum! {
    /// Where a session is.
    SessionState {
        /// Nothing queued, nothing live. The next delivery or compaction moves it on.
        Idle = "idle",
        /// Its head run is queued; the claim moves it on.
        Queued = "ready",
        /// Its head run is live; the worker that holds the lease moves it on.
        Running = "running",
    }
}

text_enum! {
    /// Why a conversation began.
    SessionOrigin {
        /// The thread's first.
        First = "first",
        /// Somebody reset the session.
        Reset = "reset",
        /// The one before was too old to continue.
        Expired = "expired",
        /// The trigger changed so that the one before no longer fits.
        Changed = "changed",
        /// The one before could not be found, here or in custody.
        Lost = "lost",
        /// It is a copy of another session's.
        Fork = "fork",
    }
}

/// The conversation that a thread key finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Stable for the thread's whole life.
    pub id: SessionId,
    /// Whose thread.
    pub trigger_id: TriggerId,
    /// That trigger's slug.
    pub trigger_slug: String,
    /// What ties deliveries together; none for [`SessionKind::Once`].
    pub thread_key: Option<String>,
    /// As last seen in an event.
    pub title: String,
    /// As last seen in an event.
    pub url: String,
    /// Thread or once.
    pub kind: SessionKind,
    /// Where it is.
    pub state: SessionState,
    /// Counts conversations of this thread, from 1.
    pub generation: i32,
    /// What `claude --resume` takes; none before the first turn and after a reset.
    pub agent_session_id: Option<Uuid>,
    /// What a conversation must fit to be continued: agent, profile rules, flags, workspace kind; none before the first turn.
    pub fingerprint: Option<String>,
    /// Why this conversation began (or, before its first turn, will begin).
    pub origin: SessionOrigin,
    /// Which CLI.
    pub agent: String,
    /// Which profile.
    pub profile: String,
    /// The last turn's model.
    pub model: String,
    /// Turns of this generation.
    pub turn_count: i32,
    /// Turns since the last compaction of this generation.
    pub turns_since_compaction: i32,
    /// Runs of all generations.
    pub run_count: i32,
    /// Runs that wait.
    pub queued_run_count: i32,
    /// The live run.
    pub live_run_id: Option<RunId>,
    /// The newest run that began.
    pub last_run_id: Option<RunId>,
    /// Sums all runs of all generations.
    pub usage: Usage,
    /// Cache health of the last continued turn.
    pub last_cache_share: Option<f64>,
    /// Bytes of transcript in custody, as they are on disk.
    pub transcript_bytes: i64,
    /// Tokens of context of the last turn.
    pub context_tokens: i64,
    /// The session that this one is a copy of.
    pub forked_from: Option<SessionId>,
    /// The run after which it was copied.
    pub forked_run_id: Option<RunId>,
    /// For people; only copies have one.
    pub display_name: String,
    /// When the thread was first seen.
    pub create_time: UnixMicros,
    /// When its last run began or ended.
    pub last_use_time: UnixMicros,
    /// Earlier conversations and this one, oldest first; empty in lists.
    pub conversations: Vec<Conversation>,
}

impl Session {
    /// What a turn has to know of it.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory {
            id: self.id,
            kind: self.kind,
            generation: self.generation,
            agent_session_id: self.agent_session_id,
            fingerprint: self.fingerprint.clone(),
            origin: self.origin,
            turn_count: self.turn_count,
            turns_since_compaction: self.turns_since_compaction,
            last_run_id: self.last_run_id,
            forked_run_id: self.forked_run_id,
            last_use_time: self.last_use_time,
        }
    }
}

/// What a turn has to know of its session. The fields are those of [`Session`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of Session")]
pub struct Memory {
    pub id: SessionId,
    pub kind: SessionKind,
    pub generation: i32,
    pub agent_session_id: Option<Uuid>,
    pub fingerprint: Option<String>,
    pub origin: SessionOrigin,
    pub turn_count: i32,
    pub turns_since_compaction: i32,
    pub last_run_id: Option<RunId>,
    pub forked_run_id: Option<RunId>,
    pub last_use_time: UnixMicros,
}

impl Memory {
    /// Whether this is a copy that no run but this one (if any) has used: its run then got its memory from the copy.
    #[must_use]
    pub fn is_unused_copy(&self, run: Option<RunId>) -> bool {
        self.origin == SessionOrigin::Fork && self.last_run_id.is_none_or(|last| Some(last) == run)
    }
}

/// One conversation of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its number.
    pub generation: i32,
    /// Its id at the agent.
    pub agent_session_id: Uuid,
    /// Why it began.
    pub origin: SessionOrigin,
    /// The run that began it.
    pub cause_run_id: Option<RunId>,
    /// When.
    pub start_time: UnixMicros,
    /// How many turns it had.
    pub turn_count: i32,
    /// The session whose conversation it is a copy of.
    pub from_session_id: Option<SessionId>,
}

text_enum! {
    /// What a list of sessions is ordered by, largest first.
    SessionOrder {
        /// Last use.
        LastUse = "last_use",
        /// Cost of all its runs.
        Cost = "cost",
        /// Bytes in custody.
        Size = "size",
    }
}

/// Which sessions a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionFilter {
    /// Only this trigger's.
    pub trigger_id: Option<TriggerId>,
    /// Only this key.
    pub thread_key: Option<String>,
    /// Only those whose key or title holds this text, without case.
    pub query: Option<String>,
    /// Only these states.
    pub states: Vec<SessionState>,
    /// With the stale threshold: only stale, or only fresh ones.
    pub stale: Option<(bool, UnixMicros)>,
}

/// What sessions take on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SessionStorage {
    /// Threads.
    pub session_count: i32,
    /// Threads past the threshold.
    pub stale_session_count: i32,
    /// Threads with a live run.
    pub live_session_count: i32,
    /// Custody as stored, compressed.
    pub transcript_bytes: i64,
    /// Custody as it was on disk.
    pub transcript_raw_bytes: i64,
    /// Journal as stored, compressed.
    pub journal_bytes: i64,
    /// The database's size.
    pub database_bytes: i64,
    /// When the least recently used thread was used.
    pub oldest_use_time: Option<UnixMicros>,
}
