//! What is too old is deleted, in small batches, so that the writer is never held long.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, FromQueryResult, Value};
use uuid::Uuid;

use super::Store;
use super::page::first_id_at;
use super::sql::{placeholders, statement};
use crate::domain::{Result, UnixMicros};

/// Rows per transaction; of runs fewer, since others go with each.
const BATCH: usize = 500;
const RUN_BATCH: usize = 100;
/// Chunks are the bulkiest rows.
const CHUNK_BATCH: usize = 100;

/// What retention deletes. Whatever belongs to a run that is not finished stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old {
    /// Headers and bodies of deliveries.
    Payloads,
    /// Deliveries.
    Deliveries,
    /// Journals of finished runs.
    Journals,
    /// Finished runs, with what belongs to them; a session of their own goes with the last of them.
    Runs,
    /// Remembered requests.
    Requests,
}

impl Old {
    /// Every kind, in the order in which they go.
    pub(crate) const ALL: [Self; 5] = [Self::Payloads, Self::Deliveries, Self::Journals, Self::Runs, Self::Requests];
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

#[derive(FromQueryResult)]
struct Chunk {
    run_id: Uuid,
    first_sequence: i32,
}

#[derive(FromQueryResult)]
struct Lines {
    run_id: Uuid,
    attempt: i32,
    first_number: i64,
}

impl Store {
    /// Deletes one batch of what is older than `before`, oldest first; gives how many rows went. 0: nothing is left.
    pub(crate) async fn delete_old(&self, old: Old, before: UnixMicros) -> Result<u64> {
        match old {
            Old::Payloads => self.delete_payloads(before).await,
            Old::Deliveries => self.delete_deliveries(before).await,
            Old::Journals => self.delete_journals(before).await,
            Old::Runs => self.delete_runs(before).await,
            Old::Requests => {
                let text = "DELETE FROM remembered_requests WHERE (api_key_id, rpc, request_id) IN \
                            (SELECT api_key_id, rpc, request_id FROM remembered_requests WHERE create_time < ? LIMIT 500)";
                let done = self.write().execute_raw(statement(self.backend(), text, vec![before.0.into()])).await?;
                Ok(done.rows_affected())
            }
        }
    }

    async fn delete_payloads(&self, before: UnixMicros) -> Result<u64> {
        let ids = self.old_deliveries("delivery_payloads", "delivery_id", before).await?;
        self.delete_by_id(&ids, &["DELETE FROM delivery_payloads WHERE delivery_id IN"]).await
    }

    async fn delete_deliveries(&self, before: UnixMicros) -> Result<u64> {
        let ids = self.old_deliveries("deliveries", "id", before).await?;
        let all = [
            "DELETE FROM delivery_payloads WHERE delivery_id IN",
            "DELETE FROM run_deliveries WHERE delivery_id IN",
            "DELETE FROM deliveries WHERE id IN",
        ];
        self.delete_by_id(&ids, &all).await
    }

    /// Ids begin with their time, so the oldest are found at the beginning of the index.
    async fn old_deliveries(&self, table: &str, column: &str, before: UnixMicros) -> Result<Vec<Uuid>> {
        let text = format!(
            "SELECT t.{column} AS id FROM {table} t WHERE t.{column} < ? AND NOT EXISTS (SELECT 1 FROM run_deliveries l \
             JOIN runs r ON r.id = l.run_id WHERE l.delivery_id = t.{column} AND r.end_time IS NULL) ORDER BY t.{column} LIMIT {BATCH}"
        );
        let found = Id::find_by_statement(statement(self.backend(), text, vec![first_id_at(before).into()])).all(self.read()).await?;
        Ok(found.into_iter().map(|row| row.id).collect())
    }

    async fn delete_journals(&self, before: UnixMicros) -> Result<u64> {
        let text = format!(
            "SELECT c.run_id, c.first_sequence FROM journal_chunks c JOIN runs r ON r.id = c.run_id \
             WHERE c.run_id < ? AND r.end_time < ? ORDER BY c.run_id, c.first_sequence LIMIT {CHUNK_BATCH}"
        );
        let values = vec![first_id_at(before).into(), before.0.into()];
        let chunks = Chunk::find_by_statement(statement(self.backend(), text, values)).all(self.read()).await?;
        let newest: BTreeMap<Uuid, i32> = chunks.into_iter().map(|chunk| (chunk.run_id, chunk.first_sequence)).collect();
        if newest.is_empty() {
            return self.delete_lines(before).await;
        }
        let tx = self.begin().await?;
        let mut gone = 0;
        for (run, sequence) in newest {
            // The row says at once that the journal begins after its end, although its last chunks may go in a later batch.
            let purged = "UPDATE runs SET first_sequence = next_sequence WHERE id = ?";
            tx.execute_raw(statement(self.backend(), purged, vec![run.into()])).await?;
            let chunks = "DELETE FROM journal_chunks WHERE run_id = ? AND first_sequence <= ?";
            gone += tx.execute_raw(statement(self.backend(), chunks, vec![run.into(), sequence.into()])).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// The lines that stand beside journals which are gone already.
    async fn delete_lines(&self, before: UnixMicros) -> Result<u64> {
        let text = format!(
            "SELECT l.run_id, l.attempt, l.first_number FROM journal_lines l JOIN runs r ON r.id = l.run_id \
             WHERE l.run_id < ? AND r.end_time < ? ORDER BY l.run_id, l.attempt, l.first_number LIMIT {CHUNK_BATCH}"
        );
        let values = vec![first_id_at(before).into(), before.0.into()];
        let lines = Lines::find_by_statement(statement(self.backend(), text, values)).all(self.read()).await?;
        let newest: BTreeMap<(Uuid, i32), i64> = lines.into_iter().map(|row| ((row.run_id, row.attempt), row.first_number)).collect();
        if newest.is_empty() {
            return Ok(0);
        }
        let tx = self.begin().await?;
        let mut gone = 0;
        for ((run, attempt), number) in newest {
            let lines = "DELETE FROM journal_lines WHERE run_id = ? AND attempt = ? AND first_number <= ?";
            let values = vec![run.into(), attempt.into(), number.into()];
            gone += tx.execute_raw(statement(self.backend(), lines, values)).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(gone)
    }

    async fn delete_runs(&self, before: UnixMicros) -> Result<u64> {
        let chunks = self.delete_journals(before).await?;
        if chunks > 0 {
            return Ok(chunks);
        }
        let text = format!("SELECT id FROM runs WHERE id < ? AND end_time < ? ORDER BY id LIMIT {RUN_BATCH}");
        let values = vec![first_id_at(before).into(), before.0.into()];
        let found = Id::find_by_statement(statement(self.backend(), text, values)).all(self.read()).await?;
        let ids: Vec<Uuid> = found.into_iter().map(|row| row.id).collect();
        if ids.is_empty() {
            return Ok(0);
        }
        let marks = placeholders(1, ids.len());
        let once = format!("SELECT session_id AS id FROM runs WHERE id IN {marks}");
        let sessions = Id::find_by_statement(statement(self.backend(), once, values_of(&ids))).all(self.read()).await?;
        let gone = self
            .delete_by_id(
                &ids,
                &["DELETE FROM attempts WHERE run_id IN", "DELETE FROM run_deliveries WHERE run_id IN", "DELETE FROM runs WHERE id IN"],
            )
            .await?;
        let sessions: Vec<Uuid> = sessions.into_iter().map(|row| row.id).collect();
        self.delete_once_sessions(&sessions).await?;
        Ok(gone)
    }

    /// Sessions that stood for runs which are gone now.
    async fn delete_once_sessions(&self, ids: &[Uuid]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let marks = placeholders(1, ids.len());
        let empty = "kind = 'once' AND state = 'idle' AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.session_id = sessions.id)";
        let tx = self.begin().await?;
        for table in ["conversations", "transcript_parts"] {
            let text = format!("DELETE FROM {table} WHERE session_id IN (SELECT id FROM sessions WHERE id IN {marks} AND {empty})");
            tx.execute_raw(statement(self.backend(), text, values_of(ids))).await?;
        }
        tx.execute_raw(statement(self.backend(), format!("DELETE FROM sessions WHERE id IN {marks} AND {empty}"), values_of(ids))).await?;
        Ok(tx.commit().await?)
    }

    /// One transaction of statements that each end in `IN`; gives what the last one deleted.
    async fn delete_by_id(&self, ids: &[Uuid], statements: &[&str]) -> Result<u64> {
        if ids.is_empty() {
            return Ok(0);
        }
        let marks = placeholders(1, ids.len());
        let tx = self.begin().await?;
        let mut gone = 0;
        for text in statements {
            gone = tx.execute_raw(statement(self.backend(), format!("{text} {marks}"), values_of(ids))).await?.rows_affected();
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// How many runs wait, and since when the oldest that could start.
    pub(crate) async fn queue_figures(&self, now: UnixMicros) -> Result<(u64, Option<UnixMicros>)> {
        // Two looks into the index of states; together they would read every waiting run's row.
        let waiting =
            self.read().query_one_raw(statement(self.backend(), "SELECT COUNT(*) FROM runs WHERE status = 'queued'", vec![])).await?;
        let waiting: i64 = waiting.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0);
        let oldest = "SELECT create_time FROM runs WHERE status = 'queued' AND not_before <= ? ORDER BY id LIMIT 1";
        let oldest = self.read().query_one_raw(statement(self.backend(), oldest, vec![now.0.into()])).await?;
        let oldest: Option<i64> = oldest.map(|row| row.try_get_by_index(0)).transpose()?;
        Ok((waiting.unsigned_abs(), oldest.map(UnixMicros)))
    }
}

fn values_of(ids: &[Uuid]) -> Vec<Value> {
    ids.iter().map(|id| (*id).into()).collect()
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
