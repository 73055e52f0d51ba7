//! T6: a run's end is asked for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sea_orm::{ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::outcome::{self, Ending};
use super::transaction::{Step, transaction};
use super::{Queue, locked};
use crate::domain::{CancelMode, Error, LeaseId, Result, Run, RunEvent, RunId, RunStatus, SessionState, WorkerId};
use crate::store::entity::{run, session};
use crate::store::payload::word;
use crate::store::rows::runs_of;
use crate::store::sql::statement;

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
        self.hint_cancel([(run, mode)]);
        Ok(cancelled)
    }

    /// Tells those who work on these runs, and the claimer: a cancelled head makes room for the next.
    pub(super) fn hint_cancel(&self, runs: impl IntoIterator<Item = (RunId, CancelMode)>) {
        // Where nobody works on runs nobody would take them out again.
        if self.inner.cancelled.receiver_count() > 0 {
            self.inner.cancelled.send_modify(|known| {
                let known = Arc::make_mut(known);
                for (run, mode) in runs {
                    // An end at once is not taken back.
                    known
                        .entry(run)
                        .and_modify(|before| {
                            if mode == CancelMode::Now {
                                *before = mode
                            }
                        })
                        .or_insert(mode);
                }
            });
        }
        self.inner.hints.cancel();
        self.hint_work();
    }

    /// Looks for cancels that another server wrote; one query for all runs of a worker. Gives the leases that the worker
    /// holds: one that it took for its own before and that is not among them is over.
    pub async fn look_for_cancels(&self, worker: WorkerId) -> Result<HashSet<LeaseId>> {
        let text = "SELECT s.lease_id, r.id, r.cancel_requested, r.cancel_mode FROM sessions s JOIN runs r ON r.id = s.live_run_id \
                    WHERE s.worker_id = ? AND s.state = 'running'";
        let rows = self.store().read().query_all_raw(statement(self.store().backend(), text, vec![worker.0.into()])).await?;
        let (mut held, mut found) = (HashSet::new(), HashMap::new());
        for row in rows {
            held.insert(LeaseId(row.try_get_by_index(0)?));
            if row.try_get_by_index(2)? {
                let mode: String = row.try_get_by_index(3)?;
                found.insert(RunId(row.try_get_by_index(1)?), mode.parse().unwrap_or(CancelMode::Now));
            }
        }
        self.inner.cancelled.send_if_modified(|known| {
            let news = **known != found;
            if news {
                *known = Arc::new(found);
            }
            news
        });
        Ok(held)
    }

    /// Completes when this server knows of a cancel of this run that is not `known` yet. What another server wrote it learns
    /// by [`Queue::look_for_cancels`].
    pub async fn cancelled(&self, run: RunId, known: Option<CancelMode>) -> CancelMode {
        let mut heard = self.inner.cancelled.subscribe();
        let news = |asked: &Arc<HashMap<RunId, CancelMode>>| asked.get(&run).is_some_and(|mode| Some(*mode) != known);
        let told = heard.wait_for(news).await.map(|asked| asked.get(&run).copied()).ok().flatten();
        match told {
            Some(mode) => mode,
            // The sender lives as long as the queue.
            None => std::future::pending().await,
        }
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
