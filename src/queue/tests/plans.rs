//! Hot statements go by index, whatever the size of the tables.

use sea_orm::{ConnectionTrait, Statement};

use super::bed::Bed;
use crate::queue::claim::{CLAIM_POSTGRES, CLAIM_SQLITE, statements as claim_statements};
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

/// A hundred thousand sessions that wait, and the plans that PostgreSQL makes once for all values: the ones that it keeps.
#[tokio::test]
async fn no_hot_statement_scans_a_table_of_a_hundred_thousand_sessions() {
    let Some(bed) = Bed::all().await.into_iter().find(|bed| bed.store.is_postgres()) else { return };
    let trigger = bed.trigger(1000).await;
    bed.deliver(trigger, "seed").await;
    for fill in [
        "INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid(), 'thread_key', 'k' || n, \
         'ready_time', s.ready_time + n))).* FROM sessions s, generate_series(1, 100000) n",
        "INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid(), 'session_id', s.id))).* \
         FROM runs r, sessions s WHERE s.id <> r.session_id",
        "INSERT INTO deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), \
         'outcome', 'filtered', 'run_id', NULL, 'dedupe_key', uuid_send(gen_random_uuid())))).* FROM deliveries d, generate_series(1, 100000) n",
        "ANALYZE",
    ] {
        bed.sql(fill).await;
    }
    let claim = numbered(CLAIM_POSTGRES);
    let by_columns = claim_statements(true, 2);
    let sets = |columns: &str, text: &str| {
        let count = columns.split(',').count();
        let (names, values) = ((0..count).map(|n| format!("c{n}")).collect::<Vec<_>>().join(","), vec!["?"; count].join(","));
        numbered(&format!("WITH k ({columns}) AS (SELECT {names} FROM unnest({values}) AS u ({names})) {text}"))
    };
    let threads =
        sets("t, d", "SELECT s.id FROM k JOIN sessions s ON s.trigger_id = k.t AND s.thread_key = k.d ORDER BY s.id FOR UPDATE OF s");
    let holders = sets(
        "t, d",
        "SELECT d.id FROM k JOIN deliveries d ON d.trigger_id = k.t AND d.dedupe_key = k.d LEFT JOIN runs r ON r.id = d.run_id",
    );
    let latest = sets("s, o", "SELECT r.id FROM k JOIN runs r ON r.session_id = k.s AND r.seq > k.o ORDER BY r.session_id, r.seq");
    let changed = sets("id, tail", "UPDATE sessions SET tail = k.tail FROM k WHERE sessions.id = k.id");
    let hot = [
        ("uuid, uuid, bigint, bigint, bigint, uuid, uuid", claim.as_str()),
        ("uuid[], int[], bigint", by_columns[1].as_str()),
        ("uuid[], bigint[], uuid[], int[], int[], bigint", by_columns[2].as_str()),
        ("uuid[], bigint[], uuid[], bigint", by_columns[3].as_str()),
        ("uuid[], bigint[], uuid[], uuid, bigint, text", by_columns[4].as_str()),
        ("uuid[], text[]", threads.as_str()),
        ("uuid[], bytea[]", holders.as_str()),
        ("uuid[], bigint[]", latest.as_str()),
        ("uuid[], bigint[]", changed.as_str()),
        ("uuid, bigint", "UPDATE limits SET used = used + $2 WHERE trigger_id = $1"),
        ("uuid, bigint", "SELECT id FROM runs WHERE session_id = $1 AND seq > $2 AND status = 'queued' ORDER BY seq LIMIT 1"),
        ("uuid", "SELECT r.id FROM sessions s JOIN runs r ON r.id = s.live_run_id WHERE s.worker_id = $1 AND s.state = 'running'"),
        ("uuid, text", "SELECT id FROM sessions WHERE trigger_id = $1 AND thread_key = $2"),
        ("bigint", "SELECT id FROM workers WHERE state <> 'dead' AND lease_until < $1 ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED"),
    ];
    let tx = bed.store.begin().await.expect("begun");
    tx.execute_unprepared("SET LOCAL plan_cache_mode = force_generic_plan").await.expect("set");
    for (n, (types, text)) in hot.iter().enumerate() {
        tx.execute_unprepared(&format!("PREPARE hot{n} ({types}) AS {text}")).await.expect(text);
        let nothing = vec!["NULL"; types.split(',').count()].join(", ");
        let asked = Statement::from_string(bed.store.backend(), format!("EXPLAIN EXECUTE hot{n} ({nothing})"));
        let steps = tx.query_all_raw(asked).await.expect(text);
        let steps: Vec<String> = steps.iter().map(|row| row.try_get_by_index(0).expect("a step")).collect();
        for table in ["sessions", "runs", "deliveries"] {
            assert!(!steps.iter().any(|step| step.contains(&format!("Seq Scan on {table}"))), "{text}\n{}", steps.join("\n"));
        }
    }
    tx.rollback().await.expect("rolled back");
    // Filling may have taken longer than the lease.
    bed.renew().await;
    let began = std::time::Instant::now();
    let claimed = bed.claim(8).await;
    assert_eq!(claimed.len(), 8);
    eprintln!("8 of 100,001 claimed in {:?}", began.elapsed());
    for one in &claimed {
        bed.succeed(one).await;
    }
    bed.healthy().await;
}

fn numbered(text: &str) -> String {
    let mut pieces = text.split('?');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.zip(1..).fold(first, |so_far, (piece, number)| format!("{so_far}${number}{piece}"))
}
