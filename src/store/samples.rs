//! Rows for tests.

use sea_orm::{EntityTrait, IntoActiveModel};
use uuid::Uuid;

use super::entity::{delivery, run, run_delivery, session};
use super::rows::{new_run, new_session};
use super::{Store, writer};
use crate::domain::{Requester, RequesterKind, RunId, RunKind, SessionId, TriggerId, UnixMicros};

/// A queued run, the first of its session.
pub(crate) fn run(of: SessionId) -> run::Model {
    let sender = Requester { kind: RequesterKind::Sender, id: String::new(), display_name: String::new() };
    let session = session::Model { id: of.0, ..session(TriggerId(Uuid::from_u128(1)), "42") };
    run::Model {
        not_before: 0,
        prompt: Some("a long prompt".to_owned()),
        turn: 1,
        ..new_run(RunId::new(), &session, RunKind::Turn, &sender)
    }
}

/// An idle thread.
pub(crate) fn session(trigger: TriggerId, key: &str) -> session::Model {
    session::Model { thread_key: Some(key.to_owned()), ..new_session(SessionId::new(), trigger, "reviews") }
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
