//! Resident memory: idle, with webhooks that wait, and through a run of 1 GB. And what an idle server takes of a processor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Scale;
use crate::agent::{Journal, most_alive};
use crate::load::{Sender, send};
use crate::payload::Webhooks;
use crate::postgres;
use crate::report::{Bar, Report, say};
use crate::server::{Server, Setup, run_id};
use crate::spawn::starts_by_run;

const MB: f64 = 1e6;
/// The default of the setting `limits.max_concurrent_runs`.
const CAP: usize = 4;

/// A server that nobody asked for anything yet.
pub(crate) async fn idle(report: &mut Report) -> Result<()> {
    say("idle: memory and processor time of a server without work");
    on(None, report).await?;
    if let Some(postgres) = postgres::start_for("an idle server on PostgreSQL", report)? {
        on(Some(postgres.database("idle").await?), report).await?;
    }
    Ok(())
}

async fn on(database: Option<String>, report: &mut Report) -> Result<()> {
    const STILL: Duration = Duration::from_secs(10);
    let name = if database.is_some() { "idle server, PostgreSQL" } else { "idle server" };
    let server = Server::fresh(&Setup { database, ..Setup::fake()? }).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = server.process.processor_time()?;
    tokio::time::sleep(STILL).await;
    let share = (server.process.processor_time()? - before) / STILL.as_secs_f64() * 100.0;
    let resident = server.process.resident()? as f64 / MB;
    report.judge(name, format!("{resident:.1} MB"), "40 MB", resident, Bar::Below(40.0));
    report.judge("  its share of one processor", format!("{share:.1} %"), "1 %", share, Bar::Below(1.0));
    Ok(())
}

/// Webhooks that wait for a slot cost rows, not memory; and there are never more processes than the cap.
pub(crate) async fn waiting(scale: Scale, report: &mut Report) -> Result<()> {
    say(format_args!("waiting: {} webhooks while all slots are taken", scale.waiting));
    let mut server = Server::fresh(&Setup::fake()?).await?;
    let (_, hook) = server.trigger("waiting").await?;
    let idle = server.process.resident()?;
    let threads = scale.waiting as u64;
    let blockers = Arc::new(Webhooks::new(hook.clone(), CAP as u64, "[[sleep: 10]]")?);
    send(&blockers, CAP).await?;
    let instant = Arc::new(Webhooks::new(hook, threads, "[[say: done]]")?);
    // As many before, so that buffers and the database's page cache have their size.
    send(&instant, scale.waiting).await?;
    let before = settled(&server).await?;
    send(&instant, scale.waiting).await?;
    let after = settled(&server).await?;
    let each = (after as f64 - before as f64) / scale.waiting as f64;
    let first = (before as f64 - idle as f64) / scale.waiting as f64;
    report.judge("memory of a waiting webhook", format!("{each:.0} B"), "1000 B", each, Bar::Below(1000.0));
    report.note("  the same from idle, with caches", format!("{first:.0} B"), "-", first);

    let expected = CAP + 2 * scale.waiting;
    let mut journal = Journal::new(&server.agents());
    let (mut noted, mut begin) = (Vec::new(), Instant::now());
    while noted.len() < 2 * expected && begin.elapsed() < Duration::from_secs(20) {
        let more = journal.more()?;
        if !more.is_empty() {
            begin = Instant::now();
        }
        noted.extend(more);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let starts = starts_by_run(&noted);
    ensure!(starts.len() == expected, "{} of {expected} webhooks ran", starts.len());
    ensure!(starts.values().all(|count| *count == 1), "a run was started twice");
    let alive = most_alive(&noted);
    report.judge("processes at once", alive, format!("{CAP}"), alive as f64, Bar::AtMost(CAP as f64));
    Ok(())
}

async fn settled(server: &Server) -> Result<u64> {
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.process.resident()
}

/// A run that writes without end does not fill the server.
pub(crate) async fn output(scale: Scale, report: &mut Report) -> Result<()> {
    say(format_args!("output: one run that writes {} MB", scale.output_bytes / 1_000_000));
    let mut server = Server::fresh(&Setup::fake()?).await?;
    let (_, hook) = server.trigger("output").await?;
    // A small run first, so that what every run needs once is there.
    let small = one_run(&mut server, &Webhooks::new(hook.clone(), 1, "[[bytes: 1000000]]")?).await?;
    ensure!(small.state() == reprise::proto::v1::RunState::Succeeded, "the small run ended {:?}", small.state());
    let before = settled(&server).await?;
    server.process.forget_peak()?;
    let begin = Instant::now();
    let marks = format!("[[bytes: {}]]", scale.output_bytes);
    let run = one_run(&mut server, &Webhooks::new(hook, 1, &marks)?).await?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(run.state() == reprise::proto::v1::RunState::Succeeded, "the run ended {:?}: {:?}", run.state(), run.failure);
    let grown = server.process.peak()?.saturating_sub(before) as f64 / MB;
    let name = format!("growth by a run of {} MB", scale.output_bytes / 1_000_000);
    report.judge(&name, format!("{grown:.1} MB"), "64 MB", grown, Bar::Below(64.0));
    report.note("  its output", format!("{:.0} MB/s", scale.output_bytes as f64 / MB / seconds), "-", seconds);
    Ok(())
}

/// Sends one webhook and waits for the end of its run.
async fn one_run(server: &mut Server, webhooks: &Webhooks) -> Result<reprise::proto::v1::Run> {
    use reprise::proto::v1::RunState::{Cancelled, Failed, Succeeded};
    let mut sender = Sender::connect(webhooks.authority()).await?;
    let run_id = run_id(&sender.send(webhooks).await?)?;
    let begin = Instant::now();
    loop {
        let run = server.run(&run_id).await?;
        if matches!(run.state(), Succeeded | Failed | Cancelled) {
            return Ok(run);
        }
        ensure!(begin.elapsed() < Duration::from_secs(300), "the run did not end in 300 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
