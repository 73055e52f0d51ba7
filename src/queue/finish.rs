//! T3: the end of a run. One transaction moves run, attempt, limits, session, manifest and journal together.

use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::outcome::{self, Ending};
use super::transaction::{Step, transaction};
use super::{ConversationUpdate, Finish, Lease, Manifest, Queue, RunEnd, locked};
use crate::domain::{Result, RunEvent, SessionKind, UnixMicros};
use crate::store::entity::{conversation, run, session, transcript_part};
use crate::store::payload::manifest_to;

impl Queue {
    /// T3: the end of a run, with its outcome entry; fenced. Then the session's next run may be claimed.
    pub async fn finish(&self, lease: &Lease, finish: Finish) -> Result<()> {
        transaction!(self, "finish", tx => end(tx, lease, finish.clone()).await)?;
        self.hint_work();
        Ok(())
    }
}

async fn end(tx: &DatabaseTransaction, lease: &Lease, finish: Finish) -> Step<()> {
    let trigger = trigger_of(tx, lease).await?;
    locked::give_back(tx, trigger).await?;
    let (session_before, run_before) = locked::leased(tx, lease).await?;
    let (mut session, mut run) = (session_before.clone(), run_before.clone());

    let (event, exit, failure, text) = match finish.end {
        RunEnd::Succeeded(text) => (RunEvent::Succeed, "succeeded", None, text),
        RunEnd::Failed { failure, text } => (RunEvent::Fail, "failed", Some(failure), text),
        RunEnd::Cancelled => (RunEvent::Cancel, "cancelled", None, String::new()),
    };
    outcome::end_attempt(tx, &run, exit, failure.as_ref()).await?;
    describe(&mut run, finish.lineage, &finish.model, &finish.agent_version, finish.billing);
    let Finish { warnings, turn_duration_ms, api_duration_ms, .. } = finish;
    outcome::end(tx, &mut run, event, Ending { failure, text, warnings, turn_duration_ms, api_duration_ms }).await?;
    if let Some(end) = finish.conversation.as_ref().and_then(|update| update.manifest.as_ref()).and_then(Manifest::main) {
        (run.transcript_rewrite, run.transcript_bytes) = (end.rewrite, end.bytes);
    }
    locked::save(tx, &run_before, run).await?;

    keep(&mut session.model, &finish.model);
    keep(&mut session.agent_version, &finish.agent_version);
    if let Some(update) = finish.conversation {
        adopt(tx, &mut session, update).await?;
    }
    if session.kind == SessionKind::Once.as_str() {
        // Nothing continues it, so nothing of it is kept but its row, for as long as its run.
        transcript_part::Entity::delete_many().filter(transcript_part::Column::SessionId.eq(session.id)).exec(tx).await?;
        session.manifest.clear();
        session.transcript_bytes = 0;
    }
    session.last_use_time = UnixMicros::now().0;
    locked::advance(tx, &mut session).await?;
    Ok(locked::save(tx, &session_before, session).await?)
}

/// The trigger of a lease's run, read without a lock: it never changes.
pub(super) async fn trigger_of(tx: &DatabaseTransaction, lease: &Lease) -> Step<uuid::Uuid> {
    let run = run::Entity::find_by_id(lease.run_id.0).one(tx).await?;
    Ok(run.ok_or(crate::domain::Error::Fenced)?.trigger_id)
}

fn describe(
    run: &mut run::Model,
    lineage: Option<crate::domain::Lineage>,
    model: &str,
    version: &str,
    billing: Option<crate::domain::Billing>,
) {
    keep(&mut run.model, model);
    keep(&mut run.agent_version, version);
    if let Some(lineage) = lineage {
        run.lineage = Some(lineage.to_string());
    }
    if let Some(billing) = billing {
        run.billing = Some(billing.to_string());
    }
}

/// Replaces what is known only by something that is known.
fn keep(known: &mut String, new: &str) {
    if !new.is_empty() {
        new.clone_into(known);
    }
}

/// The session takes over what the run leaves of its conversation, unless it was reset meanwhile.
async fn adopt(tx: &DatabaseTransaction, session: &mut session::Model, update: ConversationUpdate) -> Step<()> {
    note_conversation(tx, session, &update).await?;
    if session.generation != update.generation {
        return Ok(());
    }
    session.agent_session_id = Some(update.agent_session_id);
    session.turn_count += update.turns;
    session.turns_since_compaction = if update.compacted { update.turns } else { session.turns_since_compaction + update.turns };
    session.last_cache_share = update.cache_share.or(session.last_cache_share);
    if let Some(manifest) = &update.manifest {
        take_custody(tx, session, manifest).await?;
    }
    Ok(())
}

/// What is known of a conversation outlives the session's moving on to another.
async fn note_conversation(tx: &DatabaseTransaction, session: &session::Model, update: &ConversationUpdate) -> Step<()> {
    let Some(before) = conversation::Entity::find_by_id((session.id, update.generation)).one(tx).await? else { return Ok(()) };
    let mut after = before.clone();
    after.turn_count += update.turns;
    after.agent_session_id = update.agent_session_id;
    if let Some(manifest) = &update.manifest {
        after.manifest = manifest_to(manifest);
    }
    Ok(locked::save(tx, &before, after).await?)
}

/// Makes a manifest count, and deletes the parts that no manifest of this generation names any more.
pub(super) async fn take_custody(tx: &DatabaseTransaction, session: &mut session::Model, manifest: &Manifest) -> Step<()> {
    session.manifest = manifest_to(manifest);
    session.transcript_bytes = manifest.bytes();
    let kept = manifest.files.iter().fold(sea_orm::Condition::any(), |kept, file| {
        kept.add(
            sea_orm::Condition::all()
                .add(transcript_part::Column::Path.eq(&file.path))
                .add(transcript_part::Column::Rewrite.eq(file.rewrite))
                .add(transcript_part::Column::Part.lt(file.parts)),
        )
    });
    let mut delete = transcript_part::Entity::delete_many()
        .filter(transcript_part::Column::SessionId.eq(session.id))
        .filter(transcript_part::Column::Generation.eq(session.generation));
    if !manifest.files.is_empty() {
        delete = delete.filter(kept.not());
    }
    delete.exec(tx).await?;
    Ok(())
}
