//! Chunks of journals: the one place where a run's sequence moves on.

use sea_orm::{ActiveValue::Set, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait};

use super::entity::journal_chunk;
use super::payload::{Metered, metered_to};
use super::sql::statement;
use crate::domain::{LeaseId, RunId, Sequence, UnixMicros};

/// A chunk before it has its place.
#[derive(Debug)]
pub(crate) struct NewChunk {
    /// How many entries it holds.
    pub(crate) count: i32,
    /// The attempt that wrote them.
    pub(crate) attempt: i32,
    /// Size before compression.
    pub(crate) raw_bytes: i64,
    /// The encoded entries.
    pub(crate) body: Vec<u8>,
}

/// Takes `count` sequences of a run under this lease and returns the first; none: the lease is not current any more. What
/// these entries tell of its cost is noted on the same way.
pub(crate) async fn take_sequences(
    tx: &DatabaseTransaction,
    run: RunId,
    lease: LeaseId,
    count: i32,
    metered: Option<&Metered>,
) -> Result<Option<Sequence>, DbErr> {
    let set = if metered.is_some() { ", metered = ?" } else { "" };
    let text = format!("UPDATE runs SET next_sequence = next_sequence + ?{set} WHERE id = ? AND lease_id = ? RETURNING next_sequence");
    let values = [count.into()].into_iter().chain(metered.map(|metered| metered_to(metered).into()));
    let values = values.chain([run.0.into(), lease.0.into()]).collect();
    let row = tx.query_one_raw(statement(tx.get_database_backend(), &text, values)).await?;
    row.map(|row| row.try_get_by_index::<i32>(0).map(|next| next - count)).transpose()
}

/// Stores a chunk at its place.
pub(crate) async fn insert_chunk(tx: &DatabaseTransaction, run: RunId, first: Sequence, chunk: NewChunk) -> Result<(), DbErr> {
    let row = journal_chunk::ActiveModel {
        run_id: Set(run.0),
        first_sequence: Set(first),
        entry_count: Set(chunk.count),
        attempt: Set(chunk.attempt),
        raw_bytes: Set(chunk.raw_bytes),
        create_time: Set(UnixMicros::now().0),
        body: Set(chunk.body),
    };
    journal_chunk::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}
