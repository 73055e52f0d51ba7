//! Sessions, how requests name them, and what they take.

use std::time::Duration;

use super::run::usage;
use super::{WireEnum, none_if_empty, text, timestamp};
use crate::domain::{Error, Result, Session, SessionFilter, SessionId, SessionOrder, SessionState, SessionStorage, TriggerId, UnixMicros};
use crate::proto::v1;
use crate::rpc::{Fields, MAX_TEXT, MAX_THREAD_KEY};

/// A session as of `now`, stale when unused for `lifetime`.
#[must_use]
pub fn session(session: &Session, lifetime: Duration, now: UnixMicros) -> v1::Session {
    // A session that works or waits for its turn does not expire.
    let expire_time = (session.state == SessionState::Idle).then(|| session.last_use_time.plus(lifetime));
    v1::Session {
        id: session.id.to_string(),
        trigger_id: session.trigger_id.to_string(),
        trigger_slug: session.trigger_slug.clone(),
        thread_key: session.thread_key.clone().unwrap_or_default(),
        title: session.title.clone(),
        url: session.url.clone(),
        state: session.state.to_wire(),
        stale: expire_time.is_some_and(|expires| expires <= now),
        agent_session_id: text(session.agent_session_id),
        agent: if session.agent == "claude" { v1::AgentKind::Claude as i32 } else { 0 },
        profile: session.profile.clone(),
        model: session.model.clone(),
        turn_count: session.turn_count,
        turns_since_compaction: session.turns_since_compaction,
        queued_run_count: session.queued_run_count,
        run_count: session.run_count,
        live_run_id: text(session.live_run_id),
        last_run_id: text(session.last_run_id),
        usage: Some(usage(session.usage)),
        last_cache_share: session.last_cache_share,
        transcript_bytes: session.transcript_bytes,
        context_tokens: session.context_tokens,
        create_time: Some(timestamp(session.create_time)),
        last_use_time: Some(timestamp(session.last_use_time)),
        expire_time: expire_time.map(timestamp),
        generation: session.generation,
        conversations: session.conversations.iter().rev().map(conversation).collect(),
        forked_from_session_id: text(session.forked_from),
        display_name: session.display_name.clone(),
    }
}

fn conversation(conversation: &crate::domain::Conversation) -> v1::Conversation {
    v1::Conversation {
        generation: conversation.generation,
        agent_session_id: conversation.agent_session_id.to_string(),
        origin: conversation.origin.to_wire(),
        cause_run_id: text(conversation.cause_run_id),
        start_time: Some(timestamp(conversation.start_time)),
        turn_count: conversation.turn_count,
        from_session_id: text(conversation.from_session_id),
    }
}

/// How a request names a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionRef {
    /// By its id.
    Id(SessionId),
    /// By its trigger (an id or a slug) and its thread.
    Thread {
        /// The trigger.
        trigger: String,
        /// The thread.
        key: String,
    },
}

/// Which session GetSession reads.
pub fn session_ref(request: &v1::GetSessionRequest) -> Result<SessionRef> {
    let by_thread = !request.trigger_id.is_empty() || !request.thread_key.is_empty();
    match (request.session_id.is_empty(), by_thread) {
        (false, false) => Ok(SessionRef::Id(Fields::id("session_id", &request.session_id)?)),
        (false, true) => Err(Error::field("session_id", "is given with `trigger_id` or `thread_key`; one way is enough")),
        (true, false) => Err(Error::field("session_id", "is required, or else `trigger_id` and `thread_key`")),
        (true, true) => Ok(SessionRef::Thread {
            trigger: Fields::required("trigger_id", &request.trigger_id)?.to_owned(),
            key: Fields::required("thread_key", &request.thread_key)?.to_owned(),
        }),
    }
}

/// Which sessions a request lists, and in which order. `stale_before` is the last use that makes a session stale.
pub fn session_filter(
    request: &v1::ListSessionsRequest,
    trigger: Option<TriggerId>,
    stale_before: UnixMicros,
) -> Result<(SessionFilter, SessionOrder)> {
    let mut fields = Fields::new();
    let filter = SessionFilter {
        trigger_id: trigger,
        thread_key: none_if_empty(&fields.text("thread_key", request.thread_key.clone(), MAX_THREAD_KEY)),
        query: none_if_empty(&fields.text("query", request.query.clone(), MAX_TEXT)),
        states: fields.choices("states", &request.states),
        stale: request.stale.map(|stale| (stale, stale_before)),
    };
    let order = fields.choice("order", request.order).unwrap_or(SessionOrder::LastUse);
    fields.finish((filter, order))
}

/// What is stored, with what was measured on this machine left at 0.
#[must_use]
pub fn storage(stored: &SessionStorage, measured: UnixMicros) -> v1::GetSessionStorageResponse {
    v1::GetSessionStorageResponse {
        session_count: stored.session_count,
        stale_session_count: stored.stale_session_count,
        live_session_count: stored.live_session_count,
        transcript_bytes: stored.transcript_bytes,
        transcript_raw_bytes: stored.transcript_raw_bytes,
        agent_files_bytes: 0,
        workspace_bytes: 0,
        journal_bytes: stored.journal_bytes,
        database_bytes: stored.database_bytes,
        disk_free_bytes: 0,
        oldest_use_time: stored.oldest_use_time.map(timestamp),
        measure_time: Some(timestamp(measured)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_in_exactly_one_way() {
        let request = |session: &str, trigger: &str, key: &str| v1::GetSessionRequest {
            session_id: session.to_owned(),
            trigger_id: trigger.to_owned(),
            thread_key: key.to_owned(),
        };
        let id = SessionId::new();
        assert_eq!(session_ref(&request(&id.to_string(), "", "")).expect("valid"), SessionRef::Id(id));
        let thread = SessionRef::Thread { trigger: "review".to_owned(), key: "pr-7".to_owned() };
        assert_eq!(session_ref(&request("", "review", "pr-7")).expect("valid"), thread);
        for (session, trigger, key, field) in [
            ("", "", "", "session_id"),
            ("", "review", "", "thread_key"),
            ("", "", "pr-7", "trigger_id"),
            ("x", "review", "pr-7", "session_id"),
        ] {
            assert_eq!(session_ref(&request(session, trigger, key)).expect_err("wrong").fields()[0].field, field);
        }
    }
}
