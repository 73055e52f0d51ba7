//! T5: what dead workers left live is taken from them, by whoever comes first.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, Value,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::requeue::{Cause, requeue};
use super::transaction::{Step, transaction};
use super::{Queue, Recovered, locked};
use crate::domain::{Result, RunId, SessionState, UnixMicros, WorkerId};
use crate::store::entity::{limit, session, worker};
use crate::store::sql::{now, placeholders, statement};

impl Queue {
    /// T5 to its end, at a boot: every worker whose lease has ended for `grace` is taken over, one transaction each.
    pub async fn recover(&self, grace: Duration) -> Result<Recovered> {
        let mut all = Recovered::default();
        while let Some((_, more)) = self.reap(grace).await? {
            all.requeued.extend(more.requeued);
            all.ended.extend(more.ended);
        }
        let orphans = transaction!(self, "recover_orphans", tx => take_orphans(tx).await)?;
        all.requeued.extend(orphans.requeued);
        all.ended.extend(orphans.ended);
        self.finish_deletions().await?;
        self.forget_unfinished_copies().await?;
        self.hint_work();
        Ok(all)
    }

    /// T5 now and then, until `stop`: any server takes over what any other left.
    pub async fn reap_until(self, every: Duration, grace: Duration, stop: CancellationToken) {
        loop {
            // Servers that were started together do not all look at once.
            let jitter = every.mul_f64(f64::from(u16::try_from(Uuid::now_v7().as_u128() % 1000).unwrap_or(0)) / 4000.0);
            tokio::select! { () = stop.cancelled() => return, () = tokio::time::sleep(every + jitter) => {} }
            loop {
                match self.reap(grace).await {
                    Ok(Some((worker, recovered))) => {
                        let (requeued, ended) = (recovered.requeued.len(), recovered.ended.len());
                        tracing::warn!(worker.id = %worker, runs.requeued = requeued, runs.ended = ended, "took over from a dead worker");
                        self.hint_work();
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(%error, "dead workers cannot be looked for");
                        break;
                    }
                }
            }
        }
    }

    /// T5, once: takes over from one worker whose lease has ended for `grace`; none: there is no such worker.
    pub async fn reap(&self, grace: Duration) -> Result<Option<(WorkerId, Recovered)>> {
        transaction!(self, "reap", tx => reap(tx, grace).await)
    }

    /// Gives back what a worker of this process holds, since it lost its lease or stops. It counts against nobody.
    pub async fn retire_worker(&self, worker: WorkerId) -> Result<Recovered> {
        let retired = transaction!(self, "retire_worker", tx => {
            let locked = worker::Entity::find_by_id(worker.0).filter(worker::Column::State.ne("dead")).lock_exclusive().one(tx).await?;
            if locked.is_some() { bury(tx, worker.0, Cause::Fenced).await } else { Ok(Recovered::default()) }
        })?;
        self.hint_work();
        Ok(retired)
    }
}

async fn reap(tx: &DatabaseTransaction, grace: Duration) -> Step<Option<(WorkerId, Recovered)>> {
    let backend = tx.get_database_backend();
    let lock = if backend == DbBackend::Postgres { " FOR UPDATE SKIP LOCKED" } else { "" };
    let text =
        format!("SELECT id FROM workers WHERE state <> 'dead' AND lease_until < {} - ? ORDER BY lease_until LIMIT 1{lock}", now(backend));
    let grace: Value = i64::try_from(grace.as_micros()).unwrap_or(i64::MAX).into();
    let Some(row) = tx.query_one_raw(statement(backend, text, vec![grace])).await? else { return Ok(None) };
    let dead: Uuid = row.try_get_by_index(0)?;
    Ok(Some((WorkerId(dead), bury(tx, dead, Cause::Death).await?)))
}

/// The worker, whose row is locked, is over: everything that it holds is requeued or ended, as its trigger's policy says.
async fn bury(tx: &DatabaseTransaction, dead: Uuid, cause: Cause) -> Step<Recovered> {
    // Claims and ends lock this row before they touch a running session: what is read after it stays so.
    limit::Entity::find_by_id(Uuid::nil()).lock_exclusive().one(tx).await?;
    let held = running().filter(session::Column::WorkerId.eq(dead)).all(tx).await?;
    let recovered = take(tx, held, cause).await?;
    worker::Entity::update_many()
        .col_expr(worker::Column::State, Expr::value("dead"))
        .col_expr(worker::Column::EndTime, Expr::value(UnixMicros::now().0))
        .filter(worker::Column::Id.eq(dead))
        .exec(tx)
        .await?;
    Ok(recovered)
}

/// Sessions that run under no worker: none should, and none may stay so.
async fn take_orphans(tx: &DatabaseTransaction) -> Step<Recovered> {
    use sea_orm::sea_query::Query;
    limit::Entity::find_by_id(Uuid::nil()).lock_exclusive().one(tx).await?;
    let known = Query::select().column(worker::Column::Id).from(worker::Entity).and_where(worker::Column::State.ne("dead")).to_owned();
    let orphans = running().filter(session::Column::WorkerId.not_in_subquery(known)).all(tx).await?;
    take(tx, orphans, Cause::Death).await
}

fn running() -> sea_orm::Select<session::Entity> {
    session::Entity::find()
        .filter(session::Column::State.eq(SessionState::Running.as_str()))
        .order_by_asc(session::Column::TriggerId)
        .order_by_asc(session::Column::Id)
}

/// Ends the attempts of these sessions. The limit of all is locked.
async fn take(tx: &DatabaseTransaction, held: Vec<session::Model>, cause: Cause) -> Step<Recovered> {
    give_back(tx, &held).await?;
    let live: Vec<Value> = held.iter().filter_map(|row| row.live_run_id).map(Value::from).collect();
    if !live.is_empty() {
        let text = format!("DELETE FROM open_blocks WHERE run_id IN {}", placeholders(1, live.len()));
        tx.execute_raw(statement(tx.get_database_backend(), text, live)).await?;
    }
    let mut recovered = Recovered::default();
    for row in held {
        let Some(session) = locked::session(tx, row.id).await? else { continue };
        let Some(run) = locked::run(tx, row.live_run_id.unwrap_or_default()).await? else {
            tracing::error!(session.id = %crate::domain::SessionId(row.id), "running session has no run, its cursor moves on");
            let mut after = session.clone();
            locked::advance(tx, &mut after).await?;
            locked::save(tx, &session, after).await?;
            continue;
        };
        let id = RunId(run.id);
        if requeue(tx, session, run, cause).await? { recovered.requeued.push(id) } else { recovered.ended.push(id) }
    }
    Ok(recovered)
}

/// Gives the places of these sessions back: of all, then of each trigger in order.
async fn give_back(tx: &DatabaseTransaction, held: &[session::Model]) -> Step<()> {
    let mut used: BTreeMap<Uuid, i32> = BTreeMap::new();
    for row in held {
        *used.entry(Uuid::nil()).or_default() += 1;
        *used.entry(row.trigger_id).or_default() += 1;
    }
    for (id, count) in used {
        limit::Entity::update_many()
            .col_expr(limit::Column::Used, Expr::col(limit::Column::Used).sub(count))
            .filter(limit::Column::TriggerId.eq(id))
            .exec(tx)
            .await?;
    }
    Ok(())
}
