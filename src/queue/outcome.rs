//! How a run ends: its row, its attempt, and the outcome entry of its journal, in the caller's transaction and nowhere else.

use sea_orm::DatabaseTransaction;

use super::locked;
use super::transaction::Step;
use crate::domain::{
    EntryKind, Error, Failure, JournalEntry, NoticeCode, RunEvent, RunId, RunState, RunStatus, RunWarning, UnixMicros, transition,
};
use crate::store::chunk;
use crate::store::entity::run;
use crate::store::journal_chunks::{NewChunk, insert_chunk};
use crate::store::payload::{warnings_to, word};
use crate::store::rows::usage;

/// An end, as it is written.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) failure: Option<Failure>,
    pub(super) text: String,
    pub(super) warnings: Vec<RunWarning>,
    pub(super) turn_duration_ms: i64,
    pub(super) api_duration_ms: i64,
}

/// Where this event takes the run. Errors: the event cannot happen to a run that is where this one is.
pub(super) fn step(run: &run::Model, event: RunEvent) -> Step<RunStatus> {
    let from: RunStatus = word(&run.status)?;
    Ok(transition(from, event).map_err(Error::internal)?)
}

/// Ends a run by `event`. The row is changed in memory; the outcome entry is written.
pub(super) async fn end(tx: &DatabaseTransaction, run: &mut run::Model, event: RunEvent, ending: Ending) -> Step<()> {
    let status = step(run, event)?;
    run.status = status.to_string();
    run.lease_id = None;
    // Now it is known what it used.
    run.metered = None;
    run.end_time = Some(UnixMicros::now().0);
    run.result_text.clone_from(&ending.text);
    run.warnings = warnings_to(&ending.warnings);
    if let Some(failure) = &ending.failure {
        run.failure_reason = Some(failure.reason.to_string());
        run.failure_message.clone_from(&failure.message);
        run.failure_api_status = failure.api_status;
    }
    let state = match status {
        RunStatus::Succeeded => RunState::Succeeded,
        RunStatus::Cancelled => RunState::Cancelled,
        _ => RunState::Failed,
    };
    let mut cut = ending.text;
    let truncated = cut.len() > chunk::MAX_TEXT_BYTES;
    cut.truncate(cut.floor_char_boundary(chunk::MAX_TEXT_BYTES));
    let kind = EntryKind::Outcome {
        state,
        result_text: cut,
        failure: ending.failure,
        usage: usage!(run)?,
        warnings: ending.warnings,
        turn_duration_ms: ending.turn_duration_ms,
        api_duration_ms: ending.api_duration_ms,
    };
    entry(tx, run, kind, truncated).await
}

/// Ends the run's present attempt.
pub(super) async fn end_attempt(tx: &DatabaseTransaction, run: &run::Model, exit: &str, failure: Option<&Failure>) -> Step<()> {
    let before = locked::attempt(tx, run.id, run.attempt).await?;
    let mut after = before.clone();
    after.exit = exit.to_owned();
    after.end_time = Some(UnixMicros::now().0);
    after.failure_reason = failure.map(|failure| failure.reason.to_string());
    after.failure_message = failure.map(|failure| failure.message.clone()).unwrap_or_default();
    Ok(locked::save(tx, &before, after).await?)
}

/// A notice of ours at the end of the run's journal. The row is changed in memory.
pub(super) async fn notice(tx: &DatabaseTransaction, run: &mut run::Model, code: NoticeCode, message: &str) -> Step<()> {
    entry(tx, run, EntryKind::Notice { code, message: message.to_owned(), values: Vec::new() }, false).await
}

async fn entry(tx: &DatabaseTransaction, run: &mut run::Model, kind: EntryKind, truncated: bool) -> Step<()> {
    let entry = JournalEntry {
        sequence: run.next_sequence,
        attempt: run.attempt,
        time: UnixMicros::now(),
        parent_tool_use_id: String::new(),
        truncated,
        raw: String::new(),
        kind,
    };
    let chunk = NewChunk {
        count: 1,
        attempt: run.attempt,
        raw_bytes: i64::try_from(chunk::weight(&entry)).unwrap_or(i64::MAX),
        body: chunk::encode(std::slice::from_ref(&entry)),
    };
    insert_chunk(tx, RunId(run.id), run.next_sequence, chunk).await?;
    run.next_sequence += 1;
    Ok(())
}
