//! The queue: deliveries become runs, runs are claimed, worked on under a lease, and finished.
//!
//! The session row is the unit of scheduling: FIFO is its `head` cursor, "one live turn" is its state. Every write of a
//! worker is fenced by the random lease of its claim. See ARCHITECTURE.md for the transactions and invariants.

mod assignment;
mod delivery;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use crate::domain::{CustodyFile, Manifest};
pub use assignment::{
    Assignment, ConversationStart, ConversationUpdate, EarlierAttempt, Finish, Lease, RunEnd, SpawnUsage, TranscriptPart, WorkedDelivery,
};
pub use delivery::{Accepted, DedupeKey, Disposition, NewDelivery, RunRequest, RunThread};

use crate::domain::{Lineage, PromptKind, Requester, Result, Run, RunId, Session, SessionId, SessionMode, TriggerId, UnixMicros, WorkerId};
use crate::store::Store;

/// The queue. Cheap to clone; all clones are one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    store: Arc<Store>,
}

/// What a boot found of boots before it.
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
    pub fn start(store: Arc<Store>, stop: CancellationToken) -> (Self, tokio::task::JoinHandle<()>) {
        let _ = (store, stop);
        todo!()
    }

    /// T1: stores a delivery and what it causes in one group-committed transaction. Returns after the commit.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Accepted> {
        let _ = delivery;
        todo!()
    }

    /// Whether intake should be refused before a body is read: the queue is full (a cached figure, at most 1 s old).
    pub async fn room(&self) -> Result<()> {
        todo!()
    }

    /// Queues a compaction of the session's conversation. Errors: `SessionEmpty`.
    pub async fn enqueue_compaction(&self, session: SessionId, requested_by: Requester) -> Result<Run> {
        let _ = (session, requested_by);
        todo!()
    }

    /// Queues a new run with the finished run's exact prompt, at its session's tail. Errors: `RunNotFinished`, `PromptNotKept`, `SessionModeImpossible`, `QueueFull`.
    pub async fn enqueue_retry(&self, run: RunId, mode: SessionMode, requested_by: Requester) -> Result<Run> {
        let _ = (run, mode, requested_by);
        todo!()
    }

    /// Registers this boot of this server.
    pub async fn register_worker(&self, worker: WorkerId) -> Result<()> {
        let _ = worker;
        todo!()
    }

    /// T5: in one transaction, everything live that is not `worker`'s is requeued or ended, as its trigger's policy says.
    pub async fn recover(&self, worker: WorkerId) -> Result<Recovered> {
        let _ = worker;
        todo!()
    }

    /// T2: claims up to `slots` due runs, fair between triggers, within the caps.
    pub async fn claim(&self, worker: WorkerId, slots: usize) -> Result<Vec<Assignment>> {
        let _ = (worker, slots);
        todo!()
    }

    /// Completes when there may be something to claim: a hint. Register before you claim.
    pub fn work(&self) -> impl Future<Output = ()> + '_ {
        std::future::pending()
    }

    /// When the next waiting run becomes due, if any waits for a time.
    pub async fn next_due(&self) -> Result<Option<UnixMicros>> {
        todo!()
    }

    /// Completes when a cancel of this run was requested (an in-process hint with a polled fallback).
    pub async fn cancelled(&self, run: RunId) {
        let _ = run;
        todo!()
    }

    /// Stores the prompt of this attempt and its lineage; fenced.
    pub async fn record_prompt(
        &self,
        lease: &Lease,
        kind: PromptKind,
        prompt: &str,
        lineage: Lineage,
        continued_from: Option<RunId>,
    ) -> Result<()> {
        let _ = (lease, kind, prompt, lineage, continued_from);
        todo!()
    }

    /// Stores that a conversation begins under this lease (session row and `conversations`), before it is spawned; fenced.
    pub async fn start_conversation(&self, lease: &Lease, start: ConversationStart) -> Result<()> {
        let _ = (lease, start);
        todo!()
    }

    /// The agent is up: `starting` becomes `running`; model and version are kept; fenced.
    pub async fn agent_up(&self, lease: &Lease, model: &str, agent_version: &str, agent_session_id: &str) -> Result<()> {
        let _ = (lease, model, agent_version, agent_session_id);
        todo!()
    }

    /// Adds what a spawn used to run, attempt and session; fenced.
    pub async fn add_usage(&self, lease: &Lease, usage: SpawnUsage) -> Result<()> {
        let _ = (lease, usage);
        todo!()
    }

    /// Stores one part of a transcript. It counts for nothing until `finish` or `checkpoint` names it in a manifest; fenced.
    pub async fn save_part(&self, lease: &Lease, part: TranscriptPart) -> Result<()> {
        let _ = (lease, part);
        todo!()
    }

    /// Makes saved parts count while the run is still live; fenced.
    pub async fn checkpoint(&self, lease: &Lease, generation: i32, manifest: &Manifest) -> Result<()> {
        let _ = (lease, generation, manifest);
        todo!()
    }

    /// One part of a transcript in custody.
    pub async fn read_part(
        &self,
        session: SessionId,
        generation: i32,
        rewrite: i32,
        path: &str,
        part: i32,
    ) -> Result<Option<TranscriptPart>> {
        let _ = (session, generation, rewrite, path, part);
        todo!()
    }

    /// T3: the end of a run, with its outcome entry; fenced. Then the session's next run may be claimed.
    pub async fn finish(&self, lease: &Lease, finish: Finish) -> Result<()> {
        let _ = (lease, finish);
        todo!()
    }

    /// T3 for a server that stops: the attempt ends as interrupted and the run waits for another.
    pub async fn interrupt(&self, lease: &Lease) -> Result<()> {
        let _ = lease;
        todo!()
    }

    /// T6: a queued run is cancelled at once, a live one is asked to end; a finished one is left as it is.
    pub async fn request_cancel(&self, run: RunId, reason: &str) -> Result<Run> {
        let _ = (run, reason);
        todo!()
    }

    /// Starts a new generation: the next run of the session is a fresh conversation. Allowed any time.
    pub async fn reset_session(&self, session: SessionId, cancel_runs: bool, purge: bool, reason: &str) -> Result<Session> {
        let _ = (session, cancel_runs, purge, reason);
        todo!()
    }

    /// Deletes sessions unused since `before`, never one with a queued or live run; at most 10,000 a call.
    pub async fn clean_up(&self, before: UnixMicros, trigger: Option<TriggerId>) -> Result<CleanedUp> {
        let _ = (before, trigger);
        todo!()
    }

    /// Deletes a trigger with its sessions, secrets and limits. Errors: `TriggerBusy` without `force`.
    pub async fn delete_trigger(&self, trigger: TriggerId, force: bool) -> Result<DeletedTrigger> {
        let _ = (trigger, force);
        todo!()
    }

    /// A short account of the session's last five runs (event line and final text), at most 8 KiB, for a run that lost its conversation.
    pub async fn summary(&self, session: SessionId) -> Result<String> {
        let _ = session;
        todo!()
    }
}
