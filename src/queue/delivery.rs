//! What intake hands over, and what it gets back.

use std::time::Duration;

use crate::domain::{
    BusyPolicy, DeliveryId, DeliveryOrigin, DeliveryOutcome, DeliveryReason, Event, Header, Mark, Requester, RunId, RunKind, SessionId,
    SessionMode, SessionState, Source, TriggerId, UnixMicros, WaitReason,
};

/// A verified, parsed and judged delivery, ready to be stored.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Ours, made by intake.
    pub id: DeliveryId,
    /// The trigger; none for an unknown hook (only rejected deliveries lack it).
    pub trigger_id: Option<TriggerId>,
    /// Its slug.
    pub trigger_slug: String,
    /// Which provider.
    pub source: Source,
    /// Through which door.
    pub origin: DeliveryOrigin,
    /// The provider's id; empty when it gives none.
    pub provider_delivery_id: String,
    /// What makes two deliveries the same; none: nothing does.
    pub dedupe: Option<DedupeKey>,
    /// What it means.
    pub event: Event,
    /// The thread key in force (the trigger's expression, else the source's default), for display too.
    pub thread_key: Option<String>,
    /// In order of arrival, secrets replaced.
    pub headers: Vec<Header>,
    /// The raw body, compressed with zstd by intake; none: it is not kept.
    pub body_zstd: Option<Vec<u8>>,
    /// Its size, whole.
    pub body_bytes: i64,
    /// When its last byte was read.
    pub receive_time: UnixMicros,
    /// What the rules said.
    pub disposition: Disposition,
    /// What each of them found.
    pub walk: Vec<Mark>,
    /// The delivery that it repeats, if it is a replay.
    pub replay_of: Option<DeliveryId>,
}

/// What makes two deliveries of one trigger the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupeKey {
    /// A hash of the provider's id, or of the body where there is none.
    pub key: [u8; 16],
    /// How long the key holds; none: as long as the delivery is kept.
    pub window: Option<Duration>,
}

/// What the rules said of a delivery.
#[derive(Debug, Clone)]
pub enum Disposition {
    /// It may run.
    Run(Box<RunRequest>),
    /// It goes no further.
    Stop {
        /// What became of it.
        outcome: DeliveryOutcome,
        /// Why.
        reason: DeliveryReason,
        /// One sentence for people.
        message: String,
    },
}

/// The run that a delivery asks for.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// In which thread.
    pub thread: RunThread,
    /// Whether it may start a conversation; if not, it only continues one that exists (`NO_SESSION_TO_CONTINUE` otherwise).
    pub may_start: bool,
    /// What happens while the thread is busy.
    pub busy: BusyPolicy,
    /// The loop breaker of the trigger: runs of one session per hour; 0: none.
    pub runs_per_session_per_hour: i32,
    /// Turn, always, when it comes from intake.
    pub kind: RunKind,
    /// Which conversation is wanted.
    pub session_mode: SessionMode,
    /// A prompt that was given instead of made.
    pub prompt_override: Option<String>,
    /// Who asks.
    pub requested_by: Requester,
}

/// In which thread a run belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunThread {
    /// The session that this key finds.
    Key(String),
    /// This very session, whatever the event's thread.
    Session(SessionId),
    /// None: a session of its own.
    Once,
}

/// What became of a delivery, committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Ours.
    pub delivery_id: DeliveryId,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// Why, where there is more to say.
    pub reason: Option<DeliveryReason>,
    /// One sentence for people.
    pub message: String,
    /// Its session.
    pub session_id: Option<SessionId>,
    /// Its run; for a duplicate the first one's.
    pub run_id: Option<RunId>,
    /// For a duplicate: the first.
    pub duplicate_of: Option<DeliveryId>,
}

/// What would become of a delivery if it were stored now.
#[derive(Debug, Clone)]
pub struct Foreseen {
    /// As if it were committed; ids of rows that would be new are of no use.
    pub accepted: Accepted,
    /// The session that it finds, and where that is now; none: it would begin one.
    pub session: Option<(SessionId, SessionState)>,
    /// Runs that wait in that session.
    pub queued: i32,
    /// When its run may begin at the earliest.
    pub not_before: UnixMicros,
    /// Why not at once, if not.
    pub wait: Option<WaitReason>,
    /// How many deliveries the run that it joins would then have; 0: it joins none.
    pub joins: i32,
}
