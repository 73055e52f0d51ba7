//! T5: what boots before this one left live.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::figures::settings;
use super::requeue::{Cause, requeue};
use super::transaction::{Step, transaction};
use super::{Queue, Recovered, locked};
use crate::domain::{Result, RunId, SessionState, UnixMicros, WorkerId};
use crate::store::entity::{limit, session, worker};

impl Queue {
    /// Registers this boot of this server.
    ///
    /// Gives the boots that are not known to be over; with one server, all of them are.
    pub async fn register_worker(&self, worker: WorkerId) -> Result<Vec<WorkerId>> {
        transaction!(self, "register_worker", tx => register(tx, worker).await)
    }

    /// T5: in one transaction, everything live that is not `worker`'s is requeued or ended, as its trigger's policy says.
    pub async fn recover(&self, worker: WorkerId) -> Result<Recovered> {
        let recovered = transaction!(self, "recover", tx => recover(tx, worker).await)?;
        self.finish_deletions().await?;
        self.forget_unfinished_copies().await?;
        self.hint_work();
        Ok(recovered)
    }
}

async fn register(tx: &DatabaseTransaction, worker: WorkerId) -> Step<Vec<WorkerId>> {
    let earlier = worker::Entity::find().filter(worker::Column::State.eq("live")).filter(worker::Column::Id.ne(worker.0)).all(tx).await?;
    let row = worker::ActiveModel {
        id: Set(worker.0),
        state: Set("live".to_owned()),
        pid: Set(i32::try_from(std::process::id()).unwrap_or(0)),
        version: Set(env!("CARGO_PKG_VERSION").to_owned()),
        start_time: Set(UnixMicros::now().0),
        ..Default::default()
    };
    worker::Entity::insert(row)
        .on_conflict(OnConflict::column(worker::Column::Id).do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    // Claims count against the row of all: without it nothing would ever begin.
    let cap = settings(tx).await?.limits.max_concurrent_runs;
    let row = limit::ActiveModel { trigger_id: Set(Uuid::nil()), cap: Set(cap), used: Set(0), open: Set(true), last_claimed_time: Set(0) };
    limit::Entity::insert(row)
        .on_conflict(OnConflict::column(limit::Column::TriggerId).do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    Ok(earlier.into_iter().map(|row| WorkerId(row.id)).collect())
}

async fn recover(tx: &DatabaseTransaction, worker: WorkerId) -> Step<Recovered> {
    let left = session::Entity::find()
        .filter(session::Column::State.eq(SessionState::Running.as_str()))
        .filter(session::Column::WorkerId.ne(worker.0))
        .order_by_asc(session::Column::TriggerId)
        .order_by_asc(session::Column::Id)
        .all(tx)
        .await?;
    for row in &left {
        locked::give_back(tx, row.trigger_id).await?;
    }
    let mut recovered = Recovered::default();
    for row in left {
        let Some(session) = locked::session(tx, row.id).await? else { continue };
        let Some(run) = locked::run(tx, row.live_run_id.unwrap_or_default()).await? else {
            tracing::error!(session.id = %crate::domain::SessionId(row.id), "running session has no run, its cursor moves on");
            let mut after = session.clone();
            locked::advance(tx, &mut after).await?;
            locked::save(tx, &session, after).await?;
            continue;
        };
        let id = RunId(run.id);
        if requeue(tx, session, run, Cause::Death).await? { recovered.requeued.push(id) } else { recovered.ended.push(id) }
    }
    bury(tx, worker).await?;
    Ok(recovered)
}

/// The boots before this one are over.
async fn bury(tx: &impl ConnectionTrait, worker: WorkerId) -> Step<()> {
    worker::Entity::update_many()
        .col_expr(worker::Column::State, Expr::value("dead"))
        .col_expr(worker::Column::EndTime, Expr::value(UnixMicros::now().0))
        .filter(worker::Column::Id.ne(worker.0))
        .filter(worker::Column::State.eq("live"))
        .exec(tx)
        .await?;
    Ok(())
}
