//! What must hold at any time, asked of the rows.

use sea_orm::{AccessMode, ConnectionTrait, DbErr, IsolationLevel, QueryResult, Statement, TransactionTrait};
use uuid::Uuid;

use super::Store;
use super::sql::now;
use crate::domain::{Result, WorkerId};

/// Each law, and the query that counts its breaches.
const INVARIANTS: &[(&str, &str)] = &[
    (
        "a session has at most one live run, and then it is running",
        "SELECT count(*) FROM (SELECT s.id FROM sessions s LEFT JOIN runs r ON r.session_id = s.id AND r.status IN ('starting', 'running', 'cancelling') \
         GROUP BY s.id, s.state HAVING count(r.id) <> CASE WHEN s.state = 'running' THEN 1 ELSE 0 END) AS b",
    ),
    (
        "runs of a session end in order",
        "SELECT count(*) FROM runs r JOIN sessions s ON s.id = r.session_id WHERE r.status = 'queued' AND r.seq < s.head",
    ),
    (
        "an accepted delivery has a run",
        "SELECT count(*) FROM deliveries d WHERE d.outcome IN ('queued', 'coalesced') \
         AND NOT EXISTS (SELECT 1 FROM run_deliveries l WHERE l.delivery_id = d.id)",
    ),
    (
        "a delivery key is held once",
        "SELECT count(*) FROM (SELECT trigger_id FROM deliveries WHERE dedupe_key IS NOT NULL GROUP BY trigger_id, dedupe_key HAVING count(*) > 1) AS b",
    ),
    (
        "limits count the live runs of their trigger",
        "SELECT count(*) FROM limits l WHERE l.trigger_id <> (SELECT id FROM nil) \
         AND l.used <> (SELECT count(*) FROM sessions s WHERE s.trigger_id = l.trigger_id AND s.state = 'running')",
    ),
    (
        "the limit of all counts every live run",
        "SELECT count(*) FROM limits l WHERE l.trigger_id = (SELECT id FROM nil) AND l.used <> (SELECT count(*) FROM sessions WHERE state = 'running')",
    ),
    (
        "a live run and its session share one lease, and no other row holds one",
        "SELECT count(*) FROM sessions s JOIN runs r ON r.session_id = s.id WHERE (r.status IN ('starting', 'running', 'cancelling') AND \
         (s.lease_id IS NULL OR r.lease_id IS NULL OR r.lease_id <> s.lease_id OR s.live_run_id IS NULL OR s.live_run_id <> r.id OR r.seq <> s.head)) \
         OR (r.lease_id IS NOT NULL AND r.status NOT IN ('starting', 'running', 'cancelling'))",
    ),
    (
        "a journal has no gap before its next sequence",
        "SELECT count(*) FROM (SELECT r.id FROM runs r JOIN journal_chunks c ON c.run_id = r.id GROUP BY r.id, r.first_sequence, r.next_sequence \
         HAVING sum(c.entry_count) <> r.next_sequence - r.first_sequence) AS b",
    ),
    (
        "an idle session has no run that waits, any other has one",
        "SELECT count(*) FROM sessions s WHERE (s.state = 'idle' AND s.queued_count <> 0) OR (s.state = 'ready' AND NOT EXISTS \
         (SELECT 1 FROM runs r WHERE r.session_id = s.id AND r.seq = s.head AND r.status = 'queued'))",
    ),
    (
        "a running session has a worker that is not known to be over",
        "SELECT count(*) FROM sessions s WHERE s.state = 'running' \
         AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = s.worker_id AND w.state <> 'dead')",
    ),
    (
        "a journal's attempts follow each other, up to the present one",
        "SELECT count(*) FROM (SELECT c.attempt, r.attempt AS present, lag(c.attempt) OVER (PARTITION BY c.run_id ORDER BY c.first_sequence) AS before \
         FROM journal_chunks c JOIN runs r ON r.id = c.run_id) AS b WHERE b.attempt < b.before OR b.attempt > b.present",
    ),
    (
        "an ended run ended, and any other did not",
        "SELECT count(*) FROM runs r WHERE (r.end_time IS NOT NULL) <> (r.status IN ('succeeded', 'failed', 'cancelled'))",
    ),
    (
        "a session counts the runs that wait in it",
        "SELECT count(*) FROM sessions s WHERE s.queued_count <> (SELECT count(*) FROM runs r WHERE r.session_id = s.id AND r.status = 'queued')",
    ),
];

impl Store {
    /// Every broken invariant in words; empty when all hold. Asked of one snapshot, so that a database at work is never seen
    /// in between.
    pub async fn doctor(&self) -> Result<Vec<String>> {
        let nil = if self.is_postgres() { "'00000000-0000-0000-0000-000000000000'::uuid" } else { "zeroblob(16)" };
        let snapshot = if self.is_postgres() {
            self.read().begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)).await?
        } else {
            self.read().begin().await?
        };
        let mut broken = Vec::new();
        for (law, query) in INVARIANTS {
            let text = format!("WITH nil (id) AS (SELECT {nil}) {query}");
            let row = snapshot.query_one_raw(Statement::from_string(self.backend(), text)).await?;
            let breaches: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0);
            if breaches > 0 {
                broken.push(format!("{law}: {breaches} rows say otherwise"));
            }
        }
        snapshot.rollback().await?;
        Ok(broken)
    }

    /// The workers that are not known to be over, in words.
    pub async fn workers(&self) -> Result<Vec<String>> {
        let text = format!(
            "SELECT w.id, w.state, w.host, w.pid, (w.lease_until - {}) / 1000000, \
             (SELECT count(*) FROM sessions s WHERE s.worker_id = w.id AND s.state = 'running') FROM workers w \
             WHERE w.state <> 'dead' ORDER BY w.start_time",
            now(self.backend())
        );
        let rows = self.read().query_all_raw(Statement::from_string(self.backend(), text)).await?;
        let worker = |row: &QueryResult| -> Result<String, DbErr> {
            let (id, state): (Uuid, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            let (host, pid): (String, i32) = (row.try_get_by_index(2)?, row.try_get_by_index(3)?);
            let (left, runs): (i64, i64) = (row.try_get_by_index(4)?, row.try_get_by_index(5)?);
            let lease = match left {
                _ if !self.is_postgres() => "has this database for itself".to_owned(),
                0.. => format!("lease for {left} s"),
                _ => format!("lease over for {} s", -left),
            };
            Ok(format!("worker {} on {host} (process {pid}): {state}, {lease}, {runs} live runs", WorkerId(id)))
        };
        Ok(rows.iter().map(worker).collect::<Result<_, _>>()?)
    }
}
