//! How an attempt gets its memory: pure rules over what the claim gave.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::{Lineage, OnInterrupt, PromptKind, SessionMode, SessionOrigin, UnixMicros};
use crate::queue::{Assignment, ConversationStart};

const DAY: Duration = Duration::from_secs(86_400);

/// Where an attempt begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opening {
    /// A new conversation.
    New(New),
    /// The one that the session has, if its transcript can be had.
    Go(Uuid),
    /// Nowhere: going on was demanded and is impossible. The text says why.
    Refused(String),
}

/// A new conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct New {
    /// Its number in the thread.
    pub(super) generation: i32,
    pub(super) origin: SessionOrigin,
    pub(super) lineage: Lineage,
    /// Why the one before is not continued, if there was one.
    pub(super) because: Option<String>,
}

impl New {
    /// Its row, under a new id.
    pub(super) fn start(&self, fingerprint: &str) -> ConversationStart {
        let (generation, origin, fingerprint) = (self.generation, self.origin, fingerprint.to_owned());
        ConversationStart { generation, agent_session_id: Uuid::now_v7(), origin, fingerprint }
    }
}

/// Whether the session's conversation is one that an earlier attempt at this very run used.
pub(super) fn is_own(assignment: &Assignment) -> bool {
    let present = assignment.session.agent_session_id;
    present.is_some() && assignment.earlier.iter().any(|attempt| attempt.agent_session_id == present)
}

/// Where this attempt begins.
pub(super) fn opening(assignment: &Assignment, fingerprint: &str, now: UnixMicros) -> Opening {
    let session = &assignment.session;
    let new = |origin, lineage, because: Option<&str>| {
        if assignment.session_mode == SessionMode::Resume && assignment.earlier.is_empty() {
            return Opening::Refused(because.unwrap_or("the session has no conversation yet").to_owned());
        }
        // A reset counts at once, so a session without a conversation already has the number of its next one.
        let generation = session.generation + i32::from(session.agent_session_id.is_some());
        Opening::New(New { generation, origin, lineage, because: because.map(str::to_owned) })
    };
    let Some(present) = session.agent_session_id else {
        return match session.origin {
            SessionOrigin::First => new(SessionOrigin::First, Lineage::Fresh, None),
            origin => new(origin, Lineage::Renewed, Some(because(origin))),
        };
    };
    let own = is_own(assignment);
    if own && assignment.trigger.spec.retry.on_interrupt == OnInterrupt::Restart {
        let lineage = if session.turn_count == 0 { assignment.run.lineage.unwrap_or(Lineage::Fresh) } else { Lineage::Renewed };
        return new(SessionOrigin::Reset, lineage, Some("the attempt before was interrupted, and the trigger says to begin again"));
    }
    if session.fingerprint.as_deref().is_some_and(|begun| begun != fingerprint) {
        return new(SessionOrigin::Changed, Lineage::Renewed, Some(because(SessionOrigin::Changed)));
    }
    if own {
        return Opening::Go(present);
    }
    if assignment.session_mode == SessionMode::Fresh {
        return new(SessionOrigin::Reset, Lineage::Renewed, Some("a fresh conversation was asked for"));
    }
    let days = u32::try_from(assignment.settings.sessions.auto_cleanup_days).unwrap_or(u32::MAX);
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
    }
}

/// The conversation that takes the place of one that is lost.
pub(super) fn instead_of_lost(generation: i32) -> New {
    New { generation: generation + 1, origin: SessionOrigin::Lost, lineage: Lineage::Recovered, because: None }
}

/// Whether the conversation is compacted before its next turn.
pub(super) fn compaction_is_due(assignment: &Assignment) -> bool {
    assignment.session.turns_since_compaction >= assignment.settings.sessions.force_compaction_turns
}

/// Which prompt a turn of a conversation that exists gets. `held`: its transcript holds a prompt of this run already.
pub(super) fn prompt_kind(assignment: &Assignment, held: bool) -> PromptKind {
    if held {
        PromptKind::Retry
    } else if assignment.session.turn_count == 0 {
        PromptKind::First
    } else {
        PromptKind::FollowUp
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
