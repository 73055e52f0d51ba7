//! One run to 100 readers, against a bare tonic broadcast of the same messages.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reprise::proto::v1::{self, journal_entry::Kind, run_service_client::RunServiceClient, watch_run_response::Event};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::Scale;
use crate::agent;
use crate::load::Sender;
use crate::payload::Webhooks;
use crate::process::{Process, own_role};
use crate::report::{Bar, Report, median, say};
use crate::server::{Keyring, Server, Setup, run_id, runs_of};

const READERS: usize = 100;

/// What one reader saw.
struct Seen {
    first: Instant,
    last: Instant,
    entries: usize,
}

/// Rounds of both in turns.
pub(crate) async fn measure(scale: Scale, report: &mut Report) -> Result<()> {
    say(format_args!("watch: one run of {} lines to {READERS} readers", scale.lines));
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        limit.push(bare(scale.lines).await?);
        ours.push(run(scale.lines).await?);
    }
    let (ours, limit) = (median(&ours), median(&limit));
    report.judge("entries to 100 readers", format!("{ours:.0}/s"), format!("{limit:.0}/s"), ours / limit, Bar::AtLeast(0.5));
    Ok(())
}

/// The bare broadcast: entries each second over all readers.
pub(crate) async fn bare(lines: usize) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let address = dir.path().join("address");
    let mut command = own_role("broadcast")?;
    command.arg("--address").arg(&address).args(["--lines", &lines.to_string(), "--readers", &READERS.to_string()]);
    let (_process, url) = Process::start(command, &address, &dir.path().join("log")).await?;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut client = runs_of(&url).await?;
        readers.spawn(async move { read(&mut client, "run").await });
    }
    total("limit", readers, lines).await
}

/// Reprise: the same, from a live run.
async fn run(lines: usize) -> Result<f64> {
    let go = Go::new()?;
    let env = vec![(agent::LINES, lines.to_string()), (agent::GO, go.path().display().to_string())];
    let mut server = Server::fresh(&Setup { agent: std::env::current_exe()?, agent_env: env }).await?;
    let (_, hook) = server.trigger("watch").await?;
    let webhooks = Webhooks::new(hook, 1, "")?;
    let run = run_id(&Sender::connect(webhooks.authority()).await?.send(&webhooks).await?)?;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        let mut client = runs_of(server.url()).await?;
        let run = run.clone();
        readers.spawn(async move { read(&mut client, &run).await });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    go.now()?;
    let rate = total("ours", readers, lines).await?;
    let end = server.run(&run).await?;
    ensure!(end.state() == v1::RunState::Succeeded, "the run ended {:?}: {:?}", end.state(), end.failure);
    say(format_args!("   from the agent's first line to the last reader: {:.0} ms", begin.elapsed().as_secs_f64() * 1e3));
    Ok(rate)
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

/// Reads a run to its outcome. Nothing may be missing or out of order.
async fn read(client: &mut RunServiceClient<Keyring>, run_id: &str) -> Result<Seen> {
    let mut stream = client.watch_run(v1::WatchRunRequest { run_id: run_id.to_owned(), ..Default::default() }).await?.into_inner();
    let (mut entries, mut texts, mut first, mut ended) = (0, 0_usize, None, None);
    while let Some(message) = stream.message().await? {
        let Some(Event::Entry(entry)) = message.event else { continue };
        entries += 1;
        ensure!(entry.sequence == entries, "entry {} came where {entries} was due", entry.sequence);
        match entry.kind {
            Some(Kind::Text(text)) => {
                texts += 1;
                first.get_or_insert_with(Instant::now);
                ensure!(text.text.starts_with(&format!("line {texts} ")), "line {texts} is {:?}", &text.text[..20]);
            }
            Some(Kind::Outcome(_)) => {
                ended = Some(Instant::now());
                break;
            }
            _ => {}
        }
    }
    let Some(last) = ended else { bail!("the stream ended before the outcome, after {entries} entries") };
    Ok(Seen { first: first.context("no line came")?, last, entries: texts })
}

/// From the first line that any reader saw to the last reader's outcome.
async fn total(whose: &str, mut readers: JoinSet<Result<Seen>>, lines: usize) -> Result<f64> {
    let mut seen = Vec::new();
    while let Some(reader) = readers.join_next().await {
        seen.push(reader??);
    }
    ensure!(seen.iter().all(|reader| reader.entries + 1 >= lines), "a reader saw too few lines");
    let first = seen.iter().map(|reader| reader.first).min().context("no reader")?;
    let last = seen.iter().map(|reader| reader.last).max().context("no reader")?;
    let rate = seen.iter().map(|reader| reader.entries).sum::<usize>() as f64 / (last - first).as_secs_f64();
    say(format_args!("   {whose}: {rate:.0} entries/s"));
    Ok(rate)
}
