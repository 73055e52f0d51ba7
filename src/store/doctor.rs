//! What must hold at any time, asked of the rows.

use sea_orm::{ConnectionTrait, Statement};

use super::Store;
use crate::domain::Result;

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
        "a session counts the runs that wait in it",
        "SELECT count(*) FROM sessions s WHERE s.queued_count <> (SELECT count(*) FROM runs r WHERE r.session_id = s.id AND r.status = 'queued')",
    ),
];

impl Store {
    /// Every broken invariant in words; empty when all hold. Asked of a running server it may see a moment in between.
    pub async fn doctor(&self) -> Result<Vec<String>> {
        let nil = if self.is_postgres() { "'00000000-0000-0000-0000-000000000000'::uuid" } else { "zeroblob(16)" };
        let mut broken = Vec::new();
        for (law, query) in INVARIANTS {
            let text = format!("WITH nil (id) AS (SELECT {nil}) {query}");
            let row = self.read().query_one_raw(Statement::from_string(self.backend(), text)).await?;
            let breaches: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0);
            if breaches > 0 {
                broken.push(format!("{law}: {breaches} rows say otherwise"));
            }
        }
        Ok(broken)
    }
}
