//! The loop that claims, within one tenure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::tenure::slots;
use super::{Shared, attempt, end, kill};
use crate::domain::{Error, Failure, FailureReason, Settings, UnixMicros};
use crate::metrics;
use crate::queue::{Assignment, Lease, Queue};

/// How often the queue is looked at when no hint comes.
const POLL: Duration = Duration::from_secs(1);
/// How long interrupted runs may take beyond the kill grace until they are left to the watchdog.
const LAST_CALL: Duration = Duration::from_secs(20);

/// The loop that claims.
pub(super) struct Claims {
    shared: Arc<Shared>,
    settings: channel::Receiver<Arc<Settings>>,
    stop: CancellationToken,
    interrupt: CancellationToken,
    runs: JoinSet<()>,
    /// The answer to a claim was lost: it may have come about.
    unsure: bool,
}

impl Claims {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: channel::Receiver<Arc<Settings>>,
        stop: CancellationToken,
        interrupt: CancellationToken,
    ) -> Self {
        Self { shared, settings, stop, interrupt, runs: JoinSet::new(), unsure: false }
    }

    /// Claims until the server stops or the fence is passed, then waits until every run has ended.
    pub(super) async fn work(mut self) {
        // Learns the agent's version before the first run needs it; goes with this loop.
        let mut first_look = JoinSet::new();
        first_look.spawn(look(self.shared.clone()));
        let shared = self.shared.clone();
        let mut look = true;
        while !self.stop.is_cancelled() && !shared.fence.is_passed() {
            // Registered before the claim: what comes in between is not missed.
            let (hint, arrival) = (shared.queue.work(), shared.queue.arrival());
            let most = shared.setup.config.slots.unwrap_or_else(|| slots(&self.settings));
            let places = most.saturating_sub(self.runs.len());
            let free = self.collect(places).await;
            let claimed = if look && free > 0 { self.claim(free).await } else { 0 };
            if claimed > 0 && claimed == free {
                continue;
            }
            shared.queue.offer(shared.worker, free - claimed);
            // What intake claims for us it claims in line: there is nothing else to look for then.
            look = tokio::select! {
                () = self.stop.cancelled() => false,
                () = shared.fence.passed() => false,
                () = arrival => false,
                () = hint, if places > 0 => true,
                () = due(&shared.queue), if places > 0 => true,
                _ = self.settings.changed() => true,
                Some(ended) = self.runs.join_next_with_id() => {
                    self.ended(ended).await;
                    true
                }
            };
        }
        self.collect_last().await;
        self.drain().await;
    }

    /// Starts what intake claimed for us, and gives how many of `places` are free beside that.
    async fn collect(&mut self, places: usize) -> usize {
        let (arrived, free) = self.shared.queue.collect(places).await;
        self.begin(arrived);
        free
    }

    /// Nothing is offered any more, but a transaction of intake may be at it.
    async fn collect_last(&mut self) {
        let queue = self.shared.queue.clone();
        loop {
            let arrival = queue.arrival();
            self.collect(0).await;
            if !queue.is_held() {
                return;
            }
            arrival.await;
        }
    }

    async fn claim(&mut self, slots: usize) -> usize {
        if self.unsure && !self.give_back_unknown().await {
            return 0;
        }
        let claimed = self.shared.queue.claim(self.shared.worker, slots).await;
        self.begin(claimed)
    }

    /// Works on what was claimed; how many runs that is.
    fn begin(&mut self, claimed: Result<Vec<Assignment>, Error>) -> usize {
        match claimed {
            Ok(assignments) => {
                let count = assignments.len();
                for assignment in assignments {
                    metrics::run_began();
                    let lease = assignment.lease;
                    let over = self.interrupt.child_token();
                    let task = self.runs.spawn(attempt::run(self.shared.clone(), assignment, over.clone()));
                    self.shared.leases().insert(task.id(), (lease, over));
                }
                count
            }
            Err(error) => {
                tracing::warn!(error = %error, "no run could be claimed");
                self.unsure = true;
                0
            }
        }
    }

    /// Gives back what the database says that this worker holds and the worker does not know of. False: it cannot be told.
    async fn give_back_unknown(&mut self) -> bool {
        let queue = &self.shared.queue;
        let Ok(held) = queue.leases_of(self.shared.worker).await else { return false };
        let known: Vec<Lease> = self.shared.leases().values().map(|(lease, _)| *lease).collect();
        for lease in held.into_iter().filter(|lease| !known.contains(lease)) {
            match queue.interrupt(&lease).await {
                Ok(()) | Err(Error::Fenced) => tracing::warn!(run.id = %lease.run_id, "a claim whose answer was lost is given back"),
                Err(_) => return false,
            }
        }
        self.unsure = false;
        true
    }

    async fn drain(mut self) {
        if !self.runs.is_empty() && !self.shared.fence.is_passed() {
            tracing::info!(runs = self.runs.len(), "waiting for live runs to end");
            if let Err(error) = self.shared.queue.drain_worker(self.shared.worker).await {
                tracing::debug!(%error, "the worker could not be marked as draining");
            }
        }
        let shared = self.shared.clone();
        let (last_call, patience) = (self.interrupt.clone(), shared.setup.kill_grace() + LAST_CALL);
        let too_long = async {
            tokio::select! { () = last_call.cancelled() => {}, () = shared.fence.passed() => {} }
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            () = self.all_ended() => return,
            () = too_long => {}
        }
        tracing::error!(runs = self.runs.len(), "runs could not be interrupted; they are taken from this server");
        self.runs.shutdown().await;
    }

    async fn all_ended(&mut self) {
        while let Some(ended) = self.runs.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    /// A run's task is over. One that failed is a fault of ours: its processes and its run must not stay behind.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let lease = self.shared.leases().remove(&id);
        let (Some((lease, _)), Err(error)) = (lease, ended) else { return };
        tracing::error!(run.id = %lease.run_id, error = %error, "the task of a run failed");
        let mark = kill::Mark::run(self.shared.worker, lease.run_id);
        let _ = tokio::task::spawn_blocking(move || kill::sweep(&[mark], None)).await;
        let failure = Failure::new(FailureReason::Internal, "the server failed while it worked on this run");
        if let Err(error) = self.shared.queue.finish(&lease, end::failed(failure)).await {
            tracing::error!(run.id = %lease.run_id, error = %error, "the end of the run could not be written; the next start finds it");
        }
    }
}

/// What the tasks of a tenure are working on, and what ends each.
pub(super) type Leases = HashMap<Id, (Lease, CancellationToken)>;

async fn look(shared: Arc<Shared>) {
    match shared.probe.check(&shared.setup).await {
        Ok(found) => {
            tracing::info!(path = %found.path.display(), version = found.version.as_deref().unwrap_or("unknown"), "found the agent")
        }
        Err(failure) => tracing::warn!(reason = %failure.reason, "{}", failure.message),
    }
}

/// Completes when a run that waits for a time is due, and at the latest when it is time to look anyway.
async fn due(queue: &Queue) {
    let next = match queue.next_due().await {
        Ok(Some(time)) => time.since(UnixMicros::now()),
        Ok(None) | Err(Error::StoreUnavailable(_)) => POLL,
        Err(error) => {
            tracing::warn!(error = %error, "the next due run is not known");
            POLL
        }
    };
    tokio::time::sleep(next.clamp(Duration::from_millis(1), POLL)).await;
}
