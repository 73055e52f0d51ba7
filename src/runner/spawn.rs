//! The processes of one attempt: each within what is left of the run's time and money, each accounted for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Shared;
use super::attempt::Flow;
use super::custody;
use super::ends::Ends;
use super::kill::Mark;
use super::metering::{Meter, Prices};
use super::outcome::{Limits, Verdict};
use super::patience::patiently;
use super::place::Place;
use super::process::{self, Launch};
use super::pump::Pump;
use super::tale::Tale;
use super::watch::{Order, Report, Stopped, watch};
use crate::agent::{self, SpawnPlan};
use crate::domain::{
    EntryKind, Error, Failure, FailureReason, Lineage, NanoUsd, NoticeCode, PromptKind, Result, RunWarning, SpawnPurpose, Usage,
};
use crate::queue::{Assignment, Manifest, Terms};
use crate::{fail_point, metrics};

/// A warning when a run has used this share of its money.
const NEAR: f64 = 0.8;

/// Which conversation a process is for, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    pub(super) purpose: SpawnPurpose,
    pub(super) id: Uuid,
    pub(super) generation: i32,
}

/// Starts the processes of one attempt, one after the other.
pub(super) struct Crew {
    shared: Arc<Shared>,
    assignment: Arc<Assignment>,
    pub(super) pump: Pump,
    pub(super) tale: Tale,
    pub(super) limits: Limits,
    pub(super) claimed: Instant,
    ends: Ends,
    mark: Mark,
    silence: Option<Duration>,
    deadline: Option<Instant>,
    max_cost: NanoUsd,
    /// By this run, all attempts.
    spent: NanoUsd,
    /// By this attempt.
    used: Usage,
    /// What models were seen to cost.
    prices: Prices,
    /// What the agent said that the conversation costs in all, and which conversation.
    total: (Uuid, NanoUsd),
    /// How many processes there were so far.
    spawns: i32,
    told_terms: bool,
}

impl Crew {
    pub(super) fn new(shared: &Arc<Shared>, assignment: Arc<Assignment>, interrupt: CancellationToken) -> Self {
        let (lease, limits, defaults) = (assignment.lease, assignment.trigger.spec.run_limits, &assignment.settings.agent);
        let claimed = Instant::now();
        let timeout = limits.timeout.unwrap_or(defaults.timeout);
        let some = |span: Duration| (!span.is_zero()).then_some(span);
        Self {
            pump: Pump::start(
                shared.journal.clone(),
                lease,
                shared.setup.config.output_limit_bytes,
                shared.setup.config.spool_limit_bytes,
                &shared.setup.data_dir,
            ),
            tale: Tale::default(),
            limits: Limits { timeout, max_turns: limits.max_turns.unwrap_or(0) },
            claimed,
            ends: Ends::new(shared.clone(), lease.run_id, interrupt),
            mark: Mark::run(shared.worker, lease.run_id),
            silence: some(limits.silence_timeout.unwrap_or(defaults.silence_timeout)),
            deadline: some(timeout).map(|timeout| claimed + timeout),
            max_cost: limits.max_cost.unwrap_or(defaults.max_cost),
            spent: assignment.run.spent,
            used: Usage::default(),
            prices: Prices::default(),
            total: (assignment.session.agent_session_id.unwrap_or_default(), assignment.agent_total_cost),
            spawns: 0,
            told_terms: false,
            shared: shared.clone(),
            assignment,
        }
    }

    /// What marks this run's processes.
    pub(super) const fn mark(&self) -> &Mark {
        &self.mark
    }

    /// Under which terms the run goes, the first time.
    pub(super) fn terms(&mut self) -> Option<Terms> {
        let options = &self.assignment.trigger.spec.agent;
        let profile = options.profile.as_ref().unwrap_or(&self.assignment.settings.agent.default_profile).clone();
        let terms = Terms { agent: options.cli.name().to_owned(), profile, max_cost: self.max_cost };
        (!std::mem::replace(&mut self.told_terms, true)).then_some(terms)
    }

    /// Says what is about to be asked.
    pub(super) fn begin(&mut self, lineage: Lineage, prompt_kind: PromptKind, prompt: &str) {
        self.tale.lineage = Some(lineage);
        let delivery_ids = self.assignment.deliveries.iter().map(|worked| worked.delivery.id).collect();
        let attempt = self.assignment.lease.attempt;
        self.pump.say(EntryKind::RunStarted { attempt, lineage, prompt: prompt.to_owned(), prompt_kind, delivery_ids });
    }

    /// Runs one process to its end. It hears `prompt` once `store` is done. While it lives its transcript is taken into
    /// custody now and then, as `manifest` says in the end.
    pub(super) async fn spawn(
        &mut self,
        place: &Place,
        talk: Talk,
        prompt: &str,
        store: impl Future<Output = Result<()>>,
        manifest: &mut Manifest,
    ) -> Flow<Report> {
        let launch = self.launch(place, talk)?;
        fail_point::pass("agent", "starting");
        let mut process = process::start(&launch)?;
        fail_point::pass("agent", "started");
        self.spawns += 1;
        if self.spawns == 1 {
            metrics::spawned(self.claimed.elapsed());
        }
        let stdin = process.stdin.take();
        let feed = async {
            store.await?;
            if let Some(stdin) = stdin {
                process::give(stdin, prompt).await;
            }
            Ok(())
        };
        let order = Order {
            cli: &self.assignment.trigger.spec.agent.cli,
            purpose: talk.purpose,
            permission_mode: &place.profile.permission_mode,
            deadline: self.deadline,
            silence: self.silence,
            grace: self.shared.setup.kill_grace(),
            mark: &self.mark,
            queue: &self.shared.queue,
            lease: &self.assignment.lease,
            used: self.used,
        };
        let meter = Meter::with_prices(self.prices.clone());
        let report = tokio::select! {
            report = watch(process, &order, meter, feed, &mut self.pump, &mut self.ends) => report,
            never = checkpoints(&self.shared, &self.assignment, place, talk, manifest) => match never {},
        };
        self.account(&report, talk).await?;
        Ok(report)
    }

    /// The command line, if there is still time and money for it.
    fn launch(&mut self, place: &Place, talk: Talk) -> Flow<Launch> {
        match self.ends.wanted().now_or_never() {
            Some(Stopped::Cancelled) => return Err(Verdict::Cancelled),
            Some(Stopped::Lost) => return Err(Verdict::Lost),
            Some(_) => return Err(Verdict::Interrupted),
            None => {}
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(Failure::new(FailureReason::TimedOut, format!("it was not done after {} s", self.limits.timeout.as_secs())).into());
        }
        let left = NanoUsd(self.max_cost.0 - self.spent.0);
        let limited = self.max_cost.0 > 0;
        if limited && left.0 <= 0 {
            let message = format!("the run has used ${:.4} of ${:.4}", self.spent.usd(), self.max_cost.usd());
            return Err(Failure::new(FailureReason::MaxCost, message).into());
        }
        let plan = SpawnPlan {
            purpose: talk.purpose,
            agent_session_id: talk.id,
            model: place.model.clone(),
            effort: place.effort.clone(),
            profile: place.profile.clone(),
            max_turns: Some(self.limits.max_turns).filter(|turns| *turns > 0),
            max_cost: limited.then_some(left),
            add_dirs: Vec::new(),
        };
        Ok(Launch {
            executable: place.executable.clone(),
            arguments: agent::arguments(&self.assignment.trigger.spec.agent.cli, &plan),
            environment: place.environment.clone(),
            directory: place.dirs.cwd.clone(),
        })
    }

    /// Adds what a process used, and notes what a reader should know of it.
    async fn account(&mut self, report: &Report, talk: Talk) -> Flow<()> {
        let before = if self.total.0 == talk.id { self.total.1 } else { NanoUsd(0) };
        let used = report.meter.usage(before);
        self.total = (talk.id, used.agent_total_cost.unwrap_or(before));
        self.prices = report.meter.prices().clone();
        self.spent = NanoUsd(self.spent.0 + used.usage.cost.0);
        self.used = self.used.plus(used.usage);
        let (context_tokens, context_window_tokens) = (used.context_tokens, used.context_window_tokens);
        self.pump.say(EntryKind::Usage { usage: self.used, context_tokens, context_window_tokens });
        let lineage = self.tale.lineage.map_or("none", |lineage| lineage.as_str());
        let Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost, .. } = used.usage;
        metrics::used(lineage, cost.usd(), input_tokens, output_tokens, cache_read_tokens, cache_write_tokens);
        if self.max_cost.0 > 0 && self.spent.usd() >= NEAR * self.max_cost.usd() {
            self.tale.warn(RunWarning::NearMaxCost);
        }
        if (report.stopped.is_none() && report.left_behind > 0) || report.stopped == Some(Stopped::Lingered) {
            let message =
                format!("the agent was done, but work of it went on in the background ({} processes); it was ended", report.left_behind);
            self.pump.notice(NoticeCode::BackgroundWorkStopped, message, &[("count", report.left_behind.to_string())]);
            self.tale.warn(RunWarning::BackgroundWorkStopped);
        }
        if self.pump.truncated() {
            self.tale.warn(RunWarning::OutputTruncated);
        }
        let last = &self.assignment.last_agent_version;
        if let Some(init) =
            report.init.as_ref().filter(|init| !last.is_empty() && self.tale.agent_version.is_empty() && init.agent_version != *last)
        {
            let values = [("before", last.clone()), ("now", init.agent_version.clone())];
            self.pump.notice(
                NoticeCode::AgentVersionChanged,
                format!("the agent is version {} now, and was {last}", init.agent_version),
                &values,
            );
        }
        self.tale.saw(report);
        let (queue, lease) = (&self.shared.queue, &self.assignment.lease);
        patiently(&self.shared.fence, lease.run_id, "what the agent used", || queue.add_usage(lease, self.spawns, used.clone())).await?;
        Ok(())
    }
}

/// Takes the transcript of a live conversation into custody now and then. Never ends by itself; may be dropped at any time.
async fn checkpoints(shared: &Shared, assignment: &Assignment, place: &Place, talk: Talk, manifest: &mut Manifest) -> Infallible {
    let (queue, lease) = (&shared.queue, &assignment.lease);
    loop {
        tokio::time::sleep(shared.setup.checkpoint_every()).await;
        let saved = async {
            let next = custody::save(queue, lease, talk.generation, talk.id, &place.project_dir, manifest).await?;
            if next != *manifest {
                queue.checkpoint(lease, talk.generation, &next).await?;
            }
            Ok::<_, Error>(next)
        };
        match saved.await {
            Ok(next) => *manifest = next,
            // The turn's end saves again, and tells if it fails.
            Err(error) => tracing::debug!(run.id = %lease.run_id, error = %error, "no checkpoint of the transcript"),
        }
    }
}
