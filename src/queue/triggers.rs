//! Deleting a trigger: its runs end, its sessions go; history stays.

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};
use uuid::Uuid;

use super::cancel::cancel;
use super::outcome::{self, Ending};
use super::sessions::delete_belongings;
use super::transaction::{Step, transaction};
use super::{DeletedTrigger, Queue, locked};
use crate::domain::{CancelMode, Error, Result, RunEvent, RunId, RunStatus, SessionId, TriggerId};
use crate::store::entity::{limit, run, session, trigger, trigger_secret};

/// Rows that one transaction takes.
const AT_ONCE: u64 = 100;
const REASON: &str = "its trigger was deleted";

impl Queue {
    /// Deletes a trigger with its sessions, secrets and limits. Errors: `TriggerBusy` without `force`.
    pub async fn delete_trigger(&self, trigger: TriggerId, force: bool) -> Result<DeletedTrigger> {
        transaction!(self, "close_trigger", tx => close(tx, trigger, force).await)?;
        self.finish_deleting(trigger).await
    }

    /// What deleting a trigger would take with it. Errors: `TriggerBusy` without `force`.
    pub async fn foresee_deletion(&self, trigger: TriggerId, force: bool) -> Result<DeletedTrigger> {
        let db = self.store().read();
        let run_count = i64::try_from(unfinished(trigger).count(db).await?).unwrap_or(i64::MAX);
        if run_count > 0 && !force {
            return Err(Error::TriggerBusy { run_count });
        }
        let found: Vec<(Uuid, i64)> = session::Entity::find()
            .select_only()
            .columns([session::Column::Id, session::Column::TranscriptBytes])
            .filter(session::Column::TriggerId.eq(trigger.0))
            .into_tuple()
            .all(db)
            .await?;
        Ok(DeletedTrigger {
            cancelled_run_count: run_count,
            freed_bytes: found.iter().map(|(_, bytes)| bytes).sum(),
            session_ids: found.into_iter().map(|(id, _)| SessionId(id)).collect(),
        })
    }

    /// Finishes what a server that died in the middle of a deletion left: sessions without a trigger.
    pub(super) async fn finish_deletions(&self) -> Result<()> {
        let owned = trigger::Entity::find().select_only().column(trigger::Column::Id).into_query();
        let orphaned: Vec<Uuid> = session::Entity::find()
            .select_only()
            .column(session::Column::TriggerId)
            .distinct()
            .filter(session::Column::TriggerId.not_in_subquery(owned))
            .into_tuple()
            .all(self.store().read())
            .await?;
        for trigger in orphaned {
            let deleted = self.finish_deleting(TriggerId(trigger)).await?;
            tracing::info!(trigger.id = %TriggerId(trigger), sessions = deleted.session_ids.len(), "deletion of a trigger was finished");
        }
        Ok(())
    }

    async fn finish_deleting(&self, trigger: TriggerId) -> Result<DeletedTrigger> {
        let mut deleted = DeletedTrigger::default();
        loop {
            let ended = transaction!(self, "end_runs", tx => end_some_runs(tx, trigger).await)?;
            if ended.is_empty() {
                break;
            }
            deleted.cancelled_run_count += i64::try_from(ended.len()).unwrap_or(i64::MAX);
            self.hint_cancel(ended.into_iter().map(|run| (run, CancelMode::Now)));
        }
        loop {
            let gone = transaction!(self, "delete_sessions", tx => delete_some_sessions(tx, trigger).await)?;
            if gone.is_empty() {
                break;
            }
            deleted.freed_bytes += gone.iter().map(|row| row.transcript_bytes).sum::<i64>();
            deleted.session_ids.extend(gone.iter().map(|row| SessionId(row.id)));
        }
        Ok(deleted)
    }
}

fn unfinished(trigger: TriggerId) -> sea_orm::Select<run::Entity> {
    let statuses = [RunStatus::Queued, RunStatus::Starting, RunStatus::Running, RunStatus::Cancelling].map(RunStatus::as_str);
    run::Entity::find().filter(run::Column::TriggerId.eq(trigger.0)).filter(run::Column::Status.is_in(statuses))
}

/// From here on nothing of this trigger begins: it has no row that intake finds, and no limit that claims find.
async fn close(tx: &DatabaseTransaction, id: TriggerId, force: bool) -> Step<()> {
    let row = trigger::Entity::find_by_id(id.0).lock_exclusive().one(tx).await?;
    row.ok_or_else(|| Error::NotFound { kind: "trigger", id: id.to_string() })?;
    let run_count = i64::try_from(unfinished(id).count(tx).await?).unwrap_or(i64::MAX);
    if run_count > 0 && !force {
        return Err(Error::TriggerBusy { run_count }.into());
    }
    trigger::Entity::delete_by_id(id.0).exec(tx).await?;
    trigger_secret::Entity::delete_many().filter(trigger_secret::Column::TriggerId.eq(id.0)).exec(tx).await?;
    limit::Entity::delete_by_id(id.0).exec(tx).await?;
    Ok(())
}

/// Ends some runs, live ones too: whoever holds one finds its lease gone, and kills its agent.
async fn end_some_runs(tx: &DatabaseTransaction, trigger: TriggerId) -> Step<Vec<RunId>> {
    // Claims and ends lock this row first: which runs are live stays so.
    limit::Entity::find_by_id(Uuid::nil()).lock_exclusive().one(tx).await?;
    let runs = unfinished(trigger).order_by_asc(run::Column::Id).limit(AT_ONCE).all(tx).await?;
    for seen in &runs {
        let live = seen.lease_id.is_some();
        if live {
            locked::give_back(tx, seen.trigger_id).await?;
        }
        let session = locked::session(tx, seen.session_id).await?;
        let Some(run) = locked::run(tx, seen.id).await? else { continue };
        if !live {
            cancel(tx, session, run, REASON).await?;
            continue;
        }
        end_live(tx, session, run).await?;
    }
    Ok(runs.iter().map(|run| RunId(run.id)).collect())
}

async fn end_live(tx: &DatabaseTransaction, session: Option<session::Model>, before: run::Model) -> Step<()> {
    let mut run = before.clone();
    tracing::info!(run.id = %RunId(run.id), "live run is cancelled: {REASON}");
    outcome::end_attempt(tx, &run, "cancelled", None).await?;
    run.cancel_requested = true;
    REASON.clone_into(&mut run.cancel_reason);
    outcome::end(tx, &mut run, RunEvent::Cancel, Ending::default()).await?;
    locked::save(tx, &before, run).await?;
    if let Some(before) = session {
        let mut session = before.clone();
        locked::advance(tx, &mut session).await?;
        locked::save(tx, &before, session).await?;
    }
    Ok(())
}

async fn delete_some_sessions(tx: &DatabaseTransaction, trigger: TriggerId) -> Step<Vec<session::Model>> {
    let ids: Vec<Uuid> = session::Entity::find()
        .select_only()
        .column(session::Column::Id)
        .filter(session::Column::TriggerId.eq(trigger.0))
        .limit(AT_ONCE)
        .into_tuple()
        .all(tx)
        .await?;
    let deleted = session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).exec_with_returning(tx).await?;
    delete_belongings(tx, &deleted.iter().map(|row| row.id).collect::<Vec<_>>()).await?;
    Ok(deleted)
}
