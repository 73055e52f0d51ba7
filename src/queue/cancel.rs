//! T6: a run's end is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::outcome::{self, Ending};
use super::transaction::{Step, transaction};
use super::{Queue, locked};
use crate::domain::{Error, Result, Run, RunEvent, RunId, RunStatus, SessionState, WorkerId};
use crate::store::entity::{run, session};
use crate::store::payload::word;
use crate::store::rows::runs_of;
use crate::store::sql::statement;

impl Queue {
    /// T6: a queued run is cancelled at once, a live one is asked to end; a finished one is left as it is.
    pub async fn request_cancel(&self, run: RunId, reason: &str) -> Result<Run> {
        let cancelled = transaction!(self, "cancel", tx => request(tx, run, reason).await)?;
        self.hint_cancel([run]);
        Ok(cancelled)
    }

    /// Tells those who work on these runs, and the claimer: a cancelled head makes room for the next.
    pub(super) fn hint_cancel(&self, runs: impl IntoIterator<Item = RunId>) {
        // Where nobody works on runs nobody would take them out again.
        if self.inner.cancelled.receiver_count() > 0 {
            self.inner.cancelled.send_modify(|known| Arc::make_mut(known).extend(runs));
        }
        self.inner.hints.cancel();
        self.hint_work();
    }

    /// Looks for cancels that another server wrote, among the runs that a worker knows it works on; one query for all. A
    /// run that is not its any more counts as well: whatever became of it, this worker has nothing more to do there.
    pub async fn look_for_cancels(&self, worker: WorkerId, mine: &[RunId]) -> Result<()> {
        if mine.is_empty() {
            return Ok(());
        }
        let text = "SELECT r.id, r.cancel_requested FROM sessions s JOIN runs r ON r.id = s.live_run_id \
                    WHERE s.worker_id = ? AND s.state = 'running'";
        let rows = self.store().read().query_all_raw(statement(self.store().backend(), text, vec![worker.0.into()])).await?;
        let read = |row: &sea_orm::QueryResult| Ok((RunId(row.try_get_by_index(0)?), row.try_get_by_index::<bool>(1)?));
        let held = rows.iter().map(read).collect::<Result<HashMap<_, _>, sea_orm::DbErr>>()?;
        let found: HashSet<RunId> = mine.iter().copied().filter(|run| held.get(run).copied().unwrap_or(true)).collect();
        self.inner.cancelled.send_if_modified(|known| {
            let news = **known != found;
            if news {
                *known = Arc::new(found);
            }
            news
        });
        Ok(())
    }

    /// Completes when this server knows of a cancel of this run. What another server wrote it learns by
    /// [`Queue::look_for_cancels`].
    pub async fn cancelled(&self, run: RunId) {
        let mut known = self.inner.cancelled.subscribe();
        // The sender lives as long as the queue.
        let _ = known.wait_for(|known| known.contains(&run)).await;
    }
}

async fn request(tx: &DatabaseTransaction, id: RunId, reason: &str) -> Step<Run> {
    let gone = || Error::NotFound { kind: "run", id: id.to_string() };
    let seen = run::Entity::find_by_id(id.0).one(tx).await?.ok_or_else(gone)?;
    // Session before run, as everywhere; the run is read again under its lock.
    let session = locked::session(tx, seen.session_id).await?;
    let run = locked::run(tx, id.0).await?.ok_or_else(gone)?;
    let after = cancel(tx, session, run, reason).await?;
    Ok(runs_of(tx, vec![after], true).await?.pop().ok_or_else(gone)?)
}

/// Cancels a run whose rows are locked; a queued one ends, a live one is asked to, a finished one stays.
pub(super) async fn cancel(
    tx: &DatabaseTransaction,
    session: Option<session::Model>,
    before: run::Model,
    reason: &str,
) -> Step<run::Model> {
    let mut run = before.clone();
    let status: RunStatus = word(&run.status)?;
    if status.is_end() || run.cancel_requested {
        return Ok(run);
    }
    run.cancel_requested = true;
    reason.clone_into(&mut run.cancel_reason);
    if status != RunStatus::Queued {
        run.status = outcome::step(&run, RunEvent::RequestCancel)?.to_string();
        locked::save(tx, &before, run.clone()).await?;
        return Ok(run);
    }
    outcome::end(tx, &mut run, RunEvent::RequestCancel, Ending::default()).await?;
    locked::save(tx, &before, run.clone()).await?;
    if let Some(before) = session {
        let mut session = before.clone();
        session.queued_count -= 1;
        if session.state == SessionState::Queued.as_str() && session.head == run.seq {
            locked::advance(tx, &mut session).await?;
        }
        locked::save(tx, &before, session).await?;
    }
    Ok(run)
}

/// Ids of the queued and live runs of a session, oldest first.
pub(super) async fn unfinished(
    tx: &DatabaseTransaction,
    sessions: impl Fn(sea_orm::Select<run::Entity>) -> sea_orm::Select<run::Entity>,
) -> Step<Vec<run::Model>> {
    let waiting = [RunStatus::Queued, RunStatus::Starting, RunStatus::Running, RunStatus::Cancelling].map(RunStatus::as_str);
    let select = run::Entity::find().filter(run::Column::Status.is_in(waiting));
    Ok(sessions(select).all(tx).await?)
}
