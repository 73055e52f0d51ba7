//! Speed and memory, each figure beside its limit, measured in the same run.
//!
//! The limit is started by the bench itself: a bare edge (an HTTP route, the HMAC of the body, one group-committed row)
//! for webhooks, and a bare tonic broadcast for readers. Machines are noisy, so ours and the limit take turns, and the
//! median of the rounds counts.

mod acks;
mod agent;
mod backlog;
mod bare;
mod broadcast;
mod claims;
mod database;
mod edge;
mod edge_postgres;
mod fill;
mod load;
mod memory;
mod million;
mod payload;
mod postgres;
mod process;
mod reader;
mod ready;
mod report;
mod server;
mod spawn;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::report::Report;

/// Measures the release build of Reprise. Exits with 1 when a bar is missed.
#[derive(Debug, Parser)]
struct Args {
    /// Only these parts, separated by commas.
    #[arg(long = "only", env = "BENCH", value_delimiter = ',')]
    parts: Vec<Part>,
    /// Shorter phases and fewer rows: shows that all works, decides nothing.
    #[arg(long, env = "QUICK")]
    quick: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The bare edge and the bare broadcast alone: what this machine gives at most. Not part of a full run.
    Limit,
    /// Durable acks: rate and p99 against the bare edge.
    Acks,
    /// Durable acks with the queue in PostgreSQL, against the bare transaction.
    IntakePg,
    /// Acks while runs take 5 s, against acks while they end at once.
    Runs,
    /// From the 200 to the start of the child.
    Spawn,
    /// Claims, against their bare statements, from short queues and long ones.
    Claims,
    /// From the start of a server to its readiness, with 100,000 queued runs.
    Ready,
    /// Memory and processor time of an idle server.
    Idle,
    /// Memory of webhooks that wait, and the cap on processes.
    Waiting,
    /// One run to 100 readers.
    Watch,
    /// Memory of a run with 1 GB of output.
    Output,
    /// Acks and lists with 1,000,000 stored deliveries.
    Million,
}

/// The processes that the bench starts of itself.
#[derive(Debug, Subcommand)]
enum Role {
    /// The bare edge.
    #[command(hide = true)]
    Edge(edge::Options),
    /// The bare tonic broadcast.
    #[command(hide = true)]
    Broadcast(broadcast::Options),
}

/// How long and how much.
#[derive(Debug, Clone, Copy)]
struct Scale {
    rounds: usize,
    phase: Duration,
    samples: usize,
    waiting: usize,
    lines: usize,
    output_bytes: u64,
    stored: u64,
    queued: &'static [u64],
}

impl Scale {
    const FULL: Self = Self {
        rounds: 3,
        phase: Duration::from_secs(4),
        samples: 200,
        waiting: 2000,
        lines: 20_000,
        output_bytes: 1_000_000_000,
        stored: 1_000_000,
        queued: &[1_000, 10_000, 100_000, 1_000_000],
    };
    const QUICK: Self = Self {
        rounds: 1,
        phase: Duration::from_secs(2),
        samples: 30,
        waiting: 500,
        lines: 5_000,
        output_bytes: 100_000_000,
        stored: 60_000,
        queued: &[1_000, 10_000, 100_000],
    };
}

fn main() -> Result<ExitCode> {
    // An agent that writes faster than the test double; Reprise starts it with the arguments of Claude Code.
    if agent::wanted() {
        agent::play()?;
        return Ok(ExitCode::SUCCESS);
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match args.role {
        Some(Role::Edge(options)) => runtime.block_on(edge::serve(options)).map(|()| ExitCode::SUCCESS),
        Some(Role::Broadcast(options)) => runtime.block_on(broadcast::serve(options)).map(|()| ExitCode::SUCCESS),
        None => runtime.block_on(async {
            tokio::select! {
                measured = measure(&args) => measured,
                // What was started ends with the measurement that is dropped here.
                stopped = stopped() => stopped.map(|()| ExitCode::FAILURE),
            }
        }),
    }
}

/// Completes when somebody wants this process to end.
async fn stopped() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => Ok(pressed?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn measure(args: &Args) -> Result<ExitCode> {
    let scale = if args.quick { Scale::QUICK } else { Scale::FULL };
    let parts = if args.parts.is_empty() { &Part::value_variants()[1..] } else { &args.parts };
    let mut report = Report::default();
    for part in parts {
        match part {
            Part::Limit => acks::limit_alone(scale, &mut report).await?,
            Part::Acks => acks::against_the_limit(scale, &mut report).await?,
            Part::IntakePg => acks::on_postgres(scale, &mut report).await?,
            Part::Runs => acks::with_runs_in_flight(scale, &mut report).await?,
            Part::Spawn => spawn::measure(scale, &mut report).await?,
            Part::Claims => claims::measure(scale, &mut report).await?,
            Part::Ready => ready::measure(&mut report).await?,
            Part::Idle => memory::idle(&mut report).await?,
            Part::Waiting => memory::waiting(scale, &mut report).await?,
            Part::Watch => watch::measure(scale, &mut report).await?,
            Part::Output => memory::output(scale, &mut report).await?,
            Part::Million => million::measure(scale, &mut report).await?,
        }
    }
    report.table();
    Ok(if report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
