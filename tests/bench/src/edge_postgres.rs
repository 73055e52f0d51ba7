//! The limit for webhooks on PostgreSQL: the same edge, and the bare transaction of Reprise's own rows behind it. A webhook is
//! a delivery, its payload, a session that is found or made and numbers its run, the run, and the link between the two; webhooks
//! that wait are committed together. Nothing of the body is understood, nothing is looked up before.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection, PgTransaction, Row as _};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::edge::{BATCH, Row};
use crate::load::wall_micros;

/// Bytes of a body once it is packed, and of the text that an event takes from it: as Reprise stores the bench's bodies.
const PACKED: usize = 1000;
const TEXT: usize = 700;

const SESSIONS: &str = "
INSERT INTO sessions (id, bucket, trigger_id, trigger_slug, kind, thread_key, title, url, state, ready_time, head, tail, generation, origin,
  run_count, queued_count, create_time, last_use_time)
SELECT v.id, 7, $4, 'bare', 'thread', v.thread, 'Checkout retries, case 4821', 'https://github.com/acme/shop/issues/4821', 'ready', $5, 1, v.n, 1,
  'first', v.n, v.n, $5, $5 FROM unnest($1::uuid[], $2::text[], $3::int[]) AS v(id, thread, n)
ON CONFLICT (trigger_id, thread_key) DO UPDATE SET tail = sessions.tail + excluded.tail, run_count = sessions.run_count + excluded.run_count,
  queued_count = sessions.queued_count + excluded.queued_count, title = excluded.title, url = excluded.url
RETURNING thread_key, id, tail";

const DELIVERIES: &str = "
INSERT INTO deliveries (id, trigger_id, trigger_slug, source, origin, provider_delivery_id, dedupe_key, event_kind, action, actor_id, actor_login,
  actor_kind, thread_key, title, url, event_text, outcome, session_id, run_id, receive_time, ack_micros, body_bytes)
SELECT v.id, $7, 'bare', 'github', 'webhook', v.key::text, uuid_send(v.key), 'issue_comment', 'created', '6752317', 'maria', 'user', v.thread,
  'Checkout retries, case 4821', 'https://github.com/acme/shop/issues/4821', v.text, 'queued', v.session, v.run, $8, 900, 2048
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::uuid[]) AS v(id, key, thread, text, session, run)
ON CONFLICT DO NOTHING";

const PAYLOADS: &str = "INSERT INTO delivery_payloads (delivery_id, headers, body, walk) SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[])";

const RUNS: &str = "
INSERT INTO runs (id, session_id, seq, trigger_id, trigger_slug, thread_key, title, kind, status, not_before, requester_kind, requester_id,
  requester_name, session_mode, delivery_count, generation, first_sequence, next_sequence, create_time)
SELECT v.id, v.session, v.seq, $5, 'bare', v.thread, 'Checkout retries, case 4821', 'turn', 'queued', $6, 'sender', '6752317', 'maria', 'default', 1, 1,
  1, 1, $6 FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[]) AS v(id, session, seq, thread)";

const LINKS: &str =
    "INSERT INTO run_deliveries (run_id, ordinal, delivery_id) SELECT v.run, 0, v.id FROM unnest($1::uuid[], $2::uuid[]) AS v(run, id)";

/// The one writer: whatever waits is one transaction of five statements, each for all rows.
pub(crate) async fn commit(url: String, mut waiting: mpsc::Receiver<Row>) -> Result<()> {
    let mut connection = PgConnection::connect(&url).await?;
    let trigger = Uuid::now_v7();
    let mut rows = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut rows, BATCH).await > 0 {
        let mut tx = connection.begin().await?;
        store(&mut tx, trigger, &rows).await.context("the rows could not be stored")?;
        tx.commit().await?;
        for row in rows.drain(..) {
            let _gone = row.committed.send(());
        }
    }
    Ok(())
}

async fn store(tx: &mut PgTransaction<'_>, trigger: Uuid, rows: &[Row]) -> Result<()> {
    let now = wall_micros();
    let ids = || -> Vec<Uuid> { rows.iter().map(|_| Uuid::now_v7()).collect() };
    let (deliveries, runs) = (ids(), ids());
    let mut threads: BTreeMap<&str, i32> = BTreeMap::new();
    for row in rows {
        *threads.entry(&row.thread).or_default() += 1;
    }
    let (names, counts): (Vec<&str>, Vec<i32>) = threads.iter().map(|(thread, count)| (*thread, *count)).unzip();
    let new: Vec<Uuid> = names.iter().map(|_| Uuid::now_v7()).collect();
    let found = sqlx::query(SESSIONS).bind(new).bind(&names).bind(counts).bind(trigger).bind(now).fetch_all(&mut **tx).await?;
    let mut places: BTreeMap<String, (Uuid, i64)> = BTreeMap::new();
    for row in &found {
        let thread: String = row.get(0);
        let first = row.get::<i64, _>(2) - i64::from(threads[thread.as_str()]);
        places.insert(thread, (row.get(1), first));
    }
    let (mut sessions, mut seqs) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let (session, seq) = places.get_mut(&row.thread).context("a session")?;
        *seq += 1;
        sessions.push(*session);
        seqs.push(*seq);
    }
    let threads: Vec<&str> = rows.iter().map(|row| row.thread.as_str()).collect();
    let texts: Vec<&str> = rows.iter().map(|row| std::str::from_utf8(&row.body[..TEXT]).unwrap_or_default()).collect();
    let (keys, packed): (Vec<Uuid>, Vec<&[u8]>) = rows.iter().map(|row| (row.delivery, &row.body[..PACKED])).unzip();
    let (headers, walks): (Vec<&[u8]>, Vec<&[u8]>) = rows.iter().map(|row| (&row.body[..450], &row.body[..60])).unzip();
    let insert = sqlx::query(DELIVERIES).bind(&deliveries).bind(keys).bind(&threads).bind(texts).bind(&sessions).bind(&runs);
    insert.bind(trigger).bind(now).execute(&mut **tx).await?;
    sqlx::query(PAYLOADS).bind(&deliveries).bind(headers).bind(packed).bind(walks).execute(&mut **tx).await?;
    sqlx::query(RUNS).bind(&runs).bind(&sessions).bind(seqs).bind(&threads).bind(trigger).bind(now).execute(&mut **tx).await?;
    sqlx::query(LINKS).bind(&runs).bind(&deliveries).execute(&mut **tx).await?;
    Ok(())
}
