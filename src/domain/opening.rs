//! Which conversation a turn continues or begins: one rule, for whoever takes the turn and for whoever asks beforehand.

use std::time::Duration;

use uuid::Uuid;

use super::{Lineage, Memory, SessionMode, SessionOrigin, UnixMicros};

const DAY: Duration = Duration::from_secs(86_400);

/// Where a turn begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// A new conversation.
    New(NewConversation),
    /// The one that the session has, if its transcript can be had.
    Go(Uuid),
    /// Nowhere: going on was demanded and is impossible. The text says why.
    Refused(String),
}

/// A new conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConversation {
    /// Its number in the thread.
    pub generation: i32,
    /// Why it begins.
    pub origin: SessionOrigin,
    /// What its run gets its memory from.
    pub lineage: Lineage,
    /// Why the one before is not continued, if there was one.
    pub because: Option<String>,
}

/// What decides where a turn begins.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The session as it is.
    pub session: &'a Memory,
    /// Which conversation is wanted.
    pub mode: SessionMode,
    /// What a conversation must have begun with to be continued.
    pub fingerprint: &'a str,
    /// After so many days without use a conversation is not continued.
    pub cleanup_days: i32,
    /// When.
    pub now: UnixMicros,
    /// What earlier attempts at the same run did; none: there were none.
    pub earlier: Option<Earlier>,
}

/// What earlier attempts at the same run did.
#[derive(Debug, Clone, Copy)]
pub struct Earlier {
    /// One of them used the session's present conversation.
    pub own: bool,
    /// The trigger says that an interrupted run begins again.
    pub restart: bool,
    /// What the run got its memory from then.
    pub lineage: Option<Lineage>,
}

/// Where a turn begins.
#[must_use]
pub fn opening(around: &Circumstances<'_>) -> Opening {
    let Circumstances { session, mode, fingerprint, cleanup_days, now, earlier } = *around;
    let new = |origin, lineage, because: Option<&str>| {
        if mode == SessionMode::Resume && earlier.is_none() {
            return Opening::Refused(because.unwrap_or("the session has no conversation yet").to_owned());
        }
        // A reset counts at once, so a session without a conversation already has the number of its next one.
        let generation = session.generation + i32::from(session.agent_session_id.is_some());
        Opening::New(NewConversation { generation, origin, lineage, because: because.map(str::to_owned) })
    };
    let Some(present) = session.agent_session_id else {
        return match session.origin {
            SessionOrigin::First => new(SessionOrigin::First, Lineage::Fresh, None),
            origin => new(origin, Lineage::Renewed, Some(because(origin))),
        };
    };
    let own = earlier.filter(|earlier| earlier.own);
    if let Some(earlier) = own.filter(|earlier| earlier.restart) {
        let lineage = if session.turn_count == 0 { earlier.lineage.unwrap_or(Lineage::Fresh) } else { Lineage::Renewed };
        return new(SessionOrigin::Reset, lineage, Some("the attempt before was interrupted, and the trigger says to begin again"));
    }
    if session.fingerprint.as_deref().is_some_and(|begun| begun != fingerprint) {
        return new(SessionOrigin::Changed, Lineage::Renewed, Some(because(SessionOrigin::Changed)));
    }
    if own.is_some() {
        return Opening::Go(present);
    }
    if mode == SessionMode::Fresh {
        return new(SessionOrigin::Reset, Lineage::Renewed, Some("a fresh conversation was asked for"));
    }
    let days = u32::try_from(cleanup_days).unwrap_or(u32::MAX);
    if session.turn_count > 0 && session.last_use_time.plus(DAY.saturating_mul(days)) < now {
        return new(SessionOrigin::Expired, Lineage::Renewed, Some(because(SessionOrigin::Expired)));
    }
    Opening::Go(present)
}

const fn because(origin: SessionOrigin) -> &'static str {
    match origin {
        SessionOrigin::First => "the thread is new",
        SessionOrigin::Reset => "the session was reset",
        SessionOrigin::Expired => "the conversation before was not used for longer than `sessions.auto_cleanup_days`",
        SessionOrigin::Changed => "the trigger's agent, profile or workspace is not what the conversation before began with",
        SessionOrigin::Lost => "the conversation before was lost",
        SessionOrigin::Fork => "the copied conversation is gone",
    }
}
