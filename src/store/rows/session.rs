//! Sessions and their conversations.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::entity::{conversation, session};
use super::{usage, word};
use crate::domain::{
    Conversation, CostBasis, Result, RunId, Session, SessionId, SessionKind, SessionOrigin, SessionState, TriggerId, UnixMicros,
};

/// A session of a thread without a key, in which nothing has run yet.
pub(crate) fn new_session(id: SessionId, trigger: TriggerId, trigger_slug: &str) -> session::Model {
    let now = UnixMicros::now().0;
    session::Model {
        id: id.0,
        bucket: 0,
        trigger_id: trigger.0,
        trigger_slug: trigger_slug.to_owned(),
        kind: SessionKind::Thread.to_string(),
        thread_key: None,
        title: String::new(),
        url: String::new(),
        state: SessionState::Idle.to_string(),
        ready_time: 0,
        head: 1,
        tail: 0,
        epoch: 0,
        lease_id: None,
        worker_id: None,
        last_worker_id: None,
        generation: 1,
        agent_session_id: None,
        fingerprint: None,
        origin: SessionOrigin::First.to_string(),
        agent: String::new(),
        profile: String::new(),
        model: String::new(),
        agent_version: String::new(),
        turn_count: 0,
        turns_since_compaction: 0,
        run_count: 0,
        queued_count: 0,
        live_run_id: None,
        last_run_id: None,
        agent_total_cost_nano: 0,
        last_cache_share: None,
        context_tokens: 0,
        manifest: String::new(),
        transcript_bytes: 0,
        forked_from: None,
        forked_run_id: None,
        display_name: String::new(),
        create_time: now,
        last_use_time: now,
        input_tokens: 0,
        output_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        thinking_tokens: 0,
        cost_nano: 0,
        cost_basis: CostBasis::Reported.to_string(),
    }
}

/// A session without its conversations.
pub(crate) fn session_of(row: session::Model) -> Result<Session> {
    let (usage, origin) = (usage!(row)?, origin_of(&row.origin, row.forked_from.is_some())?);
    Ok(Session {
        id: SessionId(row.id),
        trigger_id: TriggerId(row.trigger_id),
        trigger_slug: row.trigger_slug,
        thread_key: row.thread_key,
        title: row.title,
        url: row.url,
        kind: word(&row.kind)?,
        state: word(&row.state)?,
        generation: row.generation,
        agent_session_id: row.agent_session_id,
        fingerprint: row.fingerprint,
        origin,
        agent: row.agent,
        profile: row.profile,
        model: row.model,
        turn_count: row.turn_count,
        turns_since_compaction: row.turns_since_compaction,
        run_count: row.run_count,
        queued_run_count: row.queued_count,
        live_run_id: row.live_run_id.map(RunId),
        last_run_id: row.last_run_id.map(RunId),
        usage,
        last_cache_share: row.last_cache_share,
        transcript_bytes: row.transcript_bytes,
        forked_from: row.forked_from.map(SessionId),
        forked_run_id: row.forked_run_id.map(RunId),
        display_name: row.display_name,
        context_tokens: row.context_tokens,
        create_time: UnixMicros(row.create_time),
        last_use_time: UnixMicros(row.last_use_time),
        conversations: Vec::new(),
    })
}

/// One conversation.
fn conversation_of(row: &conversation::Model) -> Result<Conversation> {
    Ok(Conversation {
        generation: row.generation,
        agent_session_id: row.agent_session_id,
        origin: word(&row.origin)?,
        cause_run_id: row.cause_run_id.map(RunId),
        start_time: UnixMicros(row.start_time),
        turn_count: row.turn_count,
        from_session_id: row.from_session_id.map(SessionId),
    })
}

/// The first conversation of a copy is stored as a first one, with the session that it was copied from beside it.
pub(crate) fn origin_of(origin: &str, copied: bool) -> Result<SessionOrigin> {
    match word(origin)? {
        SessionOrigin::First if copied => Ok(SessionOrigin::Fork),
        origin => Ok(origin),
    }
}

/// Sessions with their conversations, in the order of the rows.
pub(crate) async fn sessions_of(db: &impl ConnectionTrait, rows: Vec<session::Model>) -> Result<Vec<Session>> {
    let ids = rows.iter().map(|row| row.id);
    let found = conversation::Entity::find()
        .filter(conversation::Column::SessionId.is_in(ids))
        .order_by_asc(conversation::Column::Generation)
        .all(db)
        .await?;
    let mut by_session: HashMap<Uuid, Vec<Conversation>> = HashMap::new();
    for row in &found {
        by_session.entry(row.session_id).or_default().push(conversation_of(row)?);
    }
    rows.into_iter()
        .map(|row| {
            let conversations = by_session.remove(&row.id).unwrap_or_default();
            Ok(Session { conversations, ..session_of(row)? })
        })
        .collect()
}
