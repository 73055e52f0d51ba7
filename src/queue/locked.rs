//! Rows read under a lock, changed in memory, and written back as far as they changed.
//!
//! Locks are taken in this order everywhere: limits (all), limits (trigger), session, run.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait,
    IntoActiveModel, Iterable, ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::Lease;
use super::transaction::Step;
use crate::domain::{Error, RunStatus, SessionState};
use crate::store::entity::{attempt, limit, run, session};

/// `FOR UPDATE` where there is such a thing; SQLite has one writer.
async fn one_locked<E: EntityTrait>(tx: &DatabaseTransaction, select: Select<E>) -> Result<Option<E::Model>, DbErr> {
    select.lock_exclusive().one(tx).await
}

/// A session, locked.
pub(super) async fn session(tx: &DatabaseTransaction, id: Uuid) -> Result<Option<session::Model>, DbErr> {
    one_locked(tx, session::Entity::find_by_id(id)).await
}

/// A run, locked.
pub(super) async fn run(tx: &DatabaseTransaction, id: Uuid) -> Result<Option<run::Model>, DbErr> {
    one_locked(tx, run::Entity::find_by_id(id)).await
}

/// The session and run of a lease, locked. Errors: `Fenced`.
pub(super) async fn leased(tx: &DatabaseTransaction, lease: &Lease) -> Step<(session::Model, run::Model)> {
    let session = session(tx, lease.session_id.0).await?.filter(|row| row.lease_id == Some(lease.id.0)).ok_or(Error::Fenced)?;
    let run = run(tx, lease.run_id.0).await?.filter(|row| row.lease_id == Some(lease.id.0)).ok_or(Error::Fenced)?;
    Ok((session, run))
}

/// The row of an attempt.
pub(super) async fn attempt(tx: &DatabaseTransaction, run: Uuid, number: i32) -> Step<attempt::Model> {
    let row = attempt::Entity::find_by_id((run, number)).one(tx).await?;
    Ok(row.ok_or_else(|| Error::internal(format!("attempt {number} of run {run} has no row")))?)
}

/// Writes the columns of `after` that are not as in `before`.
pub(super) async fn save<M, A>(tx: &DatabaseTransaction, before: &M, after: M) -> Result<(), DbErr>
where
    M: ModelTrait + IntoActiveModel<A>,
    A: ActiveModelTrait<Entity = M::Entity> + ActiveModelBehavior + Send,
    M::Entity: EntityTrait<Model = M, ActiveModel = A>,
{
    let changed: Vec<_> = <M::Entity as EntityTrait>::Column::iter().filter(|column| before.get(*column) != after.get(*column)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut row = after.clone().into_active_model();
    for column in changed {
        row.set(column, after.get(column));
    }
    row.update_without_returning(tx).await?;
    Ok(())
}

/// The next run that waits in a session, after `seq`.
pub(super) async fn next_queued(tx: &DatabaseTransaction, session: Uuid, seq: i64) -> Result<Option<run::Model>, DbErr> {
    run::Entity::find()
        .filter(run::Column::SessionId.eq(session))
        .filter(run::Column::Seq.gt(seq))
        .filter(run::Column::Status.eq(RunStatus::Queued.as_str()))
        .order_by_asc(run::Column::Seq)
        .one(tx)
        .await
}

/// Moves the session's cursor past its head, to the next run that waits or to rest. The row is changed in memory.
pub(super) async fn advance(tx: &DatabaseTransaction, session: &mut session::Model) -> Result<(), DbErr> {
    session.lease_id = None;
    session.worker_id = None;
    session.live_run_id = None;
    match next_queued(tx, session.id, session.head).await? {
        Some(next) => {
            session.head = next.seq;
            session.ready_time = next.not_before;
            session.state = SessionState::Queued.to_string();
        }
        None => {
            session.head = session.tail + 1;
            session.state = SessionState::Idle.to_string();
        }
    }
    Ok(())
}

/// Gives the place of one live run back. Runs first of all, since claims lock the limits before they lock sessions.
pub(super) async fn give_back(tx: &impl ConnectionTrait, trigger: Uuid) -> Result<(), DbErr> {
    for id in [Uuid::nil(), trigger] {
        limit::Entity::update_many()
            .col_expr(limit::Column::Used, Expr::col(limit::Column::Used).sub(1))
            .filter(limit::Column::TriggerId.eq(id))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// How many runs of a session wait.
pub(super) async fn count_queued(tx: &DatabaseTransaction, session: Uuid) -> Result<i32, DbErr> {
    let waiting = run::Entity::find()
        .filter(run::Column::SessionId.eq(session))
        .filter(run::Column::Status.eq(RunStatus::Queued.as_str()))
        .count(tx)
        .await?;
    Ok(i32::try_from(waiting).unwrap_or(i32::MAX))
}
