//! T4: workers and their leases. A worker works while its lease lasts; what it leaves behind after that is taken over.
//!
//! Leases are in the database's time, so the clocks of servers never matter. A database that only one process can open
//! (SQLite) has no use for them: there a lease never ends, and the next boot takes over at once.

use std::time::Duration;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, Value};
use uuid::Uuid;

use super::figures::settings;
use super::transaction::{Step, transaction};
use super::{Lease, Queue};
use crate::domain::{Error, LeaseId, Result, RunId, SessionId, UnixMicros, WorkerId};
use crate::store::entity::{limit, worker};
use crate::store::sql::{now, statement};

/// How a worker presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The machine's name, for people.
    pub host: String,
    /// What only one living process can hold: of two workers with one place the older one is dead for certain.
    pub place: String,
    /// Runs that it takes on at once.
    pub capacity: i32,
    /// How long it may be taken for alive after each sign of life.
    pub lease: Duration,
}

impl Queue {
    /// Workers that are certainly dead although they are not known to be: those of `place`, and on a database that only
    /// one process can open, all. Their processes must be ended before their runs are taken over.
    pub async fn dead_workers(&self, place: &str) -> Result<Vec<WorkerId>> {
        let dead = worker::Entity::find().filter(over(self.store().backend(), place)).all(self.store().read()).await?;
        Ok(dead.into_iter().map(|row| WorkerId(row.id)).collect())
    }

    /// Registers a worker, live from now on; the leases of those that it replaces end with this.
    pub async fn register_worker(&self, worker: WorkerId, registration: &Registration) -> Result<()> {
        transaction!(self, "register_worker", tx => register(tx, worker, registration).await)
    }

    /// T4: a sign of life prolongs the lease. Errors: `Fenced` when it has ended already; then everything is to be left.
    pub async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<()> {
        let backend = self.store().backend();
        if backend == DbBackend::Sqlite {
            return Ok(());
        }
        let text = format!(
            "UPDATE workers SET lease_until = {now} + ? WHERE id = ? AND state <> 'dead' AND lease_until > {now}",
            now = now(backend)
        );
        let values = vec![micros(lease).into(), worker.0.into()];
        let prolonged = self.store().lifeline().execute_raw(statement(backend, text, values)).await?;
        if prolonged.rows_affected() == 0 { Err(Error::Fenced) } else { Ok(()) }
    }

    /// A worker that claims nothing more, and lets its runs end.
    pub async fn drain_worker(&self, worker: WorkerId) -> Result<()> {
        let draining = worker::Entity::update_many()
            .col_expr(worker::Column::State, Expr::value("draining"))
            .filter(worker::Column::Id.eq(worker.0))
            .filter(worker::Column::State.eq("live"));
        draining.exec(self.store().write()).await?;
        Ok(())
    }

    /// What the database says that a worker holds: more than the worker knows of, when the answer to a claim was lost.
    pub async fn leases_of(&self, worker: WorkerId) -> Result<Vec<Lease>> {
        let text = "SELECT s.lease_id, s.id, r.id, r.attempt FROM sessions s JOIN runs r ON r.id = s.live_run_id \
                    WHERE s.worker_id = ? AND s.state = 'running'";
        let rows = self.store().read().query_all_raw(statement(self.store().backend(), text, vec![worker.0.into()])).await?;
        let lease = |row: &sea_orm::QueryResult| -> Result<Lease, sea_orm::DbErr> {
            Ok(Lease {
                id: LeaseId(row.try_get_by_index(0)?),
                session_id: SessionId(row.try_get_by_index(1)?),
                run_id: RunId(row.try_get_by_index(2)?),
                attempt: row.try_get_by_index(3)?,
            })
        };
        Ok(rows.iter().map(lease).collect::<Result<_, _>>()?)
    }
}

/// Which workers are not known to be over, and are.
fn over(backend: DbBackend, place: &str) -> sea_orm::Condition {
    let unknown = sea_orm::Condition::all().add(worker::Column::State.ne("dead"));
    if backend == DbBackend::Sqlite { unknown } else { unknown.add(worker::Column::Place.eq(place)).add(worker::Column::Place.ne("")) }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

async fn register(tx: &DatabaseTransaction, id: WorkerId, registration: &Registration) -> Step<()> {
    let backend = tx.get_database_backend();
    worker::Entity::update_many()
        .col_expr(worker::Column::LeaseUntil, Expr::value(0))
        .filter(over(backend, &registration.place))
        .filter(worker::Column::Id.ne(id.0))
        .exec(tx)
        .await?;
    let lease_until = if backend == DbBackend::Sqlite { i64::MAX } else { 0 };
    let row = worker::ActiveModel {
        id: Set(id.0),
        state: Set("live".to_owned()),
        host: Set(registration.host.clone()),
        pid: Set(i32::try_from(std::process::id()).unwrap_or(0)),
        version: Set(env!("CARGO_PKG_VERSION").to_owned()),
        place: Set(registration.place.clone()),
        capacity: Set(registration.capacity),
        lease_until: Set(lease_until),
        start_time: Set(UnixMicros::now().0),
        end_time: Set(None),
    };
    worker::Entity::insert(row)
        .on_conflict(OnConflict::column(worker::Column::Id).do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    if backend == DbBackend::Postgres {
        let text = format!("UPDATE workers SET lease_until = {} + ? WHERE id = ? AND state <> 'dead'", now(backend));
        let values: Vec<Value> = vec![micros(registration.lease).into(), id.0.into()];
        tx.execute_raw(statement(backend, text, values)).await?;
    }
    // Claims count against the row of all: without it nothing would ever begin.
    let cap = settings(tx).await?.limits.max_concurrent_runs;
    let row = limit::ActiveModel { trigger_id: Set(Uuid::nil()), cap: Set(cap), used: Set(0), open: Set(true), last_claimed_time: Set(0) };
    limit::Entity::insert(row)
        .on_conflict(OnConflict::column(limit::Column::TriggerId).do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    Ok(())
}
