//! T6: a run's end is asked for.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::outcome::{self, Ending};
use super::transaction::{Step, transaction};
use super::{Queue, locked};
use crate::domain::{CancelMode, Error, Result, Run, RunEvent, RunId, RunStatus, SessionState, WorkerId};
use crate::store::entity::{run, session};
use crate::store::payload::word;
use crate::store::rows::runs_of;
use crate::store::sql::statement;

/// Cancels that this server knows of: which run, and how it is to end.
pub(super) type Asked = HashMap<RunId, CancelMode>;

impl Queue {
    /// T6: a queued run is cancelled at once, a live one is asked to end; a finished one is left as it is.
    pub async fn request_cancel(&self, run: RunId, reason: &str) -> Result<Run> {
        self.request_end(run, CancelMode::Now, reason).await
    }

    /// T6 for a live run whose running tool call may answer first. A later [`Self::request_cancel`] ends it at once.
    pub async fn request_cancel_after_step(&self, run: RunId, reason: &str) -> Result<Run> {
        self.request_end(run, CancelMode::AfterStep, reason).await
    }

    async fn request_end(&self, run: RunId, mode: CancelMode, reason: &str) -> Result<Run> {
        let cancelled = transaction!(self, "cancel", tx => request(tx, run, mode, reason).await)?;
        self.hint_ends([(run, mode)]);
        Ok(cancelled)
    }

    /// Tells those who work on these runs that they end now, and the claimer: a cancelled head makes room for the next.
    pub(super) fn hint_cancel(&self, runs: impl IntoIterator<Item = RunId>) {
        self.hint_ends(runs.into_iter().map(|run| (run, CancelMode::Now)));
    }

    fn hint_ends(&self, runs: impl IntoIterator<Item = (RunId, CancelMode)>) {
        // Where nobody works on runs nobody would take them out again.
        if self.inner.cancelled.receiver_count() > 0 {
            self.inner.cancelled.send_modify(|known| {
                let known = Arc::make_mut(known);
                for (run, mode) in runs {
                    // An end at once does not become a patient one.
                    if known.get(&run) != Some(&CancelMode::Now) {
                        known.insert(run, mode);
                    }
                }
            });
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
        let text = "SELECT r.id, r.cancel_requested, r.cancel_mode FROM sessions s JOIN runs r ON r.id = s.live_run_id \
                    WHERE s.worker_id = ? AND s.state = 'running'";
        let rows = self.store().read().query_all_raw(statement(self.store().backend(), text, vec![worker.0.into()])).await?;
        let read = |row: &sea_orm::QueryResult| {
            let mode = row.try_get_by_index::<String>(2)?.parse().unwrap_or(CancelMode::Now);
            Ok((RunId(row.try_get_by_index(0)?), row.try_get_by_index::<bool>(1)?.then_some(mode)))
        };
        let held = rows.iter().map(read).collect::<Result<HashMap<_, _>, sea_orm::DbErr>>()?;
        let asked = |run: &RunId| held.get(run).copied().unwrap_or(Some(CancelMode::Now));
        let found: Asked = mine.iter().filter_map(|run| Some((*run, asked(run)?))).collect();
        self.inner.cancelled.send_if_modified(|known| {
            let news = **known != found;
            if news {
                *known = Arc::new(found);
            }
            news
        });
        Ok(())
    }

    /// Completes when this server knows of a cancel of this run that is not `known` to the caller yet. What another server
    /// wrote it learns by [`Queue::look_for_cancels`].
    pub async fn cancelled(&self, run: RunId, known: Option<CancelMode>) -> CancelMode {
        let mut asked = self.inner.cancelled.subscribe();
        let news = asked.wait_for(|asked| asked.get(&run).is_some_and(|mode| Some(*mode) != known)).await;
        // The sender lives as long as the queue.
        news.ok().and_then(|asked| asked.get(&run).copied()).unwrap_or(CancelMode::Now)
    }
}

async fn request(tx: &DatabaseTransaction, id: RunId, mode: CancelMode, reason: &str) -> Step<Run> {
    let gone = || Error::NotFound { kind: "run", id: id.to_string() };
    let seen = run::Entity::find_by_id(id.0).one(tx).await?.ok_or_else(gone)?;
    // Session before run, as everywhere; the run is read again under its lock.
    let session = locked::session(tx, seen.session_id).await?;
    let run = locked::run(tx, id.0).await?.ok_or_else(gone)?;
    let after = end(tx, session, run, mode, reason).await?;
    Ok(runs_of(tx, vec![after], true).await?.pop().ok_or_else(gone)?)
}

/// Cancels a run whose rows are locked; a queued one ends, a live one is asked to, a finished one stays.
pub(super) async fn cancel(
    tx: &DatabaseTransaction,
    session: Option<session::Model>,
    before: run::Model,
    reason: &str,
) -> Step<run::Model> {
    end(tx, session, before, CancelMode::Now, reason).await
}

async fn end(
    tx: &DatabaseTransaction,
    session: Option<session::Model>,
    before: run::Model,
    mode: CancelMode,
    reason: &str,
) -> Step<run::Model> {
    let mut run = before.clone();
    let status: RunStatus = word(&run.status)?;
    let hurries = mode == CancelMode::Now && run.cancel_mode == CancelMode::AfterStep.as_str();
    if status.is_end() || (run.cancel_requested && !hurries) {
        return Ok(run);
    }
    run.cancel_requested = true;
    run.cancel_mode = mode.to_string();
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
