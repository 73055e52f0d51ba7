//! Lists that are watched: which runs and deliveries changed, whoever wrote them, told to all who watch.
//!
//! One task reads what changed, once for all streams, and only while there are any. It looks again when this server wrote
//! something, and twice a second in any case, since another server may have. A stream that does not keep up reads on in the
//! database by itself, so nothing is left out and nobody waits for it.

mod list;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use list::{List, Update};

use crate::domain::{Delivery, DeliveryFilter, Error, PageRequest, Result, Run, RunFilter, RunId, RunState, Wait};
use crate::queue::Queue;
use crate::store::Store;
use crate::store::changes::{Place, Watched};

/// How often the database is asked at least.
const TICK: Duration = Duration::from_millis(500);
/// How often at most.
const PAUSE: Duration = Duration::from_millis(50);
/// How often waiting runs are looked at: what they wait for changes without a change of their rows.
const WAITING_TICK: Duration = Duration::from_secs(2);
/// So many of the newest waiting runs.
const WAITING: u32 = 500;
/// Rows that travel together, and how many of these a stream may be behind before it reads by itself.
const BATCH: usize = 50;
const BEHIND: usize = 32;
/// How long a new stream waits for the first look.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can be watched as a list.
pub(crate) trait Listed: Clone + std::fmt::Debug + Send + Sync + Sized + 'static {
    /// Its table.
    const WATCHED: Watched;
    /// What a list of it may be narrowed to.
    type Filter: std::fmt::Debug + Send + Sync + 'static;
    /// Its id.
    fn id(&self) -> Uuid;
    /// Whether it can change no more.
    fn is_final(&self) -> bool;
    /// Whether it is of those that are watched, apart from where it is.
    fn belongs(&self, filter: &Self::Filter) -> bool;
    /// Whether it is where it must be to be listed.
    fn fits(&self, filter: &Self::Filter) -> bool;
    /// The newest ones that fit, newest first.
    fn newest(store: &Store, filter: &Self::Filter, size: u32) -> impl Future<Output = Result<Vec<Self>>> + Send;
    /// These, as they are now.
    fn now(store: &Store, ids: &[Uuid]) -> impl Future<Output = Result<Vec<Self>>> + Send;
    /// Where changes of this kind are told.
    fn feed(inner: &Inner) -> &Feed<Self>;
}

/// Rows that changed, and where one goes on after them.
#[derive(Debug)]
struct Batch<T> {
    rows: Vec<Arc<T>>,
    next: Place,
}

/// Where changes of one kind are told.
#[derive(Debug)]
pub(crate) struct Feed<T> {
    told: broadcast::Sender<Arc<Batch<T>>>,
    /// Everything up to here was told, or was there before anybody watched. None: nobody watches.
    place: watch::Sender<Option<Place>>,
}

impl<T> Default for Feed<T> {
    fn default() -> Self {
        Self { told: broadcast::Sender::new(BEHIND), place: watch::Sender::new(None) }
    }
}

/// The watched lists. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Changes {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    store: Arc<Store>,
    queue: Queue,
    runs: Feed<Run>,
    deliveries: Feed<Delivery>,
    streams: Arc<Semaphore>,
    limit: usize,
    /// A stream began.
    began: Notify,
    stop: CancellationToken,
}

impl Changes {
    /// Lists over `store`, of which `limit` may be watched at once, until `stop`.
    #[must_use]
    pub fn new(store: Arc<Store>, queue: Queue, limit: usize, stop: CancellationToken) -> Self {
        let (runs, deliveries, streams) = (Feed::default(), Feed::default(), Arc::new(Semaphore::new(limit)));
        Self { inner: Arc::new(Inner { store, queue, runs, deliveries, streams, limit, began: Notify::new(), stop }) }
    }

    /// Watches the runs that match: the newest `size`, then each that changes.
    ///
    /// # Errors
    /// `TooManyStreams`, `StoreUnavailable`.
    pub(crate) async fn runs(&self, filter: RunFilter, size: u32) -> Result<List<Run>> {
        self.watch(filter, size).await
    }

    /// Watches the deliveries that match: the newest `size`, then each that changes.
    ///
    /// # Errors
    /// `TooManyStreams`, `StoreUnavailable`.
    pub(crate) async fn deliveries(&self, filter: DeliveryFilter, size: u32) -> Result<List<Delivery>> {
        self.watch(filter, size).await
    }

    async fn watch<T: Listed>(&self, filter: T::Filter, size: u32) -> Result<List<T>> {
        let inner = &self.inner;
        let seat = Arc::clone(&inner.streams).try_acquire_owned().map_err(|_| Error::TooManyStreams { limit: inner.limit })?;
        let feed = T::feed(inner);
        // First listen, then ask from where on everything will be heard, then read what there is: nothing falls in between.
        let heard = feed.told.subscribe();
        inner.began.notify_one();
        let mut place = feed.place.subscribe();
        let place = tokio::time::timeout(PATIENCE, place.wait_for(Option::is_some)).await;
        let place = place.ok().and_then(std::result::Result::ok).and_then(|place| place.clone());
        let place = place.ok_or_else(|| Error::StoreUnavailable("the list of changes cannot be read".to_owned()))?;
        let first = T::newest(&inner.store, &filter, size).await?;
        Ok(List::new(Arc::clone(&inner.store), inner.stop.clone(), (heard, place), (filter, first), seat))
    }

    /// Tells what changes, until the server stops.
    pub async fn run(self) {
        let inner = &self.inner;
        let (mut runs, mut deliveries, mut waiting, mut failing) = (None, None, Waiting::default(), false);
        while !inner.stop.is_cancelled() {
            let told = async {
                // Before a place is given out: a new stream then hears of every change that comes after its first rows.
                inner.tell_waiting(runs.as_ref(), &mut waiting).await?;
                inner.tell::<Run>(&mut runs).await?;
                inner.tell::<Delivery>(&mut deliveries).await
            };
            let failed = told.await.err();
            if let Some(error) = failed.as_ref().filter(|_| !failing) {
                tracing::warn!(%error, "what changed cannot be read; watched lists stand still until it can");
            }
            failing = failed.is_some();
            let idle = runs.is_none() && deliveries.is_none();
            tokio::select! {
                () = inner.stop.cancelled() => return,
                () = inner.began.notified() => {}
                () = tokio::time::sleep(TICK), if !idle => {}
                () = inner.queue.changed(), if !idle => tokio::time::sleep(PAUSE).await,
            }
        }
    }
}

impl Inner {
    /// Tells what changed since `place`; begins when somebody watches, and ends when nobody does.
    async fn tell<T: Listed>(&self, place: &mut Option<Place>) -> Result<()> {
        let feed = T::feed(self);
        let mut idle = false;
        // Under the lock of the place: who listens after this sees that there is none, and waits for the next one.
        feed.place.send_if_modified(|told| {
            idle = feed.told.receiver_count() == 0;
            idle && told.take().is_some()
        });
        if idle {
            *place = None;
            return Ok(());
        }
        let place = match place {
            Some(place) => place,
            None => place.insert(self.store.place(T::WATCHED).await?),
        };
        loop {
            let mut next = place.clone();
            let look = self.store.changed(T::WATCHED, &mut next).await?;
            for ids in look.ids.chunks(BATCH) {
                let rows = T::now(&self.store, ids).await?.into_iter().map(Arc::new).collect();
                // Nobody listens any more: that is seen at the next look.
                let _ = feed.told.send(Arc::new(Batch { rows, next: place.clone() }));
            }
            *place = next;
            feed.place.send_replace(Some(place.clone()));
            if !look.more {
                return Ok(());
            }
        }
    }

    /// Tells of waiting runs whose reason to wait, or whose place in the queue, is another than before.
    async fn tell_waiting(&self, place: Option<&Place>, before: &mut Waiting) -> Result<()> {
        if self.runs.told.receiver_count() == 0 {
            *before = Waiting::default();
            return Ok(());
        }
        if before.looked.is_some_and(|at| at.elapsed() < WAITING_TICK) {
            return Ok(());
        }
        let filter = RunFilter { states: vec![RunState::Queued, RunState::Waiting], ..RunFilter::default() };
        let found = self.store.list_runs(&filter, PageRequest { size: WAITING, after: None }).await?.items;
        let now: HashMap<RunId, Reason> = found.iter().map(|run| (run.id, (run.wait.clone(), run.queue_position))).collect();
        if let Some(place) = place.filter(|_| before.looked.is_some()) {
            let other: Vec<_> = found.into_iter().filter(|run| before.reasons.get(&run.id) != now.get(&run.id)).map(Arc::new).collect();
            for rows in other.chunks(BATCH) {
                let _ = self.runs.told.send(Arc::new(Batch { rows: rows.to_vec(), next: place.clone() }));
            }
        }
        *before = Waiting { looked: Some(Instant::now()), reasons: now };
        Ok(())
    }
}

type Reason = (Option<Wait>, i32);

/// Why runs waited when they were last looked at.
#[derive(Debug, Default)]
struct Waiting {
    looked: Option<Instant>,
    reasons: HashMap<RunId, Reason>,
}

impl Listed for Run {
    const WATCHED: Watched = Watched::Runs;
    type Filter = RunFilter;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn is_final(&self) -> bool {
        self.state().is_end()
    }

    fn belongs(&self, filter: &RunFilter) -> bool {
        filter.trigger_id.is_none_or(|id| id == self.trigger_id) && filter.session_id.is_none_or(|id| id == self.session_id)
    }

    fn fits(&self, filter: &RunFilter) -> bool {
        filter.states.is_empty() || filter.states.contains(&self.state())
    }

    async fn newest(store: &Store, filter: &RunFilter, size: u32) -> Result<Vec<Self>> {
        Ok(store.list_runs(filter, PageRequest { size, after: None }).await?.items)
    }

    async fn now(store: &Store, ids: &[Uuid]) -> Result<Vec<Self>> {
        store.runs_now(ids).await
    }

    fn feed(inner: &Inner) -> &Feed<Self> {
        &inner.runs
    }
}

impl Listed for Delivery {
    const WATCHED: Watched = Watched::Deliveries;
    type Filter = DeliveryFilter;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn is_final(&self) -> bool {
        false
    }

    fn belongs(&self, filter: &DeliveryFilter) -> bool {
        let actor = &self.event.actor;
        filter.trigger_id.is_none_or(|id| Some(id) == self.trigger_id)
            && filter.session_id.is_none_or(|id| Some(id) == self.session_id)
            && (filter.origins.is_empty() || filter.origins.contains(&self.origin))
            && filter.event_kind.as_ref().is_none_or(|kind| *kind == self.event.kind)
            && filter.actor.as_ref().is_none_or(|name| *name == actor.login || *name == actor.id)
    }

    fn fits(&self, filter: &DeliveryFilter) -> bool {
        filter.outcomes.is_empty() || filter.outcomes.contains(&self.outcome)
    }

    async fn newest(store: &Store, filter: &DeliveryFilter, size: u32) -> Result<Vec<Self>> {
        Ok(store.list_deliveries(filter, PageRequest { size, after: None }).await?.items)
    }

    async fn now(store: &Store, ids: &[Uuid]) -> Result<Vec<Self>> {
        store.deliveries_now(ids).await
    }

    fn feed(inner: &Inner) -> &Feed<Self> {
        &inner.deliveries
    }
}
