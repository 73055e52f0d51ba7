//! A tenure: the time in which this process is a worker under one id, with a lease, a fence and a watchdog.
//!
//! It ends in order when the server stops. It ends in loss when the lease can no longer be prolonged (the database is
//! away, the process stood still); then every agent is ended at the fence, and the process begins another tenure as soon
//! as the database lets it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::claims::Claims;
use super::fence::{Clock, Fence, millis};
use super::kill::{Mark, sweep};
use super::watchdog::{self, Watchdog};
use super::{Probe, Setup, Shared};
use crate::domain::{Error, LeaseId, Result, Settings, WorkerId};
use crate::journal::Journal;
use crate::queue::{Queue, Recovered, Registration};

/// How often cancels of other servers are looked for when no hint comes.
const LOOK: Duration = Duration::from_secs(1);
/// A lease that nobody works under for this long is given back.
const NOBODYS: Duration = Duration::from_secs(10);
/// Between two tries to become a worker again.
const AGAIN: Duration = Duration::from_secs(1);

/// What tenures are made of, and what ends them.
#[derive(Debug)]
pub(super) struct Office {
    pub(super) setup: Setup,
    pub(super) queue: Queue,
    pub(super) journal: Journal,
    pub(super) settings: channel::Receiver<Arc<Settings>>,
    pub(super) probe: Probe,
    /// Nothing more is claimed.
    pub(super) stop: CancellationToken,
    /// Live runs end now, to go on elsewhere.
    pub(super) interrupt: CancellationToken,
    /// Whether this process is a worker at present.
    pub(super) standing: channel::Sender<bool>,
}

/// One tenure.
#[derive(Debug)]
pub(super) struct Tenure {
    shared: Arc<Shared>,
    watchdog: Option<Watchdog>,
}

impl Office {
    /// Becomes a worker: ends what earlier boots left running, registers, and takes over what they left live.
    pub(super) async fn open(&self) -> Result<(Tenure, Recovered)> {
        let (worker, terms) = (WorkerId::new(), &self.setup.worker);
        let clock = if self.queue.is_shared() { Clock::Boot } else { Clock::Awake };
        // Before their runs can be taken over by anybody.
        watchdog::sweep_older(self.queue.dead_workers(&self.setup.place).await?).await;
        let fence = Fence::new(clock, terms.fence());
        let slots = self.setup.config.slots.unwrap_or_else(|| slots(&self.settings));
        let registration = Registration {
            host: self.setup.host.clone(),
            place: self.setup.place.clone(),
            capacity: i32::try_from(slots).unwrap_or(i32::MAX),
            lease: terms.lease(),
        };
        self.queue.register_worker(worker, &registration).await?;
        let watchdog = self.setup.watchdog.as_ref().map(|exe| Watchdog::spawn(exe, worker, clock)).transpose()?;
        let shared = Shared {
            queue: self.queue.clone(),
            journal: self.journal.clone(),
            setup: self.setup.clone(),
            probe: self.probe.clone(),
            worker,
            fence,
            leases: std::sync::Mutex::default(),
        };
        let mut tenure = Tenure { shared: Arc::new(shared), watchdog };
        let recovered = tokio::select! {
            never = keep(&tenure.shared, &mut tenure.watchdog) => match never {},
            recovered = self.queue.recover(terms.grace()) => recovered?,
        };
        tracing::info!(worker.id = %worker, runs.resumed = recovered.requeued.len(), "working");
        Ok((tenure, recovered))
    }

    /// Holds one tenure after the other until the server stops.
    pub(super) async fn work(self, first: Tenure) {
        let mut tenure = first;
        loop {
            let worker = tenure.shared.worker;
            self.standing.send_replace(true);
            let lost = tenure.hold(&self).await;
            self.standing.send_replace(false);
            if !lost {
                return;
            }
            tracing::error!(worker.id = %worker, "the lease was lost: every agent is ended, and the runs go on as further attempts");
            match self.open_again(worker).await {
                Some(next) => tenure = next,
                None => return,
            }
        }
    }

    /// Another tenure, as soon as the database lets it; none: the server stops.
    async fn open_again(&self, lost: WorkerId) -> Option<Tenure> {
        loop {
            let opened = async {
                self.queue.retire_worker(lost).await?;
                self.open().await
            };
            match opened.await {
                _ if self.stop.is_cancelled() => return None,
                Ok((tenure, _)) => return Some(tenure),
                Err(error) => tracing::warn!(%error, "cannot become a worker again yet"),
            }
            tokio::select! { () = self.stop.cancelled() => return None, () = tokio::time::sleep(AGAIN) => {} }
        }
    }
}

impl Tenure {
    /// Claims and works to the end of this tenure. True: its lease was lost.
    async fn hold(mut self, office: &Office) -> bool {
        let claims = Claims::new(self.shared.clone(), office.settings.clone(), office.stop.clone(), office.interrupt.clone());
        tokio::select! {
            never = keep(&self.shared, &mut self.watchdog) => match never {},
            () = claims.work() => {}
        }
        let (worker, lost) = (self.shared.worker, self.shared.fence.is_passed());
        if lost {
            // Also what was started by a server that stood still, in the moment before it knew.
            let _ = tokio::task::spawn_blocking(move || sweep(&[Mark::Worker(worker.to_string())], None)).await;
        }
        if let Some(watchdog) = self.watchdog.take() {
            watchdog.stop().await;
        }
        if !lost && let Err(error) = self.shared.queue.retire_worker(worker).await {
            tracing::warn!(worker.id = %worker, %error, "the worker could not sign off; its lease runs out");
        }
        lost
    }
}

/// Keeps lease, fence and watchdog going, and hears of cancels. Never ends; may be dropped at any time.
async fn keep(shared: &Shared, watchdog: &mut Option<Watchdog>) -> Infallible {
    tokio::select! {
        never = beats(shared) => never,
        never = guard(shared, watchdog) => never,
        never = cancels(shared) => never,
    }
}

/// Signs of life. The fence moves only with an answer, and from when it was asked for.
async fn beats(shared: &Shared) -> Infallible {
    let terms = &shared.setup.worker;
    loop {
        let asked = shared.fence.clock.now();
        let answer = tokio::time::timeout(terms.fence() / 2, shared.queue.heartbeat(shared.worker, terms.lease())).await;
        let pause = match answer {
            Ok(Ok(())) if shared.fence.extend(asked, terms.fence()) => terms.heartbeat(),
            // It came too late: agents are being ended already.
            Ok(Ok(())) => return std::future::pending().await,
            Ok(Err(Error::Fenced)) => {
                tracing::error!(worker.id = %shared.worker, "the lease is over: another server may have taken the runs");
                shared.fence.give_up();
                return std::future::pending().await;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "no sign of life could be given");
                terms.heartbeat() / 5
            }
            Err(_elapsed) => {
                tracing::warn!("no sign of life could be given: the database does not answer");
                terms.heartbeat() / 5
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Tells the watchdog until when agents may live, and replaces one that died or does not listen.
async fn guard(shared: &Shared, watchdog: &mut Option<Watchdog>) -> Infallible {
    let Some(watchdog) = watchdog else { return std::future::pending().await };
    let terms = &shared.setup.worker;
    // The server comes first, since it ends its agents in order; the watchdog follows well before the lease ends.
    let margin = millis(terms.lease().saturating_sub(terms.fence()) / 4);
    loop {
        let until = shared.fence.until().saturating_add(margin);
        let heard = watchdog.pet(until).await;
        if heard {
            shared.fence.told(until, margin / 2);
        }
        let alive = heard
            && tokio::select! {
                () = watchdog.gone() => false,
                () = shared.fence.moved() => true,
                () = tokio::time::sleep(terms.heartbeat() / 2) => true,
            };
        if !alive {
            tracing::warn!(worker.id = %shared.worker, "the watchdog is gone; another one takes its place");
            match watchdog.replace(until).await {
                Ok(()) => shared.fence.told(until, margin / 2),
                Err(error) => {
                    tracing::error!(%error, "there is no watchdog");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Looks at what this worker holds: cancels of others end attempts, and so do leases that are not there any more. A lease
/// that nobody works under is given back.
async fn cancels(shared: &Shared) -> Infallible {
    let mut idle: HashMap<LeaseId, Instant> = HashMap::new();
    loop {
        tokio::select! { () = tokio::time::sleep(LOOK) => {}, () = shared.queue.cancel_hint() => {} }
        let mine: Vec<_> = shared.leases().values().cloned().collect();
        let held = match shared.queue.look_for_cancels(shared.worker).await {
            Ok(held) => held,
            Err(error) => {
                tracing::debug!(%error, "cancels of other servers cannot be looked for");
                continue;
            }
        };
        mine.iter().filter(|(lease, _)| !held.contains(&lease.id)).for_each(|(_, over)| over.cancel());
        let known: HashSet<LeaseId> = shared.leases().values().map(|(lease, _)| lease.id).collect();
        idle.retain(|lease, _| held.contains(lease));
        for lease in held.into_iter().filter(|lease| !known.contains(lease)) {
            // A claim that is on its way is known in a moment.
            if idle.entry(lease).or_insert_with(Instant::now).elapsed() > NOBODYS {
                give_back(shared, lease).await;
            }
        }
    }
}

async fn give_back(shared: &Shared, id: LeaseId) {
    let held = shared.queue.leases_of(shared.worker).await.unwrap_or_default();
    let Some(lease) = held.into_iter().find(|lease| lease.id == id) else { return };
    if shared.leases().values().any(|(known, _)| known.id == id) {
        return;
    }
    match shared.queue.interrupt(&lease).await {
        Ok(()) | Err(Error::Fenced) => tracing::error!(run.id = %lease.run_id, "a run that nobody worked on is given back"),
        Err(error) => tracing::warn!(run.id = %lease.run_id, %error, "a run that nobody works on cannot be given back yet"),
    }
}

/// Runs at once by the settings.
pub(super) fn slots(settings: &channel::Receiver<Arc<Settings>>) -> usize {
    usize::try_from(settings.borrow().limits.max_concurrent_runs).unwrap_or(0)
}
