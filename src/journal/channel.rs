//! What the readers of one run share: its newest entries, the block it is writing, and what they read of the database.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::PublishedEntry;
use crate::domain::{EntryKind, Error, JournalEntry, OpenBlock, Result, Run, RunId, Sequence};
use crate::metrics;
use crate::store::Store;
use crate::store::journal_news::{BlockNews, Known, News};

/// The newest entries of a run that somebody reads; a reader further behind reads the database.
const RECENT_BYTES: usize = 4 * 1024 * 1024;
/// What readers behind that share of the database, so that a hundred of them decode a chunk once.
const REPLAYED_BYTES: usize = 2 * 1024 * 1024;
/// A run that told something within this time is this server's; rows that lag behind are not looked at for it.
const OURS: Duration = Duration::from_secs(3);

/// The runs that have readers, or write a block.
#[derive(Debug, Default)]
pub(super) struct Hub {
    channels: Mutex<HashMap<RunId, Arc<Channel>>>,
    closed: CancellationToken,
    /// When runs of this server last told something; none: every run is this server's.
    local: Option<Mutex<HashMap<RunId, Instant>>>,
    joined: Notify,
}

/// What the readers of one run share.
#[derive(Debug)]
pub(super) struct Channel {
    run: RunId,
    state: Mutex<State>,
    /// Counts changes of `state`: the one thing that wakes readers.
    changed: watch::Sender<u64>,
    snapshot: AsyncMutex<Option<Snapshot>>,
    replayed: AsyncMutex<Pages>,
}

#[derive(Debug, Default)]
struct State {
    readers: usize,
    recent: Pages,
    block: Option<Arc<Block>>,
    announced: Option<Instant>,
    /// The newest entry and the status that were heard of a run of another server.
    heard: Option<(Sequence, String)>,
}

/// The run's row, and when it was asked for.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) run: Arc<Run>,
    pub(super) asked: Instant,
}

/// The block being written.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) id: Arc<str>,
    pub(super) thinking: bool,
    pub(super) text: String,
}

/// What a reader finds at a place of the newest entries.
#[derive(Debug)]
pub(super) struct View {
    /// Entries from that place on; empty: they are not here.
    pub(super) entries: Vec<Arc<PublishedEntry>>,
    /// The newest entry's sequence, where it is known.
    pub(super) last: Option<Sequence>,
    /// The block being written, unless newer entries come first.
    pub(super) block: Option<Arc<Block>>,
    /// When the run's row was last said to have changed.
    pub(super) announced: Option<Instant>,
}

/// Consecutive entries, oldest first, bounded by their weight.
#[derive(Debug, Default)]
struct Pages {
    pages: VecDeque<Arc<[Arc<PublishedEntry>]>>,
    bytes: usize,
}

/// A reader's place among the readers of its run; leaving frees what only readers need.
#[derive(Debug)]
pub(super) struct Seat {
    hub: Arc<Hub>,
    channel: Arc<Channel>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn share(entries: Vec<JournalEntry>) -> Arc<[Arc<PublishedEntry>]> {
    entries.into_iter().map(|entry| Arc::new(entry.into())).collect()
}

impl Hub {
    /// `shared`: other servers work on runs too.
    pub(super) fn new(shared: bool) -> Self {
        Self { local: shared.then(Mutex::default), ..Self::default() }
    }

    /// Publishes committed entries of a run of this server; without a reader that is a look-up.
    pub(super) fn publish(&self, run: RunId, entries: Vec<JournalEntry>) {
        self.is_ours(run);
        self.spread(run, entries);
    }

    fn is_ours(&self, run: RunId) {
        if let Some(local) = &self.local {
            lock(local).insert(run, Instant::now());
        }
    }

    /// What readers here know of the runs that are not known to be this server's, and their newest entries.
    pub(super) fn watched(&self) -> Vec<(Known, Option<Sequence>)> {
        let Some(local) = &self.local else { return Vec::new() };
        let mut ours = lock(local);
        ours.retain(|_, told| told.elapsed() < OURS);
        let channels = lock(&self.channels);
        let watched = channels.values().filter(|channel| !ours.contains_key(&channel.run)).filter_map(|channel| {
            let state = lock(&channel.state);
            let block = state.block.as_ref().map(|block| (block.id.to_string(), block.text.len()));
            (state.readers > 0).then(|| (Known { run: channel.run, block }, state.heard.as_ref().map(|(last, _)| *last)))
        });
        watched.collect()
    }

    /// Takes in what was heard of a run of another server.
    pub(super) fn heard(&self, news: News, entries: Vec<JournalEntry>) {
        let Some(channel) = lock(&self.channels).get(&news.run).cloned() else { return };
        let before = lock(&channel.state).heard.clone();
        // The first look only learns where the journal stands: who reads behind that reads the rows. Later ones bring
        // the entries, perhaps not yet all of them.
        let last = if before.is_none() { news.last } else { entries.last().map_or(0, |entry| entry.sequence) };
        let last = before.as_ref().map_or(last, |(before, _)| last.max(*before));
        let turned = before.as_ref().is_some_and(|(_, status)| *status != news.status);
        let unchanged = before.as_ref().is_some_and(|(before, _)| *before == last) && !turned && news.block == BlockNews::Same;
        if unchanged
            || (news.block == BlockNews::None && !turned && before.as_ref().is_some_and(|(b, _)| *b == last) && !channel.has_block())
        {
            return;
        }
        if !entries.is_empty() {
            self.spread(news.run, entries);
        }
        channel.change(|state| {
            state.heard = Some((last, news.status));
            match news.block {
                BlockNews::Same => {}
                BlockNews::None => state.block = None,
                BlockNews::Now(OpenBlock { block_id, thinking, text }) => {
                    state.block = Some(Arc::new(Block { id: block_id.into(), thinking, text }));
                }
            }
            if turned {
                state.announced = Some(Instant::now());
            }
        });
    }

    /// Completes when a reader came.
    pub(super) async fn joined(&self) {
        self.joined.notified().await;
    }

    fn spread(&self, run: RunId, entries: Vec<JournalEntry>) {
        let Some(channel) = lock(&self.channels).get(&run).cloned() else { return };
        channel.change(|state| {
            // The entry replaces the block, so nobody may see the block after it.
            let writes = |e: &JournalEntry, open: &Block| matches!(&e.kind, EntryKind::Text { block_id, .. } | EntryKind::Thinking { block_id, .. } if **block_id == *open.id);
            if state.block.as_ref().is_some_and(|open| entries.iter().any(|e| writes(e, open))) {
                state.block = None;
            }
            if state.readers > 0 {
                state.recent.push(share(entries), RECENT_BYTES);
            }
        });
    }

    pub(super) fn open_block(self: &Arc<Self>, run: RunId, block: Option<OpenBlock>) {
        self.is_ours(run);
        let block = block.map(|b| Arc::new(Block { id: b.block_id.into(), thinking: b.thinking, text: b.text }));
        let mut channels = lock(&self.channels);
        let channel = match (channels.get(&run), &block) {
            (Some(channel), _) => channel.clone(),
            (None, None) => return,
            (None, Some(_)) => channels.entry(run).or_insert_with(|| Arc::new(Channel::new(run))).clone(),
        };
        channel.change(|state| state.block = block);
        if channel.idle() {
            channels.remove(&run);
        }
    }

    pub(super) fn announce(&self, run: RunId) {
        if let Some(channel) = lock(&self.channels).get(&run) {
            channel.change(|state| state.announced = Some(Instant::now()));
        }
    }

    pub(super) fn join(self: &Arc<Self>, run: RunId) -> Seat {
        let mut channels = lock(&self.channels);
        let channel = channels.entry(run).or_insert_with(|| Arc::new(Channel::new(run))).clone();
        // Under the lock of the map, so that the last reader before does not take the channel away.
        lock(&channel.state).readers += 1;
        self.joined.notify_one();
        metrics::reader(1.0);
        Seat { hub: self.clone(), channel }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.channels).is_empty()
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        metrics::reader(-1.0);
        let mut channels = lock(&self.hub.channels);
        let mut state = lock(&self.channel.state);
        state.readers -= 1;
        if state.readers == 0 {
            state.recent = Pages::default();
            state.heard = None;
            if state.block.is_none() {
                channels.remove(&self.channel.run);
            }
        }
    }
}

impl std::ops::Deref for Seat {
    type Target = Channel;
    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Seat {
    /// Ends when the server closes its journals.
    pub(super) fn closed(&self) -> &CancellationToken {
        &self.hub.closed
    }
}

impl Channel {
    fn new(run: RunId) -> Self {
        Self {
            run,
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            snapshot: AsyncMutex::default(),
            replayed: AsyncMutex::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.send_modify(|count| *count += 1);
    }

    fn has_block(&self) -> bool {
        lock(&self.state).block.is_some()
    }

    fn idle(&self) -> bool {
        let state = lock(&self.state);
        state.readers == 0 && state.block.is_none()
    }

    /// Tells of every change from here on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What there is at `next`, in one look: entries and block never contradict each other.
    pub(super) fn view(&self, next: Sequence) -> View {
        let state = lock(&self.state);
        let last = state.recent.last().max(state.heard.as_ref().map(|(last, _)| *last));
        View {
            entries: state.recent.from(next),
            last,
            block: state.block.clone().filter(|_| last.is_none_or(|last| last < next)),
            announced: state.announced,
        }
    }

    /// The run's row, asked for at `since` or later; readers that want the same share one query.
    pub(super) async fn snapshot(&self, store: &Store, since: Instant) -> Result<Snapshot> {
        let mut kept = self.snapshot.lock().await;
        if let Some(snapshot) = kept.as_ref().filter(|s| s.asked >= since) {
            return Ok(snapshot.clone());
        }
        let asked = Instant::now();
        let run = store.run(self.run).await?.ok_or_else(|| Error::NotFound { kind: "run", id: self.run.to_string() })?;
        let snapshot = Snapshot { run: Arc::new(run), asked };
        *kept = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// Entries of the database from `next` on, or from the first one after it that is kept; readers share what they read.
    pub(super) async fn replay(&self, store: &Store, next: Sequence) -> Result<Vec<Arc<PublishedEntry>>> {
        let mut replayed = self.replayed.lock().await;
        let shared = replayed.from(next);
        if !shared.is_empty() {
            return Ok(shared);
        }
        let page = share(store.journal_page(self.run, next).await?);
        replayed.push(page.clone(), REPLAYED_BYTES);
        Ok(limited(page.iter()))
    }
}

/// What one step of one reader takes: enough to be fast, little enough that a slow reader holds little.
fn limited<'a>(entries: impl Iterator<Item = &'a Arc<PublishedEntry>>) -> Vec<Arc<PublishedEntry>> {
    let mut bytes = 0;
    entries
        .take(512)
        .take_while(|entry| {
            let fits = bytes < 256 * 1024;
            bytes += entry.weight;
            fits
        })
        .cloned()
        .collect()
}

impl Pages {
    fn last(&self) -> Option<Sequence> {
        self.pages.back().and_then(|page| page.last()).map(|entry| entry.sequence)
    }

    fn push(&mut self, page: Arc<[Arc<PublishedEntry>]>, limit: usize) {
        let (Some(first), Some(end)) = (page.first(), page.last()) else { return };
        match self.last() {
            Some(last) if end.sequence <= last => return,
            // Not what follows: kept beside it, there would be a hole or a double.
            Some(last) if first.sequence != last + 1 => *self = Self::default(),
            _ => {}
        }
        self.bytes += weight(&page);
        self.pages.push_back(page);
        while self.bytes > limit && self.pages.len() > 1 {
            self.bytes -= self.pages.pop_front().map_or(0, |page| weight(&page));
        }
    }

    /// Entries from `next` on; empty when `next` itself is not here.
    fn from(&self, next: Sequence) -> Vec<Arc<PublishedEntry>> {
        let starts_here = self.pages.front().and_then(|page| page.first()).is_some_and(|entry| entry.sequence <= next);
        if !starts_here {
            return Vec::new();
        }
        let skipped = self.pages.partition_point(|page| page.last().is_some_and(|entry| entry.sequence < next));
        let within = self.pages.get(skipped).map_or(0, |page| page.partition_point(|entry| entry.sequence < next));
        limited(self.pages.range(skipped..).flat_map(|page| page.iter()).skip(within))
    }
}

fn weight(page: &[Arc<PublishedEntry>]) -> usize {
    page.iter().map(|entry| entry.weight).sum()
}

/// How old a polled row may be: the poll comes each second, and all readers of a run share it.
pub(super) const POLL: Duration = Duration::from_secs(1);
