//! What is too old is deleted, in small batches, so that the writer is never held long.

use sea_orm::{ConnectionTrait, Value};

use super::Store;
use super::sql::statement;
use crate::domain::{Result, UnixMicros};

/// Rows per transaction.
const BATCH: u64 = 500;

/// What retention deletes, oldest first. The cut is a time in microseconds, or the smallest UUIDv7 of that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old {
    /// Headers and bodies of deliveries.
    Payloads,
    /// Deliveries.
    Deliveries,
    /// Chunks of the journals of finished runs.
    Journals,
    /// Finished runs, with what belongs to them; a session of their own goes with them.
    Runs,
    /// Remembered requests.
    Requests,
}

impl Old {
    /// Every kind, in the order in which they go.
    pub(crate) const ALL: [Self; 5] = [Self::Payloads, Self::Deliveries, Self::Journals, Self::Runs, Self::Requests];

    /// Statements of one batch, each with so many `?` for the cut; the first one's count says whether more is left.
    fn statements(self) -> &'static [&'static str] {
        match self {
            Self::Payloads => &["DELETE FROM delivery_payloads WHERE delivery_id IN (SELECT delivery_id FROM delivery_payloads WHERE delivery_id < ? ORDER BY delivery_id LIMIT 500)"],
            Self::Deliveries => &[
                "DELETE FROM run_deliveries WHERE delivery_id IN (SELECT id FROM deliveries WHERE id < ? ORDER BY id LIMIT 500)",
                "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE id < ? ORDER BY id LIMIT 500)",
            ],
            Self::Journals => &["DELETE FROM journal_chunks WHERE run_id IN (SELECT id FROM runs WHERE id < ? AND first_sequence < next_sequence AND end_time IS NOT NULL ORDER BY id LIMIT 500)"],
            Self::Runs => &[
                "DELETE FROM attempts WHERE run_id IN (SELECT id FROM runs WHERE id < ? AND end_time IS NOT NULL ORDER BY id LIMIT 500)",
                "DELETE FROM journal_chunks WHERE run_id IN (SELECT id FROM runs WHERE id < ? AND end_time IS NOT NULL ORDER BY id LIMIT 500)",
                "DELETE FROM run_deliveries WHERE run_id IN (SELECT id FROM runs WHERE id < ? AND end_time IS NOT NULL ORDER BY id LIMIT 500)",
                "DELETE FROM sessions WHERE kind = 'once' AND state = 'idle' AND id IN (SELECT session_id FROM runs WHERE id < ? AND end_time IS NOT NULL ORDER BY id LIMIT 500)",
                "DELETE FROM runs WHERE id IN (SELECT id FROM runs WHERE id < ? AND end_time IS NOT NULL ORDER BY id LIMIT 500)",
            ],
            Self::Requests => &["DELETE FROM remembered_requests WHERE create_time < ?"],
        }
    }

    /// What the statements compare with.
    fn cut(self, before: UnixMicros) -> Value {
        if self == Self::Requests { before.0.into() } else { smallest_id(before).into() }
    }
}

/// The smallest UUIDv7 of a time: ids are ordered by time, so this cuts a list of them.
fn smallest_id(at: UnixMicros) -> uuid::Uuid {
    let millis = u64::try_from(at.0 / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// Deletes one batch of what is older than `before`; gives how many rows went and whether there may be more.
pub(crate) async fn delete_batch(store: &Store, old: Old, before: UnixMicros) -> Result<(u64, bool)> {
    let transaction = store.begin().await?;
    let (mut gone, mut last) = (0, 0);
    for text in old.statements() {
        let done = transaction.execute_raw(statement(store.backend(), *text, vec![old.cut(before)])).await?;
        last = done.rows_affected();
        gone += last;
    }
    if old == Old::Journals {
        // A run without chunks says so: its journal begins after its end.
        let text = "UPDATE runs SET first_sequence = next_sequence WHERE id IN (SELECT id FROM runs WHERE id < ? AND first_sequence < next_sequence AND end_time IS NOT NULL ORDER BY id LIMIT 500)";
        last = transaction.execute_raw(statement(store.backend(), text, vec![old.cut(before)])).await?.rows_affected();
    }
    transaction.commit().await?;
    Ok((gone, last >= BATCH))
}

/// How many runs wait, and since when the oldest that could start.
pub(crate) async fn queue_figures(store: &Store) -> Result<(u64, Option<UnixMicros>)> {
    let text = "SELECT COUNT(*), MIN(CASE WHEN not_before <= ? THEN create_time END) FROM runs WHERE status = 'queued'";
    let row = store.read().query_one_raw(statement(store.backend(), text, vec![UnixMicros::now().0.into()])).await?;
    let Some(row) = row else { return Ok((0, None)) };
    let waiting: i64 = row.try_get_by_index(0)?;
    let oldest: Option<i64> = row.try_get_by_index(1)?;
    Ok((waiting.unsigned_abs(), oldest.map(UnixMicros)))
}

/// Takes the clean-up of this local date, if nobody did before; gives whether it is ours.
pub(crate) async fn take_cleanup(store: &Store, date: &str) -> Result<bool> {
    let text = "UPDATE settings SET last_cleanup_date = ? WHERE last_cleanup_date IS NULL OR last_cleanup_date < ?";
    let values = vec![Value::from(date), Value::from(date)];
    Ok(store.write().execute_raw(statement(store.backend(), text, values)).await?.rows_affected() > 0)
}

/// The local date of the last daily clean-up.
pub(crate) async fn last_cleanup(store: &Store) -> Result<Option<String>> {
    let row = store.read().query_one_raw(statement(store.backend(), "SELECT last_cleanup_date FROM settings", vec![])).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.flatten())
}
