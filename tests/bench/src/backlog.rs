//! Queues that hold much already. A few real webhooks, sent to a server that starts nothing, are the seeds; SQL alone makes as
//! many copies of their rows as are wanted, whatever columns the tables have.

use std::sync::Arc;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::database::{Database, Place};
use crate::load::{send, wall_micros};
use crate::payload::Webhooks;
use crate::server::{Server, Setup};

/// Triggers that the runs are spread over.
pub(crate) const TRIGGERS: u64 = 10;
/// Rows of one statement.
const BATCH: u64 = 50_000;

/// A store with `count` queued runs, each of a session of its own, in the order of their places.
#[derive(Debug)]
pub(crate) struct Backlog {
    pub(crate) dir: TempDir,
    pub(crate) place: Place,
}

impl Backlog {
    /// Fills a new SQLite file, or this empty PostgreSQL database. The text of each webhook bears `marks`.
    pub(crate) async fn fill(postgres: Option<String>, count: u64, marks: &str) -> Result<Self> {
        let setup = Setup { database: postgres.clone(), slots: Some(0), ..Setup::fake()? };
        let mut server = Server::fresh(&setup).await?;
        for number in 0..TRIGGERS.min(count) {
            let (_, hook) = server.trigger(&format!("trigger-{number}")).await?;
            send(&Arc::new(Webhooks::new(hook, 1, marks)?), 1).await?;
        }
        let dir = server.stop();
        let place = postgres.map_or_else(|| Place::file(dir.path()), Place::Postgres);
        let mut db = place.open().await?;
        copy(&mut db, place.is_postgres(), count).await?;
        let queued = db
            .number("SELECT count(*) FROM sessions JOIN runs ON runs.session_id = sessions.id AND status = 'queued' WHERE state = 'ready'")
            .await?;
        ensure!(queued == i64::try_from(count)?, "{queued} runs are queued");
        db.settle().await?;
        Ok(Self { dir, place })
    }
}

/// A table, which of its rows are seeds, and the columns whose copies differ.
type Table<'a> = (&'static str, &'static str, &'a [(&'static str, String)]);

/// Copies the seeds' rows until there are `count` queued runs.
async fn copy(db: &mut Database, postgres: bool, count: u64) -> Result<()> {
    let (number, key, rows) = if postgres {
        ("(row_number() OVER (ORDER BY r.id) - 1)::bigint", "uuid_send(gen_random_uuid())", "generate_series({from}, {last}) AS rows(i)")
    } else {
        ("row_number() OVER (ORDER BY r.id) - 1", "randomblob(16)", "rows")
    };
    db.run(&format!(
        "CREATE TEMP TABLE seeds AS SELECT {number} AS n, s.id AS session, r.id AS run, l.delivery_id AS delivery, s.ready_time AS ready \
         FROM runs r JOIN sessions s ON s.id = r.session_id JOIN run_deliveries l ON l.run_id = r.id"
    ))
    .await?;
    let now = wall_micros();
    let id = |kind: u8| id(postgres, kind, now);
    // The later a copy the later it is due, and all are due by now.
    let due = format!("seeds.ready - {count} + i");
    let thread = "thread_key || '-' || i".to_owned();
    let tables: [Table<'_>; 5] = [
        ("sessions", "t.id = seeds.session", &[("id", id(1)), ("thread_key", thread.clone()), ("ready_time", due.clone())]),
        (
            "runs",
            "t.id = seeds.run",
            &[("id", id(2)), ("session_id", id(1)), ("thread_key", thread.clone()), ("not_before", due.clone()), ("create_time", due)],
        ),
        (
            "deliveries",
            "t.id = seeds.delivery",
            &[("id", id(3)), ("session_id", id(1)), ("run_id", id(2)), ("thread_key", thread), ("dedupe_key", key.to_owned())],
        ),
        ("delivery_payloads", "t.delivery_id = seeds.delivery", &[("delivery_id", id(3))]),
        ("run_deliveries", "t.run_id = seeds.run", &[("run_id", id(2)), ("delivery_id", id(3))]),
    ];
    let seeds = TRIGGERS.min(count);
    for from in (0..count - seeds).step_by(usize::try_from(BATCH)?) {
        let last = (count - seeds).min(from + BATCH) - 1;
        for (table, seed, other) in &tables {
            let columns = db.columns(table).await?;
            let values: Vec<String> = columns
                .iter()
                .map(|column| {
                    other.iter().find(|(name, _)| name == column).map_or_else(|| format!("t.{column}"), |(_, value)| value.clone())
                })
                .collect();
            let with = if postgres {
                String::new()
            } else {
                format!("WITH RECURSIVE rows(i) AS (VALUES ({from}) UNION ALL SELECT i + 1 FROM rows WHERE i < {last}) ")
            };
            let rows = rows.replace("{from}", &from.to_string()).replace("{last}", &last.to_string());
            db.run(&format!(
                "INSERT INTO {table} ({}) {with}SELECT {} FROM {rows} JOIN seeds ON seeds.n = rows.i % {seeds} JOIN {table} t ON {seed}",
                columns.join(", "),
                values.join(", ")
            ))
            .await?;
        }
    }
    Ok(())
}

/// A UUIDv7 of copy `i` and this kind of row, of the time of the filling.
fn id(postgres: bool, kind: u8, now: i64) -> String {
    let fixed = format!("{:012x}7{kind:03x}8000", now / 1000);
    if postgres { format!("('{fixed}' || lpad(to_hex(i), 12, '0'))::uuid") } else { format!("unhex('{fixed}' || printf('%012x', i))") }
}
