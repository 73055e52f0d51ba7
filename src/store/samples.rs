//! Rows for tests.

use sea_orm::{EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::entity::{delivery, run, run_delivery, session};
use super::{Store, writer};
use crate::domain::{RunId, SessionId, TriggerId, UnixMicros};

/// A queued run, the first of its session.
pub(crate) fn run(session: SessionId) -> run::Model {
    let now = UnixMicros::now().0;
    run::Model {
        id: RunId::new().0,
        session_id: session.0,
        seq: 1,
        trigger_id: Uuid::from_u128(1),
        trigger_slug: "reviews".to_owned(),
        thread_key: Some("42".to_owned()),
        title: String::new(),
        kind: "turn".to_owned(),
        status: "queued".to_owned(),
        not_before: 0,
        wait_reason: String::new(),
        attempt: 0,
        interruptions: 0,
        lease_id: None,
        cancel_requested: false,
        cancel_reason: String::new(),
        cancel_mode: String::new(),
        requester_kind: "sender".to_owned(),
        requester_id: String::new(),
        requester_name: String::new(),
        session_mode: "default".to_owned(),
        prompt_override: None,
        prompt: Some("a long prompt".to_owned()),
        prompt_kind: None,
        delivery_count: 0,
        retry_of: None,
        lineage: None,
        continued_from: None,
        generation: 1,
        turn: 1,
        model: String::new(),
        agent_version: String::new(),
        profile: String::new(),
        billing: None,
        by_model: String::new(),
        max_cost_nano: 0,
        context_tokens: 0,
        context_window_tokens: 0,
        result_text: String::new(),
        failure_reason: None,
        failure_message: String::new(),
        failure_api_status: None,
        warnings: String::new(),
        first_sequence: 1,
        next_sequence: 1,
        transcript_rewrite: 0,
        transcript_bytes: 0,
        create_time: now,
        start_time: None,
        end_time: None,
        input_tokens: 0,
        output_tokens: 0,
        cache_read_tokens: 0,
        cache_write_tokens: 0,
        thinking_tokens: 0,
        cost_nano: 0,
        cost_basis: "reported".to_owned(),
        metered: None,
    }
}

/// An idle thread.
pub(crate) fn session(trigger: TriggerId, key: &str) -> session::Model {
    let now = UnixMicros::now().0;
    session::Model {
        id: SessionId::new().0,
        bucket: 0,
        trigger_id: trigger.0,
        trigger_slug: "reviews".to_owned(),
        kind: "thread".to_owned(),
        thread_key: Some(key.to_owned()),
        title: String::new(),
        url: String::new(),
        state: "idle".to_owned(),
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
        origin: "first".to_owned(),
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
        cost_basis: "reported".to_owned(),
    }
}

/// A delivery that made this run.
pub(crate) fn delivery(trigger: TriggerId, run: Option<RunId>) -> delivery::Model {
    delivery::Model {
        id: Uuid::now_v7(),
        trigger_id: Some(trigger.0),
        trigger_slug: "reviews".to_owned(),
        source: "github".to_owned(),
        origin: "webhook".to_owned(),
        provider_delivery_id: String::new(),
        dedupe_key: None,
        event_kind: "issue_comment".to_owned(),
        action: String::new(),
        actor_id: String::new(),
        actor_login: String::new(),
        actor_kind: "user".to_owned(),
        thread_key: None,
        title: String::new(),
        url: String::new(),
        event_text: String::new(),
        outcome: "queued".to_owned(),
        reason: None,
        message: String::new(),
        session_id: None,
        run_id: run.map(|id| id.0),
        duplicate_of: None,
        redelivery_of: None,
        replay_of: None,
        duplicate_count: 0,
        receive_time: UnixMicros::now().0,
        ack_micros: 0,
        body_bytes: 0,
    }
}

/// Stores a row.
pub(crate) async fn put<M, A>(store: &Store, row: M) -> M
where
    M: sea_orm::ModelTrait + Clone + IntoActiveModel<A>,
    A: sea_orm::ActiveModelTrait<Entity = M::Entity>,
{
    <M::Entity as EntityTrait>::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(writer(store))
        .await
        .expect("stored");
    row
}

/// Says that this run answers this delivery.
pub(crate) async fn link(store: &Store, run: Uuid, ordinal: i32, delivery: Uuid) {
    put(store, run_delivery::Model { run_id: run, ordinal, delivery_id: delivery }).await;
}
