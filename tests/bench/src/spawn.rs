//! From the 200 to the start of the agent, while slots are idle; the limit starts the same agent after its commit.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Scale;
use crate::agent::{Journal, Noted};
use crate::load::{Sender, wall_micros};
use crate::payload::Webhooks;
use crate::report::{Bar, Report, median, say};
use crate::server::{Edge, Server, Setup, run_id};

/// One at a time: sends, waits for the agent's end, and gives the time from the answer to the agent's start.
struct Sampler {
    sender: Sender,
    webhooks: Webhooks,
    journal: Journal,
    samples: Vec<f64>,
}

impl Sampler {
    async fn new(webhooks: Webhooks, journal: Journal) -> Result<Self> {
        Ok(Self { sender: Sender::connect(webhooks.authority()).await?, webhooks, journal, samples: Vec::new() })
    }

    async fn sample(&mut self, by_run: bool) -> Result<()> {
        let answer = self.sender.send(&self.webhooks).await?;
        let answered = wall_micros();
        let run = if by_run { Some(run_id(&answer)?) } else { None };
        let ours = |noted: &Noted| run.as_ref().is_none_or(|run| noted.run == *run);
        let noted = self.journal.next(|noted| !noted.start && ours(noted), Duration::from_secs(30)).await?;
        let start = noted.iter().find(|noted| noted.start && ours(noted)).context("an end without a start")?;
        self.samples.push((start.time_us - answered) as f64 / 1e3);
        // Lets the run be finished and its slot come free.
        tokio::time::sleep(Duration::from_millis(15)).await;
        Ok(())
    }
}

/// Samples of both in turns.
pub(crate) async fn measure(scale: Scale, report: &mut Report) -> Result<()> {
    say("spawn: from the 200 to the start of the agent's process, slots idle");
    let setup = Setup::fake()?;
    let edge = Edge::start(tempfile::tempdir()?, Some(&setup.agent)).await?;
    let mut server = Server::fresh(&setup).await?;
    let (_, hook) = server.trigger("spawn").await?;
    let mut ours = Sampler::new(Webhooks::new(hook, 100_000, "[[say: done]]")?, Journal::new(&server.agents())).await?;
    let mut limit = Sampler::new(Webhooks::new(edge.hook.clone(), 1, "")?, Journal::new(&edge.agents())).await?;
    for sample in 0..scale.samples + 5 {
        ours.sample(true).await?;
        limit.sample(false).await?;
        if sample == 4 {
            // The first ones warm up.
            ours.samples.clear();
            limit.samples.clear();
        }
    }
    let (p50, bare) = (median(&ours.samples), median(&limit.samples));
    report.judge("200 to spawn, p50", format!("{p50:.2} ms"), format!("{bare:.2} ms"), p50 / bare, Bar::AtMost(1.7));
    let (p90, bare) = (high(&ours.samples), high(&limit.samples));
    report.note("200 to spawn, p90", format!("{p90:.2} ms"), format!("{bare:.2} ms"), p90 / bare);
    Ok(())
}

fn high(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() * 9 / 10).copied().unwrap_or(f64::NAN)
}

/// How many processes started for each run; more than one would be a run that ran twice.
pub(crate) fn starts_by_run(noted: &[Noted]) -> HashMap<&str, usize> {
    let mut starts = HashMap::new();
    for start in noted.iter().filter(|noted| noted.start) {
        *starts.entry(start.run.as_str()).or_default() += 1;
    }
    starts
}
