//! The runner: claims runs and works on them, each as an agent process that is watched to its end.
//!
//! ```text
//! claim → attempt (which conversation?) → spawn (within time and money) → watch → pump → journal
//!                                                                           └→ kill, when it must end
//! ```

mod attempt;
mod claims;
mod config;
mod custody;
mod end;
mod ends;
mod fence;
mod kill;
mod lines;
mod metering;
mod outcome;
mod patience;
mod place;
mod process;
mod prompts;
mod pump;
mod spawn;
mod spool;
mod tale;
mod tenure;
mod turn;
mod version;
mod watch;
pub mod watchdog;
mod workspace;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use config::{ClaudeConfig, Config, Setup, WorkerConfig};
pub use version::{Found, OLDEST_CLAUDE, Probe};

use crate::domain::{Result, SessionId, Settings, WorkerId};
use crate::journal::Journal;
use crate::queue::{Queue, Recovered};

/// What all attempts of one tenure share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    journal: Journal,
    setup: Setup,
    probe: Probe,
    worker: WorkerId,
    fence: fence::Fence,
    leases: Mutex<claims::Leases>,
}

impl Shared {
    /// What is being worked on now.
    fn leases(&self) -> MutexGuard<'_, claims::Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running runner.
#[derive(Debug)]
pub struct Runner {
    stop: CancellationToken,
    interrupt: CancellationToken,
    standing: channel::Receiver<bool>,
    tenures: JoinSet<()>,
}

impl Runner {
    /// Becomes a worker, takes over what dead ones left, and claims and works from then on.
    ///
    /// # Errors
    /// The database cannot be reached, or the watchdog does not start.
    pub async fn start(
        setup: Setup,
        queue: Queue,
        journal: Journal,
        settings: channel::Receiver<Arc<Settings>>,
    ) -> Result<(Self, Recovered)> {
        let (stop, interrupt) = (CancellationToken::new(), CancellationToken::new());
        let (now, standing) = channel::channel(true);
        let office = tenure::Office {
            setup,
            queue,
            journal,
            settings,
            probe: Probe::default(),
            stop: stop.clone(),
            interrupt: interrupt.clone(),
            standing: now,
        };
        let (first, recovered) = office.open().await?;
        let mut tenures = JoinSet::new();
        tenures.spawn(office.work(first));
        Ok((Self { stop, interrupt, standing, tenures }, recovered))
    }

    /// Whether it is a worker at present; it is not while it cannot prolong its lease.
    #[must_use]
    pub fn standing(&self) -> channel::Receiver<bool> {
        self.standing.clone()
    }

    /// Claims nothing more, and returns when every live run has ended; those that have not after `patience` are
    /// interrupted, so that they go on elsewhere or at the next start.
    pub async fn drain(mut self, patience: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(patience, self.tenures.join_next()).await.is_err() {
            tracing::info!("interrupting live runs; they go on elsewhere, or at the next start");
            self.interrupt.cancel();
            self.tenures.join_next().await;
        }
    }
}

/// Deletes what is on disk of a session.
fn forget_session(data_dir: &Path, session: SessionId) {
    if let Err(error) = workspace::remove(data_dir, session) {
        tracing::warn!(session.id = %session, error = %error, "files of a session could not be deleted");
    }
}

#[cfg(test)]
mod tests;
