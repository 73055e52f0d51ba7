//! The journal of runs: persist, then publish. A reader subscribes, replays from its sequence, then follows; on lag it
//! reads again. A slow reader costs the run nothing.

mod channel;
mod elsewhere;
mod follower;
mod pages;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tokio::time::Instant;

use crate::domain::{EntryKind, Error, JournalEntry, OpenBlock, Result, Run, RunId, Sequence, UnixMicros};
use crate::metrics;
use crate::queue::Lease;
use crate::store::Store;
pub(crate) use crate::store::chunk;
pub(crate) use crate::store::journal_lines::{self as lines, LinePart, LinesPlace};

pub use pages::{EntryPage, PageOf};

use channel::Hub;
use elsewhere::Shown;
use follower::Follower;

/// A chunk holds no more than about this, so that no write holds the database for long and no reader holds much.
const CHUNK_BYTES: usize = 256 * 1024;

/// How long a database that is away is waited for, and how long between two tries at most.
const PATIENCE: Duration = Duration::from_secs(600);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The patience with a database that is away.
struct Wait {
    run: RunId,
    began: Instant,
    pause: Duration,
}

impl Wait {
    fn new(run: RunId) -> Self {
        Self { run, began: Instant::now(), pause: Duration::from_millis(50) }
    }

    fn goes_on(&self) -> bool {
        self.began.elapsed() < PATIENCE
    }

    async fn more(&mut self, why: &str) {
        tracing::warn!(run.id = %self.run, error = why, "the journal cannot be written, trying again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// The journals of all runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Arc<Store>,
    hub: Arc<Hub>,
    /// What is shown to other servers; none: there are none.
    shown: Option<Arc<Shown>>,
}

/// An entry before it has a sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntry {
    /// When it was read from the agent.
    pub time: UnixMicros,
    /// The subagent's tool call; empty for the agent itself.
    pub parent_tool_use_id: String,
    /// Some text of it was cut.
    pub truncated: bool,
    /// The agent's own line (first 64 KiB); empty for entries of ours.
    pub raw: String,
    /// What happened.
    pub kind: EntryKind,
}

/// Where a reader begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// After this sequence; 0: from the first kept entry.
    After(Sequence),
    /// With the last so many entries.
    Tail(u32),
}

/// What a reader gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// The run as it now is: first of all, at each change of note (newest wins, at most 4 a second), and last of all.
    Run(Box<Run>),
    /// The next entry.
    Entry(Arc<PublishedEntry>),
    /// A piece of the block being written; `offset` counts characters, and one that does not fit says: replace from there.
    Delta { block_id: Arc<str>, thinking: bool, offset: usize, text: String },
    /// Nothing for 10 s.
    Heartbeat,
}

/// An entry as all its readers share it, with room for its encoding, so that it is encoded once for all of them.
#[derive(Debug)]
pub struct PublishedEntry {
    entry: JournalEntry,
    weight: usize,
    encoded: [OnceLock<Bytes>; 2],
}

impl PublishedEntry {
    /// Its encoding with or without the raw line: made by the first who asks, kept for the others.
    pub fn encoded(&self, raw: bool, encode: impl FnOnce(&JournalEntry) -> Bytes) -> Bytes {
        self.encoded[usize::from(raw)].get_or_init(|| encode(&self.entry)).clone()
    }
}

impl From<JournalEntry> for PublishedEntry {
    fn from(entry: JournalEntry) -> Self {
        Self { weight: chunk::weight(&entry), entry, encoded: Default::default() }
    }
}

impl std::ops::Deref for PublishedEntry {
    type Target = JournalEntry;
    fn deref(&self) -> &JournalEntry {
        &self.entry
    }
}

impl PartialEq for PublishedEntry {
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl Journal {
    /// Journals over `store`.
    pub fn new(store: Arc<Store>) -> Self {
        let shared = store.is_postgres();
        Self { store, hub: Arc::new(Hub::new(shared)), shown: shared.then(Arc::default) }
    }

    /// Stores entries in order under this lease (fenced), then publishes them. Returns the last sequence.
    pub async fn append(&self, lease: &Lease, entries: Vec<NewEntry>) -> Result<Sequence> {
        Ok(self.append_entries(lease, entries).await?.last().copied().unwrap_or(0))
    }

    /// The same, then stores the lines that came with them; their sequences say which of these entries they belong to.
    pub(crate) async fn append_batch(&self, lease: &Lease, entries: Vec<NewEntry>, mut parts: Vec<LinePart>) -> Result<()> {
        let sequences = self.append_entries(lease, entries).await?;
        if parts.is_empty() {
            return Ok(());
        }
        let next = match sequences.first() {
            Some(first) => *first,
            None => self.next_sequence(lease).await?,
        };
        for part in &mut parts {
            let entry = usize::try_from(part.sequence).ok().and_then(|nth| nth.checked_sub(1));
            part.sequence = entry.and_then(|entry| sequences.get(entry).copied()).unwrap_or(next - 1);
        }
        let mut rest = parts.as_slice();
        while !rest.is_empty() {
            let mut weight = 0;
            let count = rest.iter().take_while(|part| {
                let fits = weight < CHUNK_BYTES;
                weight += part.weight();
                fits
            });
            let (body, after) = rest.split_at(count.count());
            self.append_lines(lease, body).await?;
            rest = after;
        }
        Ok(())
    }

    /// One body of lines. To store it twice changes nothing, so a commit whose answer was lost is just tried again.
    async fn append_lines(&self, lease: &Lease, parts: &[LinePart]) -> Result<()> {
        let mut wait = Wait::new(lease.run_id);
        loop {
            match self.store.append_lines(lease.run_id, lease.id, lease.attempt, parts).await {
                Err(Error::StoreUnavailable(why)) if wait.goes_on() => wait.more(&why).await,
                done => return done,
            }
        }
    }

    /// Stores and publishes entries; gives their sequences.
    async fn append_entries(&self, lease: &Lease, entries: Vec<NewEntry>) -> Result<Vec<Sequence>> {
        let mut sequences = Vec::with_capacity(entries.len());
        let mut rest = entries.into_iter().peekable();
        while let Some(oldest) = rest.peek().map(|entry| entry.time) {
            let mut next = self.next_sequence(lease).await?;
            let mut weight = 0;
            let mut piece = Vec::new();
            while let Some(entry) = rest.next_if(|_| weight < CHUNK_BYTES) {
                let NewEntry { time, parent_tool_use_id, truncated, raw, kind } = entry;
                let sequence = next + i32::try_from(piece.len()).unwrap_or(i32::MAX);
                piece.push(JournalEntry { sequence, attempt: lease.attempt, time, parent_tool_use_id, truncated, raw, kind });
                weight += chunk::weight(&piece[piece.len() - 1]);
            }
            // Encoded outside of the transaction. Should an entry of the server's own come in between, it is done again.
            while !self.append_once(lease, &piece).await? {
                next = self.next_sequence(lease).await?;
                (next..).zip(&mut piece).for_each(|(sequence, entry)| entry.sequence = sequence);
            }
            metrics::journaled(UnixMicros::now().since(oldest));
            sequences.extend(piece.iter().map(|entry| entry.sequence));
            self.hub.publish(lease.run_id, piece);
        }
        Ok(sequences)
    }

    /// The sequence that is next under this lease. A database that is away is waited for.
    async fn next_sequence(&self, lease: &Lease) -> Result<Sequence> {
        let mut wait = Wait::new(lease.run_id);
        loop {
            match self.store.next_sequence(lease.run_id, lease.id).await {
                Err(Error::StoreUnavailable(why)) if wait.goes_on() => wait.more(&why).await,
                done => return done,
            }
        }
    }

    /// One chunk, once: a commit whose answer was lost is looked up before it is tried again. A database that is away is
    /// waited for; whoever cannot wait drops this.
    async fn append_once(&self, lease: &Lease, piece: &[JournalEntry]) -> Result<bool> {
        let (mut wait, mut lost) = (Wait::new(lease.run_id), false);
        loop {
            let done = async {
                if lost && self.store.chunk_stands(lease.run_id, piece).await? {
                    return Ok(true);
                }
                self.store.append_entries(lease.run_id, lease.id, piece).await
            };
            match done.await {
                Err(Error::StoreUnavailable(why)) if wait.goes_on() => wait.more(&why).await,
                done => return done,
            }
            lost = true;
        }
    }

    /// Publishes the block that a run of this lease is writing, here and to other servers; none: it is done.
    pub fn open_block(&self, lease: &Lease, block: Option<OpenBlock>) {
        if let Some(shown) = &self.shown {
            shown.put(lease, block.clone());
        }
        self.hub.open_block(lease.run_id, block);
    }

    /// Tells readers that the run's row or journal changed (state, usage, outcome).
    pub fn announce(&self, run: RunId) {
        self.hub.announce(run);
    }

    /// Replays from `position`, then follows to the end. Ends after the outcome and the final run; on `close` it ends with `Draining`.
    /// Errors at once: `NotFound`, `SequenceBeyondEnd`.
    pub async fn follow(
        &self,
        run: RunId,
        position: Position,
        partial: bool,
    ) -> Result<impl Stream<Item = Result<(Sequence, Followed)>> + Send + use<>> {
        let follower = Follower::join(self.store.clone(), &self.hub, run, position, partial).await?;
        let steps = stream::unfold(Some(Box::new(follower)), |follower| async {
            let mut follower = follower?;
            match follower.step().await {
                Ok(items) if items.is_empty() => None,
                Ok(items) => Some((stream::iter(items.into_iter().map(Ok).collect::<Vec<_>>()), Some(follower))),
                Err(error) => Some((stream::iter(vec![Err(error)]), None)),
            }
        });
        Ok(steps.flatten())
    }

    /// Ends all readers with `Draining`.
    pub fn close(&self) {
        self.hub.close();
    }
}

#[cfg(test)]
mod tests;
