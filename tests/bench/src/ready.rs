//! From the start of a server to its readiness, and to the first agent, with a long queue: after an orderly end, and after a
//! `kill -9` in the middle of runs.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::agent::Journal;
use crate::backlog::Backlog;
use crate::load::wall_micros;
use crate::postgres;
use crate::report::{Bar, Report, say};
use crate::server::{Server, Setup};

const QUEUED: u64 = 100_000;
/// Seconds within which a server is to be ready.
const BAR: f64 = 5.0;
/// Agents keep their places, so that some are live when the server is killed.
const LONG: &str = "[[sleep: 30]]";
/// Runs at once, by default.
const LIVE: usize = 4;

/// On both databases.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    say(format_args!("ready: from the start of the process to `/readyz`, with {QUEUED} queued runs"));
    on(None, report).await?;
    if let Some(postgres) = postgres::start_for("ready on PostgreSQL", report)? {
        on(Some(postgres.database("ready").await?), report).await?;
    }
    Ok(())
}

async fn on(postgres: Option<String>, report: &mut Report) -> Result<()> {
    let setup = Setup { database: postgres.clone(), ..Setup::fake()? };
    let Backlog { mut dir, place } = Backlog::fill(postgres, QUEUED, LONG).await?;
    let mut journal = Journal::new(&dir.path().join("agent.jsonl"));
    for when in ["", ", after kill -9"] {
        let (began, since) = (Instant::now(), wall_micros());
        let server = Server::start(dir, &setup).await?;
        server.ready().await?;
        let ready = began.elapsed().as_secs_f64();
        let noted = journal.next(|noted| noted.start, Duration::from_secs(60)).await?;
        let first = noted.iter().find(|noted| noted.start).context("a start")?;
        let first = (first.time_us - since) as f64 / 1e6;
        let kind = place.kind();
        report.judge(&format!("ready, {kind}{when}"), format!("{ready:.2} s"), format!("{BAR} s"), ready, Bar::Below(BAR));
        report.note("  its first run begins", format!("{first:.2} s"), "-", first);
        let mut live = noted.iter().filter(|noted| noted.start).count();
        while live < LIVE {
            live += journal.next(|noted| noted.start, Duration::from_secs(60)).await?.iter().filter(|noted| noted.start).count();
        }
        ensure!(live == LIVE, "{live} agents are live");
        dir = server.stop();
    }
    Ok(())
}
