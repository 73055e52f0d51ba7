//! One run to 100 readers, against a bare tonic broadcast of the same messages.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reprise::proto::v1;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::Scale;
use crate::agent;
use crate::load::Sender;
use crate::payload::Webhooks;
use crate::process::{Process, own_role};
use crate::reader::{Reader, Seen};
use crate::report::{Bar, Report, median, say};
use crate::server::{Server, Setup, run_id};

const READERS: usize = 100;

/// Rounds of both in turns.
pub(crate) async fn measure(scale: Scale, report: &mut Report) -> Result<()> {
    say(format_args!("watch: one run of {} lines to {READERS} readers", scale.lines));
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        limit.push(bare(scale.lines).await?);
        ours.push(run(scale.lines).await?);
    }
    let (ours, limit) = (median(&ours), median(&limit));
    report.judge("lines to 100 readers", format!("{ours:.0}/s"), format!("{limit:.0}/s"), ours / limit, Bar::AtLeast(0.5));
    Ok(())
}

/// The bare broadcast: entries each second over all readers.
pub(crate) async fn bare(lines: usize) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let address = dir.path().join("address");
    let mut command = own_role("broadcast")?;
    command.arg("--address").arg(&address).args(["--lines", &lines.to_string(), "--readers", &READERS.to_string()]);
    let (_process, url) = Process::start(command, &address, &dir.path().join("log")).await?;
    total("limit", read_all(&url, "run").await?, lines).await
}

/// Reprise: the same, from a live run.
async fn run(lines: usize) -> Result<f64> {
    let go = Go::new()?;
    let env = vec![(agent::LINES, lines.to_string()), (agent::GO, go.path().display().to_string())];
    let mut server = Server::fresh(&Setup { agent: std::env::current_exe()?, agent_env: env, ..Setup::fake()? }).await?;
    let (_, hook) = server.trigger("watch").await?;
    let webhooks = Webhooks::new(hook, 1, "")?;
    let run = run_id(&Sender::connect(webhooks.authority()).await?.send(&webhooks).await?)?;
    let readers = read_all(server.url(), &run).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    go.now()?;
    let rate = total("ours", readers, lines).await?;
    let end = server.run(&run).await?;
    ensure!(end.state() == v1::RunState::Succeeded, "the run ended {:?}: {:?}", end.state(), end.failure);
    Ok(rate)
}

/// All readers, reading.
async fn read_all(url: &str, run_id: &str) -> Result<JoinSet<Result<Seen>>> {
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        readers.spawn(Reader::follow(url, run_id, number == 0).await?.read());
    }
    Ok(readers)
}

/// The file that the agent waits for.
struct Go(TempDir);

impl Go {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("go")
    }

    fn now(&self) -> Result<()> {
        Ok(std::fs::write(self.path(), "")?)
    }
}

/// Lines each second over all readers, from the first line that any reader saw to the last one of the last reader.
async fn total(whose: &str, mut readers: JoinSet<Result<Seen>>, lines: usize) -> Result<f64> {
    let mut seen = Vec::new();
    while let Some(reader) = readers.join_next().await {
        seen.push(reader??);
    }
    ensure!(seen.iter().all(|reader| reader.lines == lines), "a reader saw more or fewer than {lines} lines");
    let first = seen.iter().map(|reader| reader.first).min().context("no reader")?;
    let last = seen.iter().map(|reader| reader.last).max().context("no reader")?;
    let end = seen.iter().map(|reader| reader.end).max().context("no reader")?;
    let rate = (lines * seen.len()) as f64 / (last - first).as_secs_f64();
    say(format_args!("   {whose}: {rate:.0} lines/s; the streams ended {:.0} ms after the last line", (end - last).as_secs_f64() * 1e3));
    Ok(rate)
}
