//! What a batch knows of the database, and what it will write.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::domain::{DeliveryOutcome, DeliveryReason, LimitSettings, SessionKind, SessionState, UnixMicros};

/// What makes deliveries the same: trigger and hash.
pub(super) type SameKey = (Uuid, [u8; 16]);

/// The state of the batch.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) now: UnixMicros,
    pub(super) limits: LimitSettings,
    /// Runs that wait, over all triggers.
    pub(super) queued: i64,
    /// Triggers of the batch that exist.
    pub(super) triggers: HashSet<Uuid>,
    /// Who holds each key of the batch.
    pub(super) holders: HashMap<SameKey, Holder>,
    /// Sessions by trigger and thread key.
    pub(super) threads: HashMap<(Uuid, String), usize>,
    /// Sessions that deliveries name by their id.
    pub(super) named: HashMap<Uuid, usize>,
    pub(super) sessions: Vec<SessionPlan>,

    pub(super) deliveries: Vec<DeliveryPlan>,
    pub(super) runs: Vec<RunPlan>,
    /// Run, ordinal, delivery.
    pub(super) links: Vec<(Uuid, i32, Uuid)>,
    /// Runs of before this batch that got more deliveries.
    pub(super) merged: BTreeMap<Uuid, Merge>,
    /// Stored deliveries whose key goes to another.
    pub(super) freed: Vec<Uuid>,
    /// New duplicates of stored deliveries.
    pub(super) counted: BTreeMap<Uuid, i32>,
}

/// The delivery that holds a key.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) id: Uuid,
    /// Its place among this batch's deliveries, unless it was stored before.
    pub(super) planned: Option<usize>,
    pub(super) receive_time: i64,
    pub(super) run_id: Option<Uuid>,
    pub(super) session_id: Option<Uuid>,
    /// Duplicates of it so far.
    pub(super) duplicates: i32,
    /// What it asked for did not work: a redelivery may try again.
    pub(super) failed: bool,
}

/// A session as it will be.
#[derive(Debug)]
pub(super) struct SessionPlan {
    pub(super) id: Uuid,
    pub(super) trigger_id: Uuid,
    pub(super) slug: String,
    pub(super) kind: SessionKind,
    pub(super) thread_key: Option<String>,
    pub(super) title: String,
    pub(super) url: String,
    pub(super) state: SessionState,
    pub(super) ready_time: i64,
    pub(super) head: i64,
    pub(super) tail: i64,
    pub(super) queued: i32,
    pub(super) run_count: i32,
    pub(super) generation: i32,
    /// It has one that may be continued.
    pub(super) has_conversation: bool,
    pub(super) new: bool,
    pub(super) changed: bool,
    /// Its newest run, as far as it waits and may take more deliveries.
    pub(super) open_tail: Option<TailRun>,
    /// When its latest runs began or will begin, oldest first: what the loop breaker counts.
    pub(super) starts: Vec<i64>,
}

/// A waiting run that later deliveries may join.
#[derive(Debug, Clone)]
pub(super) struct TailRun {
    pub(super) id: Uuid,
    pub(super) seq: i64,
    pub(super) deliveries: i32,
    pub(super) not_before: i64,
    /// Of that time, what the loop breaker demands.
    pub(super) breaker_until: i64,
    pub(super) create_time: i64,
    /// Its place among this batch's runs, unless it was stored before.
    pub(super) planned: Option<usize>,
}

/// A delivery's row.
#[derive(Debug)]
pub(super) struct DeliveryPlan {
    /// Which of the batch.
    pub(super) index: usize,
    pub(super) key: Option<[u8; 16]>,
    pub(super) outcome: DeliveryOutcome,
    pub(super) reason: Option<DeliveryReason>,
    pub(super) message: String,
    pub(super) session_id: Option<Uuid>,
    pub(super) run_id: Option<Uuid>,
    pub(super) duplicate_of: Option<Uuid>,
    pub(super) redelivery_of: Option<Uuid>,
    /// Duplicates of it within this batch.
    pub(super) duplicates: i32,
}

/// A run's row.
#[derive(Debug)]
pub(super) struct RunPlan {
    pub(super) id: Uuid,
    /// Which delivery of the batch asks for it.
    pub(super) index: usize,
    /// Its session's place in the plan.
    pub(super) session: usize,
    pub(super) seq: i64,
    pub(super) not_before: i64,
    pub(super) wait_reason: &'static str,
    pub(super) deliveries: i32,
}

/// What joined a stored run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Merge {
    pub(super) deliveries: i32,
    pub(super) not_before: i64,
    pub(super) wait_reason: &'static str,
}
