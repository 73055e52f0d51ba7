//! Stores that hold much already, written by SQL alone: what a million webhooks leave behind once their runs have ended.

use std::path::Path;

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, Row, SqliteConnection};

use crate::edge;
use crate::load::wall_micros;
use crate::payload::comment;

/// Rows of one transaction.
const BATCH: u64 = 50_000;
/// Bodies that the rows are made of.
const BODIES: u64 = 64;
/// Spread over so many days: younger than what the daily clean-up takes.
const DAYS: i64 = 5;
/// A UUIDv7 of row `i` and kind `k`, at the time of the row; `{i}`, `{k}` and `{t}` are filled in.
const ID: &str = "unhex(printf('%012x7%03x8%03x%012x', {t} / 1000, {i} % 4096, {k}, {i}))";

/// Webhooks stored by the bare edge.
pub(crate) async fn edge(database: &Path, count: u64) -> Result<()> {
    let mut db = edge::open(database, SqliteSynchronous::Off).await?;
    bodies(&mut db).await?;
    let insert = "INSERT INTO webhooks (delivery, received, body) SELECT randomblob(16), i, b.raw FROM rows JOIN bodies b ON b.n = i % 64";
    in_batches(&mut db, &[insert.to_owned()], count).await?;
    close(db).await
}

/// Deliveries with their payloads, sessions of ten runs each, and their finished runs. The server must not be running.
pub(crate) async fn reprise(database: &Path, count: u64) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(database).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Off);
    let mut db = SqliteConnection::connect_with(&options).await?;
    let trigger = sqlx::query("SELECT id, slug FROM triggers LIMIT 1").fetch_one(&mut db).await.context("a trigger")?;
    let (trigger, slug): (Vec<u8>, String) = (trigger.get(0), trigger.get(1));
    bodies(&mut db).await?;
    let statements = statements(&format!("x'{}'", hex::encode(trigger)), &slug, count);
    in_batches(&mut db, &statements, count).await?;
    close(db).await
}

fn statements(trigger: &str, slug: &str, count: u64) -> Vec<String> {
    let sessions = (count / 10).max(1);
    let begin = wall_micros() - DAYS * 86_400_000_000;
    let step = DAYS * 86_400_000_000 / i64::try_from(count).unwrap_or(i64::MAX).max(1);
    let time = |row: &str| format!("({begin} + ({row}) * {step})");
    let id = |kind: u8, row: &str| ID.replace("{i}", &format!("({row})")).replace("{k}", &kind.to_string()).replace("{t}", &time(row));
    let (own, session) = ("i", format!("i % {sessions}"));
    let (delivery, run, ses) = (id(1, own), id(2, own), id(3, &session));
    let now = time(own);
    let thread = format!("'acme/archive#' || ({session})");
    vec![
        format!(
            "INSERT INTO deliveries (id, trigger_id, trigger_slug, source, origin, provider_delivery_id, dedupe_key, event_kind, action, actor_id,
                actor_login, actor_kind, thread_key, title, url, event_text, outcome, session_id, run_id, receive_time, ack_micros, body_bytes)
             SELECT {delivery}, {trigger}, '{slug}', 'github', 'webhook', lower(hex(randomblob(16))), randomblob(16), 'issue_comment', 'created', '6752317',
                'maria', 'user', {thread}, 'Checkout retries, case ' || i, 'https://github.com/acme/archive/issues/' || ({session}),
                substr(b.text, 1, 600), 'queued', {ses}, {run}, {now}, 900, 2048 FROM rows JOIN bodies b ON b.n = i % {BODIES}"
        ),
        format!(
            "INSERT INTO delivery_payloads (delivery_id, headers, body)
             SELECT {delivery}, b.headers, b.packed FROM rows JOIN bodies b ON b.n = i % {BODIES}"
        ),
        format!(
            "INSERT INTO sessions (id, trigger_id, trigger_slug, kind, thread_key, title, state, ready_time, head, tail, generation, agent_session_id,
                origin, agent, profile, model, turn_count, run_count, create_time, last_use_time)
             SELECT {ses}, {trigger}, '{slug}', 'thread', {thread}, 'Checkout retries, case ' || i, 'idle', {now}, 11, 10, 1, {id4}, 'first', 'claude',
                'untrusted', 'claude-sonnet-4-5', 10, 10, {now}, {now} FROM rows WHERE i < {sessions}",
            id4 = id(4, own),
        ),
        format!(
            "INSERT INTO runs (id, session_id, seq, trigger_id, trigger_slug, thread_key, title, kind, status, not_before, attempt, requester_kind,
                requester_id, requester_name, session_mode, prompt, prompt_kind, delivery_count, lineage, generation, turn, model, agent_version,
                profile, result_text, first_sequence, next_sequence, create_time, start_time, end_time, input_tokens, output_tokens, cost_nano)
             SELECT {run}, {ses}, i / {sessions} + 1, {trigger}, '{slug}', {thread}, 'Checkout retries, case ' || i, 'turn', 'succeeded', {now}, 1,
                'sender', '6752317', 'maria', 'default', b.text, 'follow_up', 1, 'continued', 1, i / {sessions} + 1, 'claude-sonnet-4-5', '2.1.330',
                'untrusted', substr(b.text, 900, 500), 1, 12, {now}, {now} + 1000, {now} + 9000000, 3, 412, 7481850
             FROM rows JOIN bodies b ON b.n = i % {BODIES}"
        ),
        format!("INSERT INTO run_deliveries (run_id, ordinal, delivery_id) SELECT {run}, 0, {delivery} FROM rows"),
    ]
}

/// The bodies that rows are made of: as sent, as text, and compressed as Reprise keeps them.
async fn bodies(db: &mut SqliteConnection) -> Result<()> {
    sqlx::query("CREATE TEMP TABLE bodies (n INTEGER PRIMARY KEY, raw BLOB, text TEXT, packed BLOB, headers BLOB)")
        .execute(&mut *db)
        .await?;
    for n in 0..BODIES {
        let body = comment(n + 1, "");
        sqlx::query("INSERT INTO bodies VALUES (?, ?, ?, ?, ?)")
            .bind(i64::try_from(n)?)
            .bind(body.as_bytes())
            .bind(&body)
            .bind(zstd::encode_all(body.as_bytes(), 3)?)
            .bind(headers(n))
            .execute(&mut *db)
            .await?;
    }
    Ok(())
}

/// Headers as Reprise keeps them: name and value in turn, each after its length.
fn headers(n: u64) -> Vec<u8> {
    let (delivery, signature) = (format!("72d3162e-cc78-11e3-81ab-{n:012}"), format!("sha256={n:064}"));
    let pieces = [
        "host",
        "hooks.example.com",
        "user-agent",
        "GitHub-Hookshot/044aadd",
        "accept",
        "*/*",
        "content-type",
        "application/json",
        "x-github-event",
        "issue_comment",
        "x-github-hook-id",
        "292430182",
        "x-github-delivery",
        &delivery,
        "x-hub-signature-256",
        &signature,
    ];
    let stored = |piece: &str| [&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_le_bytes()[..], piece.as_bytes()].concat();
    pieces.iter().flat_map(|piece| stored(piece)).collect()
}

/// Runs each statement for rows `0..count`, a batch of rows at a time.
async fn in_batches(db: &mut SqliteConnection, statements: &[String], count: u64) -> Result<()> {
    sqlx::query("PRAGMA cache_size = -262144").execute(&mut *db).await?;
    for from in (0..count).step_by(usize::try_from(BATCH)?) {
        let last = count.min(from + BATCH) - 1;
        let mut transaction = db.begin().await?;
        for statement in statements {
            let rows = format!("WITH RECURSIVE rows(i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM rows WHERE i < {last}) {statement}");
            sqlx::query(sqlx::AssertSqlSafe(rows)).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}

async fn close(mut db: SqliteConnection) -> Result<()> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut db).await?;
    Ok(db.close().await?)
}
