//! From an agent's lines to the journal: in batches, in bounded memory, never faster than the journal writes.
//!
//! One batch is being gathered, one waits, one is being written. When the gathered one is full the agent is not read
//! until there is room, so its own writes wait.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lines::Line;
use super::writer::{Batch, Writer};
use crate::domain::{EntryKind, Error, NoticeCode, OpenBlock, Result, UnixMicros};
use crate::journal::{Journal, LinePart, NewEntry};
use crate::queue::Lease;

const BATCH_BYTES: usize = 64 * 1024;
const BATCH_ENTRIES: usize = 256;
/// A batch this large is written before anything more is read: never two of them in memory.
const LARGE_BYTES: usize = 1024 * 1024;
/// A first line waits this long for company; lines after it wait until the last batch is `EVERY` old.
const COMPANY: Duration = Duration::from_millis(5);
const EVERY: Duration = Duration::from_millis(100);
/// Lines without an entry wait this long for company: nobody watches them.
const LINES_EVERY: Duration = Duration::from_secs(2);
const RAW_BYTES: usize = 64 * 1024;
const STDERR_LINE_BYTES: usize = 16 * 1024;
const STDERR_BYTES: u64 = 1024 * 1024;

/// Gathers what one attempt tells and hands it to the journal.
#[derive(Debug)]
pub(super) struct Pump {
    journal: Journal,
    lease: Lease,
    batches: mpsc::Sender<Batch>,
    writer: JoinSet<Result<()>>,
    lost: CancellationToken,
    gathered: Batch,
    bytes: usize,
    last_flush: Instant,
    limit: u64,
    read: u64,
    stderr_read: u64,
    /// Parts of lines so far.
    parts: i64,
    tools: HashMap<String, Instant>,
    open: Option<Open>,
    open_count: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Open {
    block: OpenBlock,
    number: u64,
    published: Option<Instant>,
    dirty: bool,
}

impl Pump {
    /// A pump for the attempt that holds `lease`; keeps `limit` bytes of the agent's output, and `spool_limit` of them in `dir`
    /// while the database is away.
    pub(super) fn start(journal: Journal, lease: Lease, limit: u64, spool_limit: u64, dir: &Path) -> Self {
        // One waits while one is written; a third is gathered.
        let (batches, received) = mpsc::channel(1);
        let (lost, open_count) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let mut writer = JoinSet::new();
        let task = Writer {
            journal: journal.clone(),
            lease,
            dir: dir.to_owned(),
            spool_limit,
            lost: lost.clone(),
            open_count: open_count.clone(),
        };
        writer.spawn(task.run(received));
        let gathered = Batch::default();
        let last_flush = Instant::now() - EVERY;
        let tools = HashMap::new();
        Self {
            journal,
            lease,
            batches,
            writer,
            lost,
            gathered,
            bytes: 0,
            last_flush,
            limit,
            read: 0,
            stderr_read: 0,
            parts: 0,
            tools,
            open: None,
            open_count,
        }
    }

    /// Completes when nothing can be written any more: the lease is not ours, or the journal is gone.
    pub(super) fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    /// Whether nothing more should be read before [`Pump::work`] made room.
    pub(super) fn full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.gathered.entries.len().max(self.gathered.parts.len()) >= BATCH_ENTRIES
    }

    /// An entry of ours.
    pub(super) fn say(&mut self, kind: EntryKind) {
        self.gather(NewEntry { time: UnixMicros::now(), parent_tool_use_id: String::new(), truncated: false, raw: String::new(), kind });
    }

    /// A notice of ours.
    pub(super) fn notice(&mut self, code: NoticeCode, message: impl Into<String>, values: &[(&str, String)]) {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.say(EntryKind::Notice { code, message: message.into(), values });
    }

    /// Counts a line of the agent. False once the limit is passed: then its entries are not kept. The first time it says so.
    pub(super) fn admit(&mut self, line: &Line) -> bool {
        let before = self.read <= self.limit;
        self.read = self.read.saturating_add(line.size);
        let within = self.read <= self.limit;
        if before && !within {
            let message = format!("the agent wrote more than {} bytes; what follows is read but not kept", self.limit);
            self.notice(NoticeCode::OutputTruncated, message, &[("limit_bytes", self.limit.to_string())]);
        }
        within
    }

    /// Whether output was left out.
    pub(super) const fn truncated(&self) -> bool {
        self.read > self.limit
    }

    /// An entry that an admitted line means; `line` is given with the first of them.
    pub(super) fn line(&mut self, mut kind: EntryKind, parent_tool_use_id: String, line: Option<&Line>) {
        match &mut kind {
            EntryKind::ToolCall { tool_use_id, .. } if self.tools.len() < 10_000 => {
                self.tools.insert(tool_use_id.clone(), Instant::now());
            }
            EntryKind::ToolResult { tool_use_id, duration_ms, .. } => {
                if let Some(called) = self.tools.remove(tool_use_id) {
                    *duration_ms = i64::try_from(called.elapsed().as_millis()).unwrap_or(i64::MAX);
                }
            }
            EntryKind::Text { block_id, .. } | EntryKind::Thinking { block_id, .. } => {
                if let Some(open) = self.open.take_if(|open| open.block.block_id == *block_id) {
                    self.gathered.closes = Some(open.number);
                }
            }
            _ => {}
        }
        let raw = line.map_or(String::new(), |line| text(&line.bytes, RAW_BYTES));
        self.gather(NewEntry { time: UnixMicros::now(), parent_tool_use_id, truncated: line.is_some_and(|line| line.cut), raw, kind });
        if let Some(line) = line.filter(|line| line.bytes.len() >= RAW_BYTES || std::str::from_utf8(&line.bytes).is_err()) {
            self.keep(line, |part| part.of_entry = true);
        }
    }

    /// An admitted line that made no entry: kept for the file of the run.
    pub(super) fn alone(&mut self, line: &Line) {
        self.keep(line, |_| {});
    }

    /// A line of the agent's standard error.
    pub(super) fn stderr(&mut self, line: &Line) {
        let before = self.stderr_read <= STDERR_BYTES;
        self.stderr_read += line.size;
        if self.stderr_read > STDERR_BYTES {
            if before {
                let message = format!(
                    "the agent wrote more than {STDERR_BYTES} bytes to its standard error; what follows is in the file of the run only"
                );
                self.notice(NoticeCode::OutputTruncated, message, &[("limit_bytes", STDERR_BYTES.to_string())]);
            }
            if self.stderr_read <= self.limit {
                self.keep(line, |part| part.stderr = true);
            }
            return;
        }
        let truncated = line.size > STDERR_LINE_BYTES as u64;
        let kind = EntryKind::Stderr { text: text(&line.bytes, STDERR_LINE_BYTES) };
        self.gather(NewEntry { time: UnixMicros::now(), parent_tool_use_id: String::new(), truncated, raw: String::new(), kind });
        if truncated || std::str::from_utf8(&line.bytes).is_err() {
            self.keep(line, |part| (part.stderr, part.of_entry) = (true, true));
        }
    }

    /// Keeps a line as it is, beside the entries; in parts, so that nothing large is ever written at once.
    fn keep(&mut self, line: &Line, say: impl FnOnce(&mut LinePart)) {
        let nth = i32::try_from(self.gathered.entries.len()).unwrap_or(i32::MAX);
        let mut like = LinePart { cut: line.cut, ..LinePart::of(self.parts + 1, nth, UnixMicros::now()) };
        say(&mut like);
        let parts = LinePart::split(&like, &line.bytes);
        self.parts += i64::try_from(parts.len()).unwrap_or(0);
        self.bytes += parts.iter().map(LinePart::weight).sum::<usize>();
        self.gathered.first_part.get_or_insert_with(Instant::now);
        self.gathered.parts.extend(parts);
    }

    /// A piece of a block that is being written: shown, at most ten times a second, and never stored.
    pub(super) fn delta(&mut self, block_id: String, thinking: bool, text: &str) {
        match &mut self.open {
            Some(open) if open.block.block_id == block_id => {
                open.block.text.push_str(text);
                open.dirty = true;
            }
            open => {
                let number = self.open_count.fetch_add(1, Ordering::Relaxed) + 1;
                let published = open.as_ref().and_then(|before| before.published);
                *open = Some(Open { block: OpenBlock { block_id, thinking, text: text.to_owned() }, number, published, dirty: true });
            }
        }
    }

    /// Hands over what is due; pending while nothing is. May be dropped at any await: nothing is lost.
    pub(super) async fn work(&mut self) {
        let (full, read) = (self.full(), self.gathered.first_read);
        let entries = read.map(|first| if full { first } else { (first + COMPANY).max(self.last_flush + EVERY) });
        let lines = self.gathered.first_part.map(|first| if full { first } else { first + LINES_EVERY });
        let gathered = entries.into_iter().chain(lines).min();
        let shown = self.open.as_ref().filter(|open| open.dirty).map(|open| open.published.map_or_else(Instant::now, |last| last + EVERY));
        let Some(due) = gathered.into_iter().chain(shown).min() else { return std::future::pending().await };
        tokio::time::sleep_until(due).await;
        let now = Instant::now();
        if let Some(open) = self.open.as_mut().filter(|open| open.dirty && open.published.is_none_or(|last| last + EVERY <= now)) {
            (open.dirty, open.published) = (false, Some(now));
            self.journal.open_block(&self.lease, Some(open.block.clone()));
        }
        if self.bytes >= LARGE_BYTES {
            self.settle().await;
        } else if gathered.is_some_and(|due| due <= now) {
            self.flush().await;
        }
    }

    /// Forgets the block that was being written: the agent is gone.
    pub(super) fn leave_block(&mut self) {
        if self.open.take().is_some() {
            self.journal.open_block(&self.lease, None);
        }
    }

    /// Writes everything and waits until it is written; false when it could not be.
    pub(super) async fn settle(&mut self) -> bool {
        let (written, answer) = oneshot::channel();
        self.gathered.written = Some(written);
        self.flush().await;
        answer.await.is_ok()
    }

    /// Writes everything and ends. The error of a lost lease or journal comes out here.
    pub(super) async fn close(mut self) -> Result<()> {
        self.flush().await;
        self.journal.open_block(&self.lease, None);
        drop(self.batches);
        self.writer.join_next().await.unwrap_or(Ok(Ok(()))).unwrap_or_else(|error| Err(Error::internal(error)))
    }

    fn gather(&mut self, entry: NewEntry) {
        self.bytes += size(&entry);
        self.gathered.first_read.get_or_insert_with(Instant::now);
        self.gathered.entries.push(entry);
    }

    async fn flush(&mut self) {
        // A closed channel means that the journal is lost; then what was gathered is of no use to anybody.
        let permit = self.batches.reserve().await;
        let batch = std::mem::take(&mut self.gathered);
        (self.bytes, self.last_flush) = (0, Instant::now());
        if let Ok(permit) = permit {
            permit.send(batch);
        }
    }
}

/// At most `limit` bytes of a line as text.
fn text(line: &[u8], limit: usize) -> String {
    let mut text = match std::str::from_utf8(line) {
        Ok(whole) => whole[..whole.floor_char_boundary(limit)].to_owned(),
        Err(_) => String::from_utf8_lossy(&line[..line.len().min(limit)]).into_owned(),
    };
    // What stands for a byte that is no text is longer than that byte.
    text.truncate(text.floor_char_boundary(limit));
    text
}

/// What an entry takes in memory, nearly.
fn size(entry: &NewEntry) -> usize {
    let text = match &entry.kind {
        EntryKind::Text { text, .. }
        | EntryKind::Thinking { text, .. }
        | EntryKind::ToolResult { text, .. }
        | EntryKind::Stderr { text } => text.len(),
        EntryKind::ToolCall { input_json, .. } => input_json.len(),
        EntryKind::Other { raw_json, .. } => raw_json.len(),
        EntryKind::RunStarted { prompt, .. } => prompt.len(),
        _ => 0,
    };
    128 + entry.raw.len() + text
}
