//! T6: a run's end is asked for.

use std::time::Duration;

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use super::outcome::{self, Ending};
use super::transaction::{Step, transaction};
use super::{Queue, locked};
use crate::domain::{CancelMode, Error, Result, Run, RunEvent, RunId, RunStatus, SessionState};
use crate::store::entity::{run, session};
use crate::store::payload::word;
use crate::store::rows::runs_of;

/// How often a live run looks for a cancel that another server wrote.
const LOOK: Duration = Duration::from_secs(1);

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
        self.hint_cancel();
        Ok(cancelled)
    }

    /// Wakes everyone who waits for a cancel, and the claimer: a cancelled head makes room for the next.
    pub(super) fn hint_cancel(&self) {
        self.inner.cancels.notify_waiters();
        self.hint_work();
    }

    /// Completes when a cancel of this run was requested that is not `known` yet (an in-process hint with a polled fallback).
    pub async fn cancelled(&self, run: RunId, known: Option<CancelMode>) -> CancelMode {
        loop {
            // Registered before the look: a cancel in between is not missed.
            let hint = self.inner.cancels.notified();
            tokio::pin!(hint);
            hint.as_mut().enable();
            match self.cancel_mode(run).await {
                Some(mode) if Some(mode) != known => return mode,
                _ => {}
            }
            tokio::select! { () = hint => {}, () = tokio::time::sleep(LOOK) => {} }
        }
    }

    /// How the run is to end, if it is; a run that is gone ends now.
    async fn cancel_mode(&self, run: RunId) -> Option<CancelMode> {
        let columns = [run::Column::CancelRequested, run::Column::CancelMode];
        let asked = run::Entity::find_by_id(run.0).select_only().columns(columns).into_tuple::<(bool, String)>();
        match asked.one(self.store().read()).await {
            Ok(Some((false, _))) => None,
            Ok(Some((true, mode))) => Some(mode.parse().unwrap_or(CancelMode::Now)),
            Ok(None) => Some(CancelMode::Now),
            Err(error) => {
                tracing::warn!(run.id = %run, %error, "cannot look whether the run was cancelled");
                None
            }
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
