//! The runner: claims runs and works on them, each as an agent process that is watched to its end.
//!
//! ```text
//! claim → attempt (which conversation?) → spawn (within time and money) → watch → pump → journal
//!                                                                           └→ kill, when it must end
//! ```

mod attempt;
mod config;
mod custody;
mod end;
mod ends;
mod kill;
mod lines;
mod metering;
mod outcome;
mod place;
mod process;
mod prompts;
mod pump;
mod spawn;
mod tale;
mod turn;
mod version;
mod watch;
pub mod watchdog;
mod workspace;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

pub use config::{ClaudeConfig, Config, Setup};
pub use version::{Found, OLDEST_CLAUDE, Probe};

use crate::domain::{Error, Failure, FailureReason, SessionId, Settings, UnixMicros, WorkerId};
use crate::journal::Journal;
use crate::metrics;
use crate::queue::{Assignment, Lease, Queue};

/// How often the queue is looked at when no hint comes.
const POLL: Duration = Duration::from_secs(1);
/// How long interrupted runs may take beyond the kill grace until they are left to the watchdog.
const LAST_CALL: Duration = Duration::from_secs(20);

/// What all attempts share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    journal: Journal,
    setup: Setup,
    probe: Probe,
    worker: WorkerId,
}

/// A running runner.
#[derive(Debug)]
pub struct Runner {
    stop: CancellationToken,
    interrupt: CancellationToken,
    claims: JoinSet<()>,
}

impl Runner {
    /// Claims and works on runs as `worker`.
    #[must_use]
    pub fn start(setup: Setup, queue: Queue, journal: Journal, settings: channel::Receiver<Arc<Settings>>, worker: WorkerId) -> Self {
        let shared = Arc::new(Shared { queue, journal, setup, probe: Probe::default(), worker });
        let (stop, interrupt) = (CancellationToken::new(), CancellationToken::new());
        let mut claims = JoinSet::new();
        let (runs, leases) = (JoinSet::new(), HashMap::new());
        claims.spawn(Claims { shared, settings, stop: stop.clone(), interrupt: interrupt.clone(), runs, leases }.work());
        Self { stop, interrupt, claims }
    }

    /// Claims nothing more, and returns when every live run has ended; those that have not after `patience` are
    /// interrupted, so that they go on at the next start.
    pub async fn drain(mut self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, self.claims.join_next()).await.is_err() {
            tracing::info!("interrupting live runs; they go on at the next start");
            self.interrupt.cancel();
            self.claims.join_next().await;
        }
    }
}

/// Deletes what is on disk of a session.
fn forget_session(data_dir: &Path, session: SessionId) {
    if let Err(error) = workspace::remove(data_dir, session) {
        tracing::warn!(session.id = %session, error = %error, "files of a session could not be deleted");
    }
}

/// The loop that claims.
struct Claims {
    shared: Arc<Shared>,
    settings: channel::Receiver<Arc<Settings>>,
    stop: CancellationToken,
    interrupt: CancellationToken,
    runs: JoinSet<()>,
    leases: HashMap<Id, Lease>,
}

impl Claims {
    async fn work(mut self) {
        // Learns the agent's version before the first run needs it; goes with this loop.
        let mut first_look = JoinSet::new();
        first_look.spawn(look(self.shared.clone()));
        let mut look = true;
        while !self.stop.is_cancelled() {
            let queue = self.shared.queue.clone();
            // Registered before the claim: what comes in between is not missed.
            let (hint, arrival) = (queue.work(), queue.arrival());
            let slots = self.shared.setup.config.slots.unwrap_or_else(|| self.slots()).saturating_sub(self.runs.len());
            let free = self.collect(slots).await;
            let claimed = if look && free > 0 { self.claim(free).await } else { 0 };
            if claimed > 0 && claimed == free {
                continue;
            }
            queue.offer(self.shared.worker, free - claimed);
            // What intake claims for us it claims in line: there is nothing else to look for then.
            look = tokio::select! {
                () = self.stop.cancelled() => false,
                () = arrival => false,
                () = hint, if slots > 0 => true,
                () = due(&queue), if slots > 0 => true,
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

    /// Starts what intake claimed for us, and gives how many of `slots` are free beside that.
    async fn collect(&mut self, slots: usize) -> usize {
        let (arrived, free) = self.shared.queue.collect(slots).await;
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

    fn slots(&self) -> usize {
        usize::try_from(self.settings.borrow().limits.max_concurrent_runs).unwrap_or(0)
    }

    async fn claim(&mut self, slots: usize) -> usize {
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
                    let task = self.runs.spawn(attempt::run(self.shared.clone(), assignment, self.interrupt.clone()));
                    self.leases.insert(task.id(), lease);
                }
                count
            }
            Err(error) => {
                tracing::warn!(error = %error, "no run could be claimed");
                0
            }
        }
    }

    async fn drain(mut self) {
        if !self.runs.is_empty() {
            tracing::info!(runs = self.runs.len(), "waiting for live runs to end");
        }
        let last_call = self.interrupt.clone();
        let patience = self.shared.setup.kill_grace() + LAST_CALL;
        let too_long = async {
            last_call.cancelled().await;
            tokio::time::sleep(patience).await;
        };
        tokio::select! {
            () = self.all_ended() => return,
            () = too_long => {}
        }
        tracing::error!(runs = self.runs.len(), "runs could not be interrupted; the next start finds them");
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
        let (Some(lease), Err(error)) = (self.leases.remove(&id), ended) else { return };
        tracing::error!(run.id = %lease.run_id, error = %error, "the task of a run failed");
        let mark = kill::Mark::run(self.shared.worker, lease.run_id);
        let _ = tokio::task::spawn_blocking(move || kill::sweep(&[mark], None)).await;
        let failure = Failure::new(FailureReason::Internal, "the server failed while it worked on this run");
        if let Err(error) = self.shared.queue.finish(&lease, end::failed(failure)).await {
            tracing::error!(run.id = %lease.run_id, error = %error, "the end of the run could not be written; the next start finds it");
        }
    }
}

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

#[cfg(test)]
mod tests;
