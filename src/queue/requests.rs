//! Runs that people ask for past all rules: a compaction, a retry.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
};
use uuid::Uuid;

use super::figures::Figures;
use super::transaction::{Step, transaction};
use super::{Queue, locked};
use crate::domain::{Error, Requester, Result, Run, RunId, RunKind, RunStatus, SessionId, SessionMode, SessionState};
use crate::store::entity::{run, run_delivery, session};
use crate::store::payload::word;
use crate::store::rows::{new_run, runs_of};

impl Queue {
    /// Queues a compaction of the session's conversation, as the run `id`. Errors: `SessionEmpty`, `QueueFull`.
    pub async fn enqueue_compaction(&self, id: RunId, session: SessionId, requested_by: Requester) -> Result<Run> {
        let figures = self.figures().await?;
        let run = transaction!(self, "enqueue_compaction", tx => {
            let row = locked::session(tx, session.0).await?;
            let row = row.ok_or_else(|| Error::NotFound { kind: "session", id: session.to_string() })?;
            if row.agent_session_id.is_none() {
                return Err(Error::SessionEmpty.into());
            }
            let run = new_run(id, &row, RunKind::Compaction, &requested_by);
            enqueue(tx, row, run, &figures).await
        })?;
        self.queued_one().await;
        Ok(run)
    }

    /// Queues a new run, `id`, with the finished run's exact prompt, at its session's tail. Errors: `RunNotFinished`, `PromptNotKept`, `SessionModeImpossible`, `QueueFull`.
    pub async fn enqueue_retry(&self, id: RunId, run: RunId, mode: SessionMode, requested_by: Requester) -> Result<Run> {
        let figures = self.figures().await?;
        let copy = match mode {
            SessionMode::Fork => Some(self.before(run).await?),
            _ => None,
        };
        let queued = transaction!(self, "enqueue_retry", tx => retry(tx, (id, run), copy, mode, &requested_by, &figures).await);
        if let (Some(copy), Err(_)) = (copy, &queued) {
            self.drop_copy(copy).await?;
        }
        let run = queued?;
        self.queued_one().await;
        Ok(run)
    }

    /// A copy of the conversation as it was before this run's turn.
    async fn before(&self, id: RunId) -> Result<SessionId> {
        let db = self.store().read();
        let old = run::Entity::find_by_id(id.0).one(db).await?.ok_or_else(|| Error::NotFound { kind: "run", id: id.to_string() })?;
        let status: RunStatus = word(&old.status)?;
        if !status.is_end() {
            return Err(Error::RunNotFinished { status });
        }
        let impossible = |why: &str| Error::SessionModeImpossible { why: why.to_owned() };
        let session = session::Entity::find_by_id(old.session_id).one(db).await?;
        let session = session.ok_or_else(|| impossible("the run's session was deleted"))?;
        let turn = self.turn_before(&session, old.generation, old.seq).await?;
        let turn = turn.ok_or_else(|| impossible("nothing is kept of the conversation before that run"))?;
        match self.fork_session(SessionId::new(), SessionId(session.id), Some(RunId(turn.id)), "").await {
            Ok(copy) => Ok(copy.id),
            Err(error @ (Error::SessionEmpty | Error::TranscriptGone)) => Err(Error::SessionModeImpossible { why: error.to_string() }),
            Err(error) => Err(error),
        }
    }

    async fn queued_one(&self) {
        self.count_queued(1);
        self.hint_work();
    }
}

/// In the run's own session, or in a copy.
async fn retry(
    tx: &DatabaseTransaction,
    (new, id): (RunId, RunId),
    copy: Option<SessionId>,
    mode: SessionMode,
    requested_by: &Requester,
    figures: &Figures,
) -> Step<Run> {
    let old = run::Entity::find_by_id(id.0).one(tx).await?.ok_or_else(|| Error::NotFound { kind: "run", id: id.to_string() })?;
    let status: RunStatus = word(&old.status)?;
    if !status.is_end() {
        return Err(Error::RunNotFinished { status }.into());
    }
    let impossible = |why: &str| Error::SessionModeImpossible { why: why.to_owned() };
    let session = locked::session(tx, copy.map_or(old.session_id, |copy| copy.0)).await?;
    let session = session.ok_or_else(|| impossible("the run's session was deleted"))?;
    // A copy is there to be continued.
    let mode = if copy.is_some() { SessionMode::Resume } else { mode };
    if mode == SessionMode::Resume && session.agent_session_id.is_none() {
        return Err(impossible("the session has no conversation to continue").into());
    }
    let kind: RunKind = word(&old.kind)?;
    let prompt = old.prompt.clone().or_else(|| old.prompt_override.clone());
    if kind == RunKind::Turn && prompt.is_none() {
        return Err(Error::PromptNotKept.into());
    }
    let run = run::Model {
        title: old.title.clone(),
        prompt_override: prompt.filter(|_| kind == RunKind::Turn),
        session_mode: mode.to_string(),
        delivery_count: old.delivery_count,
        retry_of: Some(old.id),
        ..new_run(new, &session, kind, requested_by)
    };
    // It answers the same deliveries; linked first, so that the run comes back with them.
    let links = run_delivery::Entity::find()
        .filter(run_delivery::Column::RunId.eq(old.id))
        .order_by_asc(run_delivery::Column::Ordinal)
        .all(tx)
        .await?;
    for some in links.chunks(1000) {
        let same = some.iter().map(|link| run_delivery::ActiveModel {
            run_id: Set(run.id),
            ordinal: Set(link.ordinal),
            delivery_id: Set(link.delivery_id),
        });
        run_delivery::Entity::insert_many(same).exec_without_returning(tx).await?;
    }
    enqueue(tx, session, run, figures).await
}

async fn enqueue(tx: &DatabaseTransaction, before: session::Model, run: run::Model, figures: &Figures) -> Step<Run> {
    let limits = &figures.settings.limits;
    if figures.queued() >= i64::from(limits.max_queued_runs) {
        return Err(Error::QueueFull { scope: "server", limit: i64::from(limits.max_queued_runs) }.into());
    }
    if before.queued_count >= limits.max_queued_per_session {
        return Err(Error::QueueFull { scope: "session", limit: i64::from(limits.max_queued_per_session) }.into());
    }
    let mut session = before.clone();
    session.tail = run.seq;
    session.queued_count += 1;
    session.run_count += 1;
    if session.state == SessionState::Idle.as_str() {
        session.state = SessionState::Queued.to_string();
        session.head = run.seq;
        session.ready_time = run.not_before;
    }
    locked::save(tx, &before, session).await?;
    run::Entity::insert(run.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
    let id: Uuid = run.id;
    Ok(runs_of(tx, vec![run], true).await?.pop().ok_or_else(|| Error::internal(format!("run {} was not stored", RunId(id))))?)
}
