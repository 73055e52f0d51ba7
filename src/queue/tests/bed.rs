//! What the tests stand on: a queue over a fresh database, with triggers and deliveries at hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, IntoActiveModel};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::{
    BusyPolicy, DeliveryId, DeliveryOrigin, Event, Failure, FailureReason, Header, Lineage, PromptKind, Requester, RequesterKind, Result,
    RetryPolicy, Run, RunId, RunKind, SessionId, SessionMode, Source, Trigger, TriggerId, UnixMicros, WorkerId,
};
use crate::queue::{
    Accepted, Assignment, ConversationStart, ConversationUpdate, DedupeKey, Disposition, Finish, NewDelivery, Queue, Recovered,
    Registration, RunEnd, RunRequest, RunThread,
};
use crate::store::entity::{limit, run, session};
use crate::store::payload::spec_from;
use crate::store::rows::{runs_of, trigger_row};
use crate::store::{Store, scratches, writer};

/// A queue over a fresh database.
#[derive(Clone)]
pub(super) struct Bed {
    pub(super) queue: Queue,
    pub(super) store: Arc<Store>,
    worker: Arc<Mutex<WorkerId>>,
    _dir: Arc<Option<TempDir>>,
}

impl Bed {
    /// One for each database.
    pub(super) async fn all() -> Vec<Self> {
        let mut beds = Vec::new();
        for (store, dir) in scratches().await {
            beds.push(Self::over(store, dir).await);
        }
        beds
    }

    async fn over(store: Arc<Store>, dir: Option<TempDir>) -> Self {
        let (queue, _writer) = Queue::start(store.clone(), CancellationToken::new());
        let bed = Self { queue, store, worker: Arc::new(Mutex::new(WorkerId::new())), _dir: Arc::new(dir) };
        bed.queue.register_worker(bed.worker(), &registration()).await.expect("registered");
        bed.cap(None, 1000).await;
        bed
    }

    pub(super) fn worker(&self) -> WorkerId {
        *self.worker.lock().expect("not poisoned")
    }

    /// The same server as another worker.
    pub(super) async fn renew(&self) {
        let next = WorkerId::new();
        self.queue.register_worker(next, &registration()).await.expect("registered");
        *self.worker.lock().expect("not poisoned") = next;
    }

    /// The worker dies, and its server starts again as another one, which takes over.
    pub(super) async fn reboot(&self) -> Recovered {
        assert_eq!(self.queue.dead_workers(PLACE).await.expect("asked"), [self.worker()]);
        self.renew().await;
        self.queue.recover(Duration::from_secs(5)).await.expect("recovered")
    }

    /// A trigger with its limit.
    pub(super) async fn trigger(&self, cap: i32) -> TriggerId {
        self.trigger_with(cap, RetryPolicy::default()).await
    }

    pub(super) async fn trigger_with(&self, cap: i32, retry: RetryPolicy) -> TriggerId {
        let id = TriggerId::new();
        let mut spec = spec_from("", true).expect("a spec");
        spec.retry = retry;
        let now = UnixMicros::now();
        let slug = id.to_string().replace('_', "-");
        let trigger = Trigger {
            id,
            slug,
            source: Source::Manual,
            hook_token: "t".to_owned(),
            secrets: vec![],
            spec,
            version: 7,
            create_time: now,
            update_time: now,
        };
        let db = writer(&self.store);
        crate::store::entity::trigger::Entity::insert(trigger_row(&trigger).into_active_model().reset_all())
            .exec_without_returning(db)
            .await
            .expect("stored");
        let row = limit::Model { trigger_id: id.0, cap, used: 0, open: true, last_claimed_time: 0 };
        limit::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(db).await.expect("stored");
        id
    }

    /// Sets the cap of a trigger, or of all.
    pub(super) async fn cap(&self, trigger: Option<TriggerId>, cap: i32) {
        let id = trigger.map_or(Uuid::nil(), |id| id.0);
        self.sql(&format!("UPDATE limits SET cap = {cap} WHERE trigger_id = {}", self.literal(id))).await;
    }

    pub(super) async fn sql(&self, text: &str) {
        writer(&self.store).execute_unprepared(text).await.expect(text);
    }

    /// An id as this database writes it.
    pub(super) fn literal(&self, id: Uuid) -> String {
        if self.store.is_postgres() { format!("'{id}'::uuid") } else { format!("x'{}'", id.simple()) }
    }

    pub(super) async fn accept(&self, delivery: NewDelivery) -> Result<Accepted> {
        self.queue.accept(delivery).await
    }

    /// A delivery that was stored and runs.
    pub(super) async fn deliver(&self, trigger: TriggerId, thread: &str) -> Accepted {
        self.accept(delivery(trigger, thread)).await.expect("accepted")
    }

    pub(super) async fn claim(&self, slots: usize) -> Vec<Assignment> {
        self.queue.claim(self.worker(), slots).await.expect("claimed")
    }

    pub(super) async fn claim_one(&self) -> Assignment {
        let mut claimed = self.claim(1).await;
        assert_eq!(claimed.len(), 1, "one run is due");
        claimed.remove(0)
    }

    pub(super) async fn run(&self, id: RunId) -> Run {
        let row = run::Entity::find_by_id(id.0).one(self.store.read()).await.expect("asked").expect("there");
        runs_of(self.store.read(), vec![row], true).await.expect("reads").remove(0)
    }

    pub(super) async fn session(&self, id: SessionId) -> session::Model {
        session::Entity::find_by_id(id.0).one(self.store.read()).await.expect("asked").expect("there")
    }

    pub(super) async fn finish(&self, claimed: &Assignment, end: RunEnd) -> Result<()> {
        self.queue.finish(&claimed.lease, finish(end)).await
    }

    pub(super) async fn succeed(&self, claimed: &Assignment) {
        self.finish(claimed, RunEnd::Succeeded("done".to_owned())).await.expect("finished");
    }

    pub(super) async fn fail(&self, claimed: &Assignment) {
        let end = RunEnd::Failed { failure: Failure::new(FailureReason::AgentError, "it said no"), text: String::new() };
        self.finish(claimed, end).await.expect("finished");
    }

    /// Gives the session a conversation and finishes its run.
    pub(super) async fn converse(&self, claimed: &Assignment) -> Uuid {
        let id = Uuid::now_v7();
        let generation = claimed.session.generation;
        let start = ConversationStart {
            generation,
            agent_session_id: id,
            origin: crate::domain::SessionOrigin::First,
            fingerprint: "f".to_owned(),
        };
        self.queue.begin_turn(&claimed.lease, None, Some(start), PromptKind::First, "p", Lineage::Fresh, None).await.expect("started");
        let conversation =
            ConversationUpdate { generation, agent_session_id: id, turns: 1, compacted: false, manifest: None, cache_share: None };
        let finish = Finish { conversation: Some(conversation), ..finish(RunEnd::Succeeded("done".to_owned())) };
        self.queue.finish(&claimed.lease, finish).await.expect("finished");
        id
    }

    /// Fails the test unless every invariant holds.
    pub(super) async fn healthy(&self) {
        assert_eq!(self.store.doctor().await.expect("examined"), Vec::<String>::new());
    }
}

const PLACE: &str = "here";

/// How workers of tests present themselves: all live in one place, so of two the older one is dead.
pub(super) fn registration() -> Registration {
    Registration { host: "test".to_owned(), place: PLACE.to_owned(), capacity: 8, lease: Duration::from_secs(600) }
}

/// A delivery that asks for a run in this thread.
pub(super) fn delivery(trigger: TriggerId, thread: &str) -> NewDelivery {
    let body = br#"{"n":1}"#;
    NewDelivery {
        id: DeliveryId::new(),
        trigger_id: Some(trigger),
        trigger_slug: "t".to_owned(),
        source: Source::Manual,
        origin: DeliveryOrigin::Manual,
        provider_delivery_id: String::new(),
        dedupe: None,
        event: Event { kind: "issue".to_owned(), title: format!("about {thread}"), ..Event::default() },
        thread_key: Some(thread.to_owned()),
        headers: vec![Header { name: "x-test".to_owned(), value: b"1".to_vec() }],
        body_zstd: Some(zstd::encode_all(&body[..], 1).expect("compressed")),
        body_bytes: body.len() as i64,
        receive_time: UnixMicros::now(),
        disposition: Disposition::Run(Box::new(request(thread))),
        walk: Vec::new(),
        replay_of: None,
    }
}

pub(super) fn request(thread: &str) -> RunRequest {
    RunRequest {
        thread: if thread.is_empty() { RunThread::Once } else { RunThread::Key(thread.to_owned()) },
        may_start: true,
        busy: BusyPolicy::Queue,
        runs_per_session_per_hour: 0,
        kind: RunKind::Turn,
        session_mode: SessionMode::Default,
        prompt_override: None,
        requested_by: requester(),
    }
}

/// The same with another request.
pub(super) fn asking(mut delivery: NewDelivery, change: impl FnOnce(&mut RunRequest)) -> NewDelivery {
    if let Disposition::Run(request) = &mut delivery.disposition {
        change(request);
    }
    delivery
}

/// The same with a delivery id of its sender.
pub(super) fn named(mut delivery: NewDelivery, key: u8) -> NewDelivery {
    delivery.dedupe = Some(DedupeKey { key: [key; 16], window: None });
    delivery
}

pub(super) fn requester() -> Requester {
    Requester { kind: RequesterKind::Sender, id: "1".to_owned(), display_name: "ann".to_owned() }
}

pub(super) fn coalesce(quiet_ms: u64, max_batch: i32) -> BusyPolicy {
    BusyPolicy::Coalesce { quiet_period: Duration::from_millis(quiet_ms), max_wait: Duration::from_secs(30), max_batch }
}

pub(super) fn finish(end: RunEnd) -> Finish {
    Finish {
        end,
        warnings: vec![],
        lineage: None,
        model: "m".to_owned(),
        agent_version: "2.1.330".to_owned(),
        billing: None,
        conversation: None,
        turn_duration_ms: 1,
        api_duration_ms: 1,
    }
}
