//! Hot statements go by index, whatever the size of the tables.

use sea_orm::{ConnectionTrait, Statement};

use super::bed::Bed;
use crate::queue::claim::CLAIM_SQLITE;
use crate::store::writer;

async fn plan(bed: &Bed, text: &str) -> Vec<String> {
    let values = (0..text.matches('?').count()).map(|_| sea_orm::Value::from(1_i64)).collect::<Vec<_>>();
    let statement = Statement::from_sql_and_values(bed.store.backend(), format!("EXPLAIN QUERY PLAN {text}"), values);
    let rows = writer(&bed.store).query_all_raw(statement).await.expect("planned");
    rows.iter().map(|row| row.try_get::<String>("", "detail").expect("a step")).collect()
}

#[tokio::test]
async fn no_hot_statement_scans_a_table() {
    let bed = Bed::all().await.remove(0);
    let hot = [
        CLAIM_SQLITE,
        "WITH k (t, d) AS (VALUES (?, ?), (?, ?)) SELECT s.id FROM k JOIN sessions s ON s.trigger_id = k.t AND s.thread_key = k.d",
        "WITH k (t, d) AS (VALUES (?, ?), (?, ?)) SELECT d.id FROM k JOIN deliveries d ON d.trigger_id = k.t AND d.dedupe_key = k.d LEFT JOIN runs r ON r.id = d.run_id",
        "WITH k (s, o) AS (VALUES (?, ?), (?, ?)) SELECT r.id FROM k JOIN runs r ON r.session_id = k.s AND r.seq > k.o ORDER BY r.session_id, r.seq",
        "WITH v (id, tail) AS (VALUES (?, ?), (?, ?)) UPDATE sessions SET tail = v.tail FROM v WHERE sessions.id = v.id",
        "WITH v (session_id, seq) AS (VALUES (?, ?), (?, ?)) UPDATE runs SET attempt = 1 FROM v WHERE runs.session_id = v.session_id AND runs.seq = v.seq AND runs.status = 'queued'",
        "SELECT id FROM runs WHERE session_id = ? AND seq > ? AND status = 'queued' ORDER BY seq LIMIT 1",
        "SELECT count(*) FROM runs WHERE status = 'queued'",
    ];
    for text in hot {
        let steps = plan(&bed, text).await;
        for table in ["sessions", "runs", "deliveries", "s", "t", "x", "r", "d"] {
            let scan = steps.iter().find(|step| **step == format!("SCAN {table}"));
            assert_eq!(scan, None, "{text}\n{steps:#?}");
        }
    }
}
