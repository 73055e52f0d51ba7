//! Everything dies, again and again, under load: nothing acked is lost, nothing runs twice at once or out of order, nothing is
//! left behind. The judge is the test double's own journal.
//!
//! `make test` runs the short form, `make torture` the long one (`REPRISE_TORTURE=long`). `REPRISE_TORTURE_SEED` is what the
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

/// The same numbers each time, so that a failure can be looked at again.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(std::env::var("REPRISE_TORTURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7))
    }

    /// Others, for one of several who throw at the same time.
    fn of(stream: u64) -> Self {
        Self(Self::new().0.wrapping_add((stream + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// One of so many.
    fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).expect("small")
    }

    /// About as long as this, at least a fifth of it.
    fn about(&mut self, span: Duration) -> Duration {
        span.mul_f64(0.2 + 1.6 * f64::from(u32::try_from(self.roll(1000)).expect("small")) / 1000.0)
    }
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
