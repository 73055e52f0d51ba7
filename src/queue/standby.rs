//! Free places of this server's worker, offered to intake: a webhook that finds one is claimed in the very transaction that
//! stores it, so its run needs no commit of its own before it starts.
//!
//! Only where there is one writer. On PostgreSQL a claim locks the limits before it locks sessions, and intake has locked
//! sessions already.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::load::{self, Taken};
use super::{Assignment, Queue};
use crate::domain::{Result, WorkerId};

/// What is offered, what is being claimed, and what was.
#[derive(Debug, Default)]
pub(super) struct Standby {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    worker: Option<WorkerId>,
    /// Places that intake may fill.
    offered: usize,
    /// Places that a transaction of intake is about to fill.
    held: usize,
    /// Runs that intake claimed and the worker has not collected.
    arrived: Vec<Taken>,
    /// Counts the worker's looks: what was offered before the last one is not offered any more.
    looks: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} offered, {} held, {} arrived", self.offered, self.held, self.arrived.len())
    }
}

/// Places that a transaction of intake may fill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) worker: WorkerId,
    pub(super) places: usize,
    looks: u64,
}

impl Standby {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is offered, for one transaction.
    pub(super) fn hold(&self) -> Option<Held> {
        let mut state = self.state();
        let worker = state.worker.filter(|_| state.offered > 0)?;
        let places = std::mem::take(&mut state.offered);
        state.held += places;
        Some(Held { worker, places, looks: state.looks })
    }

    /// Gives back what was held: filled with these runs, the rest free again.
    pub(super) fn fill(&self, held: Held, taken: Vec<Taken>) {
        let mut state = self.state();
        state.held -= held.places;
        if taken.is_empty() && state.looks == held.looks {
            state.offered += held.places;
            return;
        }
        // The worker looks, and offers what is left.
        state.arrived.extend(taken);
        drop(state);
        self.changed.notify_one();
    }
}

impl Queue {
    /// Lets intake claim for `worker` until the next [`Queue::collect`].
    pub fn offer(&self, worker: WorkerId, places: usize) {
        if self.is_shared() {
            return;
        }
        let mut state = self.inner.standby.state();
        state.worker = Some(worker);
        state.offered = places;
    }

    /// Takes the offer back: the runs that intake claimed meanwhile, and how many of `places` are still free beside them.
    pub async fn collect(&self, places: usize) -> (Result<Vec<Assignment>>, usize) {
        let (arrived, free) = {
            let mut state = self.inner.standby.state();
            state.offered = 0;
            state.looks += 1;
            let arrived = std::mem::take(&mut state.arrived);
            let free = places.saturating_sub(arrived.len() + state.held);
            (arrived, free)
        };
        (load::assignments(self, arrived).await, free)
    }

    /// Whether a transaction of intake may still claim: what it claims has to be collected.
    pub fn is_held(&self) -> bool {
        let state = self.inner.standby.state();
        state.held > 0 || !state.arrived.is_empty()
    }

    /// Completes when intake has claimed runs, or has given places back.
    pub fn arrival(&self) -> impl Future<Output = ()> + '_ {
        self.inner.standby.changed.notified()
    }
}
