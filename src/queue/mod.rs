//! The queue: deliveries become runs, runs are claimed, worked on under a lease, and finished.
//!
//! The session row is the unit of scheduling: FIFO is its `head` cursor, "one live turn" is its state. Every write of a
//! worker is fenced by the random lease of its claim. See ARCHITECTURE.md for the transactions and invariants.

mod assignment;
mod batch;
mod cancel;
mod claim;
mod custody;
mod delivery;
mod figures;
mod finish;
mod fork;
mod hints;
mod intake;
mod load;
mod locked;
mod outcome;
mod progress;
mod recover;
mod requests;
mod requeue;
mod sessions;
mod standby;
#[cfg(test)]
mod tests;
mod transaction;
mod triggers;
mod workers;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use crate::domain::{CustodyFile, Manifest};
pub use assignment::{
    Assignment, ClaimedRun, ConversationStart, ConversationUpdate, EarlierAttempt, Finish, Lease, RunEnd, SpawnUsage, TranscriptPart,
    WorkedDelivery,
};
#[doc(hidden)]
pub use claim::statements as claim_statements;
pub use delivery::{Accepted, DedupeKey, Disposition, Foreseen, NewDelivery, RunRequest, RunThread};
pub use progress::Terms;
pub use workers::Registration;

use crate::domain::{CancelMode, RunId, SessionId};
use crate::store::Store;

/// The queue. Cheap to clone; all clones are one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    /// To the one task that stores deliveries; full: callers wait.
    intake: mpsc::Sender<intake::Incoming>,
    /// There may be something to claim.
    work: Notify,
    /// Another server may have cancelled something.
    cancel_hint: Notify,
    /// Live runs whose end was asked for, as far as this server heard.
    cancelled: watch::Sender<Arc<HashMap<RunId, CancelMode>>>,
    /// Something was written.
    changes: Notify,
    figures: figures::Cache,
    /// Places that intake may claim into.
    standby: standby::Standby,
    /// What other servers should be told.
    hints: hints::Hints,
}

/// What was taken over from workers that are over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Runs that were live and wait for another attempt.
    pub requeued: Vec<RunId>,
    /// Runs that were live and ended (policy, poison or a cancel that was due).
    pub ended: Vec<RunId>,
}

/// What deleting a trigger took with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletedTrigger {
    pub session_ids: Vec<SessionId>,
    pub cancelled_run_count: i64,
    pub freed_bytes: i64,
}

/// What a clean-up took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanedUp {
    pub session_ids: Vec<SessionId>,
    pub busy_count: i64,
    pub freed_bytes: i64,
    pub remaining_count: i64,
}

impl Queue {
    /// A queue over `store`. The intake writer task runs until `stop`, and is owned by the returned handle.
    #[expect(clippy::disallowed_methods, reason = "the caller owns the task by the handle it gets")]
    pub fn start(store: Arc<Store>, stop: CancellationToken) -> (Self, tokio::task::JoinHandle<()>) {
        let (intake, incoming) = mpsc::channel(intake::WAITING_ROOM);
        let inner = Inner {
            store,
            intake,
            work: Notify::new(),
            cancel_hint: Notify::new(),
            cancelled: watch::Sender::default(),
            changes: Notify::new(),
            figures: figures::Cache::default(),
            standby: standby::Standby::default(),
            hints: hints::Hints::default(),
        };
        let queue = Self { inner: Arc::new(inner) };
        let writer = tokio::spawn(intake::write(queue.clone(), incoming, stop));
        (queue, writer)
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Whether other servers may work on the same queue.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.store().is_postgres()
    }

    /// Completes when another server says that it cancelled something: a hint.
    pub async fn cancel_hint(&self) {
        self.inner.cancel_hint.notified().await;
    }

    /// Completes when there may be something to claim: a hint. Register before you claim.
    pub fn work(&self) -> impl Future<Output = ()> + '_ {
        self.inner.work.notified()
    }

    /// Completes when something may have changed in runs, sessions or deliveries: a hint, from this server alone.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.inner.changes.notified()
    }

    /// Says that something was written.
    fn hint_change(&self) {
        self.inner.changes.notify_one();
    }

    /// Says that there may be something to claim; one hint is kept when nobody listens.
    fn hint_work(&self) {
        self.inner.work.notify_one();
        self.inner.hints.work();
    }
}
