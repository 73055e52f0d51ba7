//! One reader of one run: subscribe, replay, follow, end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::channel::{Block, Hub, POLL, Seat, Snapshot};
use super::{Followed, Position, PublishedEntry};
use crate::domain::{EntryKind, Error, JournalEntry, Result, Run, RunId, Sequence, UnixMicros};
use crate::store::Store;

const HEARTBEAT: Duration = Duration::from_secs(10);
/// A run is told at most this often.
const RUN_EVERY: Duration = Duration::from_millis(250);

/// One message, with the sequence to go on after.
pub(super) type Item = (Sequence, Followed);

#[derive(Debug)]
pub(super) struct Follower {
    store: Arc<Store>,
    seat: Seat,
    changed: watch::Receiver<u64>,
    partial: bool,
    phase: Phase,
    /// The sequence that is due.
    next: Sequence,
    /// The last sequence that is known to be committed.
    last: Sequence,
    /// The run as last told, and when; and the newest row that was read.
    told: Arc<Run>,
    told_at: Instant,
    row: Snapshot,
    /// The last message of any kind.
    spoke_at: Instant,
    told_block: Option<ToldBlock>,
    /// Blocks whose entries were given: what is still published of them is old.
    done_blocks: VecDeque<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The run comes first; true: there is nothing else to tell.
    Opening(bool),
    Following,
    /// The outcome was given; the final run is due.
    Closing,
    Ended,
}

/// How much of the open block was told.
#[derive(Debug)]
struct ToldBlock {
    id: Arc<str>,
    bytes: usize,
    characters: usize,
}

impl Follower {
    pub(super) async fn join(store: Arc<Store>, hub: &Arc<Hub>, run: RunId, position: Position, partial: bool) -> Result<Self> {
        let seat = hub.join(run);
        if seat.closed().is_cancelled() {
            return Err(Error::Draining);
        }
        // What is committed before this read is in the row; what comes after it is published to `changed`.
        let changed = seat.subscribe();
        let row = seat.snapshot(&store, Instant::now()).await?;
        let run = row.run.clone();
        let (next, nothing_left) = start(&run, position)?;
        let now = Instant::now();
        Ok(Self {
            store,
            seat,
            changed,
            partial,
            phase: Phase::Opening(nothing_left),
            next,
            last: run.last_sequence,
            told: run,
            told_at: now,
            row,
            spoke_at: now,
            told_block: None,
            done_blocks: VecDeque::new(),
        })
    }

    /// The next messages; none: the end.
    pub(super) async fn step(&mut self) -> Result<Vec<Item>> {
        let messages = match self.phase {
            Phase::Opening(nothing_left) => {
                self.phase = if nothing_left { Phase::Ended } else { Phase::Following };
                vec![self.tell_run(self.told.clone())]
            }
            Phase::Following => self.follow().await?,
            Phase::Closing => {
                self.phase = Phase::Ended;
                vec![self.final_run().await?]
            }
            Phase::Ended => Vec::new(),
        };
        self.spoke_at = Instant::now();
        Ok(messages)
    }

    async fn follow(&mut self) -> Result<Vec<Item>> {
        loop {
            if self.seat.closed().is_cancelled() {
                return Err(Error::Draining);
            }
            // Marked as seen before looking, so that what comes during the look wakes us again.
            self.changed.borrow_and_update();
            let view = self.seat.view(self.next);
            self.last = self.last.max(view.last.unwrap_or(0));
            if let Some(announced) = view.announced.filter(|at| *at > self.row.asked) {
                self.read_row(announced).await?;
            }
            let mut messages = Vec::from_iter(self.run_if_due());
            let entries = if view.entries.is_empty() { self.replay().await? } else { view.entries };
            messages.extend(entries.into_iter().map(|entry| self.give(entry)));
            if self.phase == Phase::Following && self.next > self.last {
                messages.extend(view.block.as_deref().filter(|_| self.partial).and_then(|block| self.tell_block(block)));
            }
            if !messages.is_empty() || self.phase != Phase::Following {
                return Ok(if messages.is_empty() { vec![self.final_run().await?] } else { messages });
            }
            if self.wait().await? {
                return Ok(vec![(self.next - 1, Followed::Heartbeat)]);
            }
        }
    }

    /// Entries of the database that are due. Of a finished run whose entries are gone, the outcome is made from its row.
    async fn replay(&mut self) -> Result<Vec<Arc<PublishedEntry>>> {
        if self.next <= self.last {
            let entries = self.seat.replay(&self.store, self.next).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        if !self.row.run.state().is_end() {
            return Ok(Vec::new());
        }
        if self.next > self.row.run.last_sequence {
            self.phase = Phase::Closing;
            return Ok(Vec::new());
        }
        Ok(vec![Arc::new(outcome_of(&self.row.run).into())])
    }

    fn give(&mut self, entry: Arc<PublishedEntry>) -> Item {
        match &entry.kind {
            EntryKind::Outcome { .. } => self.phase = Phase::Closing,
            EntryKind::Text { block_id, .. } | EntryKind::Thinking { block_id, .. } if self.partial => {
                if self.done_blocks.len() == 8 {
                    self.done_blocks.pop_front();
                }
                self.done_blocks.push_back(block_id.as_str().into());
            }
            _ => {}
        }
        self.next = entry.sequence + 1;
        (entry.sequence, Followed::Entry(entry))
    }

    fn tell_block(&mut self, block: &Block) -> Option<Item> {
        if self.done_blocks.iter().any(|done| **done == *block.id) {
            return None;
        }
        let told = self.told_block.take().filter(|told| told.id == block.id && block.text.is_char_boundary(told.bytes));
        let (bytes, offset) = told.as_ref().map_or((0, 0), |told| (told.bytes, told.characters));
        let text = block.text[bytes..].to_owned();
        self.told_block = Some(ToldBlock { id: block.id.clone(), bytes: block.text.len(), characters: offset + text.chars().count() });
        let sequence = self.next - 1;
        (!text.is_empty()).then(|| (sequence, Followed::Delta { block_id: block.id.clone(), thinking: block.thinking, offset, text }))
    }

    /// Waits for a change, and looks into the database once a second all the same. True: a heartbeat is due.
    async fn wait(&mut self) -> Result<bool> {
        let (heartbeat, poll) = (self.spoke_at + HEARTBEAT, self.row.asked + POLL);
        let news = if self.has_news() { self.told_at + RUN_EVERY } else { poll };
        tokio::select! {
            changed = self.changed.changed() => return changed.map(|()| false).map_err(Error::internal),
            () = self.seat.closed().cancelled() => return Err(Error::Draining),
            () = sleep_until(news.min(poll).min(heartbeat)) => {}
        }
        let now = Instant::now();
        if now >= poll {
            // Half a period back, so that readers who came at different times share one query.
            self.read_row(now.checked_sub(POLL / 2).unwrap_or(now)).await?;
        }
        Ok(now >= heartbeat && !self.has_news() && self.next > self.last)
    }

    async fn read_row(&mut self, since: Instant) -> Result<()> {
        self.row = self.seat.snapshot(&self.store, since).await?;
        self.last = self.last.max(self.row.run.last_sequence);
        Ok(())
    }

    /// Whether the row differs from the run as last told. Its end is told after its outcome only.
    fn has_news(&mut self) -> bool {
        let run = &self.row.run;
        if Arc::ptr_eq(run, &self.told) || run.state().is_end() {
            return false;
        }
        let same = Run { last_sequence: run.last_sequence, ..(*self.told).clone() } == **run;
        if same {
            self.told = run.clone();
        }
        !same
    }

    fn run_if_due(&mut self) -> Option<Item> {
        (Instant::now() >= self.told_at + RUN_EVERY && self.has_news()).then(|| self.tell_run(self.row.run.clone()))
    }

    fn tell_run(&mut self, run: Arc<Run>) -> Item {
        self.told_at = Instant::now();
        self.told = run;
        (self.next - 1, Followed::Run(Box::new((*self.told).clone())))
    }

    async fn final_run(&mut self) -> Result<Item> {
        self.phase = Phase::Ended;
        if !self.row.run.state().is_end() {
            // The outcome and the end of the run are one transaction: a row read from now on has both.
            self.read_row(Instant::now()).await?;
        }
        Ok(self.tell_run(self.row.run.clone()))
    }
}

/// Where to begin; true: nothing is left to tell but the run.
fn start(run: &Run, position: Position) -> Result<(Sequence, bool)> {
    let last = run.last_sequence;
    let wanted = match position {
        Position::After(asked) if asked > last => return Err(Error::SequenceBeyondEnd { asked, last_sequence: last }),
        Position::After(asked) => asked.max(0) + 1,
        Position::Tail(count) => last.saturating_sub(i32::try_from(count).unwrap_or(i32::MAX)).max(0) + 1,
    };
    let ended = run.state().is_end();
    if wanted > last {
        return Ok((wanted, ended));
    }
    // Entries that retention took are skipped; of a finished run the outcome always remains.
    let kept = wanted.max(run.first_sequence);
    Ok((if ended { kept.min(last) } else { kept }, false))
}

/// The outcome of a finished run whose journal is not kept any more.
fn outcome_of(run: &Run) -> JournalEntry {
    let end = run.end_time.unwrap_or(UnixMicros(0));
    let wall = run.start_time.map_or(Duration::ZERO, |start| end.since(start));
    JournalEntry {
        sequence: run.last_sequence,
        attempt: run.attempt,
        time: end,
        parent_tool_use_id: String::new(),
        truncated: true,
        raw: String::new(),
        kind: EntryKind::Outcome {
            state: run.state(),
            result_text: run.result_text.clone(),
            failure: run.failure.clone(),
            usage: run.usage,
            warnings: run.warnings.clone(),
            turn_duration_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
            api_duration_ms: 0,
        },
    }
}
