//! The journal of runs: persist, then publish. A reader subscribes, replays from its sequence, then follows; on lag it
//! reads again. A slow reader costs the run nothing.

#[expect(unused_imports, reason = "the queue writes the last entry")]
pub(crate) use crate::store::chunk;

use std::sync::Arc;

use futures::Stream;

use crate::domain::{EntryKind, JournalEntry, OpenBlock, Result, Run, RunId, Sequence, UnixMicros};
use crate::queue::Lease;
use crate::store::Store;

/// The journals of all runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    store: Arc<Store>,
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
    Entry(Arc<JournalEntry>),
    /// A piece of the block being written; `offset` counts characters, and one that does not fit says: replace from there.
    Delta { block_id: Arc<str>, thinking: bool, offset: usize, text: String },
    /// Nothing for 10 s.
    Heartbeat,
}

impl Journal {
    /// Journals over `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Stores entries in order under this lease (fenced), then publishes them. Returns the last sequence.
    pub async fn append(&self, lease: &Lease, entries: Vec<NewEntry>) -> Result<Sequence> {
        let _ = (&self.store, lease, entries);
        todo!()
    }

    /// Publishes the block that a run is writing (in memory only); none: it is done.
    pub fn open_block(&self, run: RunId, block: Option<OpenBlock>) {
        let _ = (run, block);
        todo!()
    }

    /// Tells readers that the run's row or journal changed (state, usage, outcome).
    pub fn announce(&self, run: RunId) {
        let _ = run;
        todo!()
    }

    /// Replays from `position`, then follows to the end. Ends after the outcome and the final run; on `close` it ends with `Draining`.
    /// Errors at once: `NotFound`, `SequenceBeyondEnd`.
    pub async fn follow(&self, run: RunId, position: Position, partial: bool) -> Result<impl Stream<Item = Result<(Sequence, Followed)>> + Send + use<>> {
        let _ = (run, position, partial);
        todo!() as Result<futures::stream::Empty<Result<(Sequence, Followed)>>>
    }

    /// Ends all readers with `Draining`.
    pub fn close(&self) {
        todo!()
    }
}
