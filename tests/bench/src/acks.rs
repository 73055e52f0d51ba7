//! Durable acks of signed webhooks, against the bare edge.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use reprise::store::{Config, Store};

use crate::Scale;
use crate::load::{Measured, drive};
use crate::payload::Webhooks;
use crate::postgres;
use crate::report::{Bar, Report, median, say};
use crate::server::{Edge, Server, Setup};
use crate::watch;

/// Threads that the webhooks are spread over.
const THREADS: u64 = 8192;
/// Runs that keep their slots for long: agents take next to nothing of the machine while acks are counted.
const LONG: &str = "[[sleep: 5]]";
/// Runs that end at once.
const INSTANT: &str = "[[say: done]]";

/// Rounds of ours and the limit in turns.
pub(crate) struct Rounds {
    ours: Vec<Measured>,
    limit: Vec<Measured>,
}

impl Rounds {
    /// Takes turns; each round begins with the other one.
    pub(crate) async fn run(ours: &Arc<Webhooks>, limit: &Arc<Webhooks>, connections: usize, scale: Scale) -> Result<Self> {
        let mut rounds = Self { ours: Vec::new(), limit: Vec::new() };
        for round in 0..scale.rounds {
            for turn in 0..2 {
                let (whose, webhooks, measured) =
                    if (round + turn) % 2 == 0 { ("limit", limit, &mut rounds.limit) } else { ("ours", ours, &mut rounds.ours) };
                let phase = drive(webhooks, connections, scale.phase).await?;
                say(format_args!("   {connections} connections, {whose}: {:.0} acks/s, p99 {:.2} ms", phase.rate, phase.p99_ms));
                measured.push(phase);
            }
        }
        Ok(rounds)
    }

    /// Acks each second: ours, the limit's.
    pub(crate) fn rates(&self) -> (f64, f64) {
        let rate = |phases: &[Measured]| median(&phases.iter().map(|phase| phase.rate).collect::<Vec<_>>());
        (rate(&self.ours), rate(&self.limit))
    }

    fn p99s(&self) -> (f64, f64) {
        let p99 = |phases: &[Measured]| median(&phases.iter().map(|phase| phase.p99_ms).collect::<Vec<_>>());
        (p99(&self.ours), p99(&self.limit))
    }
}

/// Webhooks over many threads for both.
pub(crate) async fn webhooks(server: &mut Server, edge: &Edge) -> Result<(Arc<Webhooks>, Arc<Webhooks>)> {
    let (_, hook) = server.trigger("acks").await?;
    Ok((Arc::new(Webhooks::new(hook, THREADS, LONG)?), Arc::new(Webhooks::new(edge.hook.clone(), THREADS, LONG)?)))
}

/// What the bare edge does while nothing else is measured.
pub(crate) async fn limit_alone(scale: Scale, report: &mut Report) -> Result<()> {
    say("limit: the bare edge and the bare broadcast, alone");
    let edge = Edge::start(tempfile::tempdir()?, None).await?;
    let webhooks = Arc::new(Webhooks::new(edge.hook.clone(), THREADS, LONG)?);
    for connections in [64, 16, 1] {
        let phase = drive(&webhooks, connections, scale.phase).await?;
        let p99 = format!("p99 {:.1} ms", phase.p99_ms);
        report.note(&format!("bare edge, {connections} connections"), "-", format!("{:.0}/s, {p99}", phase.rate), phase.rate);
    }
    let rate = watch::bare(scale.lines).await?;
    report.note("bare broadcast, 100 readers", "-", format!("{rate:.0}/s"), rate);
    Ok(())
}

/// Rate at 64 connections, p99 at 16.
pub(crate) async fn against_the_limit(scale: Scale, report: &mut Report) -> Result<()> {
    say("acks: signed 2 KiB webhooks, each answered after its commit");
    let edge = Edge::start(tempfile::tempdir()?, None).await?;
    let mut server = Server::fresh(&Setup::fake()?).await?;
    let (ours, limit) = webhooks(&mut server, &edge).await?;

    let (rate, bare) = Rounds::run(&ours, &limit, 64, scale).await?.rates();
    report.judge("acks at 64 connections", format!("{rate:.0}/s"), format!("{bare:.0}/s"), rate / bare, Bar::AtLeast(0.4));
    let (p99, bare) = Rounds::run(&ours, &limit, 16, scale).await?.p99s();
    report.judge("ack p99 at 16 connections", format!("{p99:.2} ms"), format!("{bare:.2} ms"), p99 / bare, Bar::AtMost(2.0));
    Ok(())
}

/// The same on PostgreSQL, against the bare transaction of the same rows: the same tables and indexes, the same groups, the same
/// way over HTTP and HMAC, on the same server of PostgreSQL.
pub(crate) async fn on_postgres(scale: Scale, report: &mut Report) -> Result<()> {
    say("intake-pg: the same webhooks with the queue in PostgreSQL, against the bare transaction of the same rows");
    let Some(postgres) = postgres::start_for("acks on PostgreSQL", report)? else { return Ok(()) };
    let bare = postgres.database("bare").await?;
    Store::open(&Config::new(bare.clone()), Path::new(".")).await?.migrate_up().await?;
    let edge = Edge::on_postgres(&bare).await?;
    let mut server = Server::fresh(&Setup { database: Some(postgres.database("reprise").await?), ..Setup::fake()? }).await?;
    let (ours, limit) = webhooks(&mut server, &edge).await?;
    let rounds = Rounds::run(&ours, &limit, 64, scale).await?;
    let (rate, bare) = rounds.rates();
    report.judge("acks at 64 connections, PostgreSQL", format!("{rate:.0}/s"), format!("{bare:.0}/s"), rate / bare, Bar::AtLeast(0.5));
    let (p99, bare) = rounds.p99s();
    report.note("  their p99", format!("{p99:.1} ms"), format!("{bare:.1} ms"), p99 / bare);
    Ok(())
}

/// An ack never waits for a run: while runs take 5 s, the rate is that with instant runs.
pub(crate) async fn with_runs_in_flight(scale: Scale, report: &mut Report) -> Result<()> {
    say("runs: acks while runs of 5 s are in flight, and while runs end at once");
    let (mut long, mut instant) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        for (marks, rates) in [(INSTANT, &mut instant), (LONG, &mut long)] {
            // A server of its own each time: the runs that one phase leaves behind would slow the other.
            let mut server = Server::fresh(&Setup::fake()?).await?;
            let (_, hook) = server.trigger("runs").await?;
            let phase = drive(&Arc::new(Webhooks::new(hook, THREADS, marks)?), 64, scale.phase).await?;
            say(format_args!("   {marks}: {:.0} acks/s", phase.rate));
            rates.push(phase.rate);
        }
    }
    let (long, instant) = (median(&long), median(&instant));
    report.judge(
        "acks with 5 s runs in flight, to instant ones",
        format!("{long:.0}/s"),
        format!("{instant:.0}/s"),
        long / instant,
        Bar::AtLeast(0.9),
    );
    Ok(())
}
