//! Everything dies, again and again, under load: nothing acked is lost, nothing runs twice at once or out of order, nothing is
//! left behind. The judge is the test double's own journal.
//!
//! `make test` runs the short form, `make torture` the long one (`REPRISE_TORTURE=long`). `REPRISE_CHAOS_SEED` is what the
//! dice begin with: the same seed does the same to the servers, though never at the same moment of their work.

mod cancels;
mod kills;
mod points;
mod replicas;
mod rolling;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, SqliteConnection};

use crate::support::postgres::ask;
use crate::support::server::Server;

/// When a server is ready again at the latest, in the long form: the short one runs beside other tests.
const READY_WITHIN: Duration = Duration::from_secs(5);

fn is_long() -> bool {
    std::env::var("REPRISE_TORTURE").is_ok_and(|form| form == "long")
}

/// How much of it there is.
#[derive(Debug, Clone, Copy)]
struct Form {
    threads: u32,
    /// Of each thread.
    events: u32,
    kills: u32,
    /// About how long it takes.
    span: Duration,
}

/// Waits until so many runs succeeded.
async fn all_succeeded(database: &str, count: usize, within: Duration) {
    let began = Instant::now();
    loop {
        let done = runs(database, "status = 'succeeded'").await;
        if done == count {
            return;
        }
        let failed = runs(database, "status IN ('failed', 'cancelled')").await;
        let why = if failed > 0 {
            said(database, "SELECT failure_message FROM runs WHERE status = 'failed' LIMIT 1").await
        } else {
            String::new()
        };
        assert!(failed == 0 && began.elapsed() < within, "of {count} runs {done} succeeded and {failed} did not: {why}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How many runs are so.
async fn runs(database: &str, condition: &str) -> usize {
    said(database, &format!("SELECT CAST(count(*) AS TEXT) FROM runs WHERE {condition}")).await.parse().expect("a number")
}

/// The text that one statement gives.
async fn said(database: &str, sql: &str) -> String {
    if database.starts_with("postgres") {
        return ask(database, sql);
    }
    let mut connection = SqliteConnection::connect(database).await.expect("the database opens");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.expect(sql)
}

/// Fails if one of these processes, by number and mark, is still there.
fn are_gone(held: &BTreeMap<i32, String>) {
    for (pid, mark) in held {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&environment).contains(mark.as_str()), "process {pid} of {mark} outlived its server");
    }
}

/// Fails if the server took too long, in the long form.
fn was_ready_in(took: Duration) {
    assert!(!is_long() || took < READY_WITHIN, "ready after {took:?}");
}

/// What the database file of a server says.
fn sqlite(server: &Server) -> String {
    format!("sqlite:{}", server.data().join("reprise.db").display())
}

/// Fails unless `reprise doctor` finds the invariants of the database to hold.
fn in_order(doctor: &str) {
    assert!(doctor.contains("ok       invariants of the database"), "{doctor}");
}
