//! How an attempt gets its memory: pure rules over what the claim gave.

use uuid::Uuid;

pub(super) use crate::domain::{NewConversation as New, Opening};

use crate::domain::{Circumstances, Earlier, Lineage, OnInterrupt, PromptKind, SessionOrigin, UnixMicros};
use crate::queue::{Assignment, ConversationStart};

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
    let earlier = Earlier {
        own: is_own(assignment),
        restart: assignment.trigger.spec.retry.on_interrupt == OnInterrupt::Restart,
        lineage: assignment.run.lineage,
    };
    crate::domain::opening(&Circumstances {
        session: &assignment.session,
        mode: assignment.session_mode,
        fingerprint,
        cleanup_days: assignment.settings.sessions.auto_cleanup_days,
        now,
        earlier: (!assignment.earlier.is_empty()).then_some(earlier),
    })
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
