//! The file of a run: every line that its agents wrote, in the order in which they were read, compressed as it is made.

use std::collections::VecDeque;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use zstd::stream::write::Encoder;

use crate::domain::{EntryKind, Error, JournalEntry, Result, RunId, Sequence, UnixMicros};
use crate::journal::{Journal, LinePart, LinesPlace};
use crate::proto::v1;

/// The most of the file that one message holds.
const PIECE: usize = 64 * 1024;
/// What an entry keeps of its line at most.
const KEPT_OF_LINE: usize = 64 * 1024;
const LEVEL: i32 = 3;

/// The file as it is made. Entries and the lines that stand beside them are read side by side, a little of each at a time;
/// not even one long line is ever whole in memory.
pub(super) struct Export {
    run: RunId,
    journal: Journal,
    entries: VecDeque<JournalEntry>,
    /// The last entry read; none: there are no more.
    after: Option<Sequence>,
    parts: VecDeque<LinePart>,
    place: LinesPlace,
    parts_ended: bool,
    /// The entry whose own line stood beside it.
    apart: Option<Sequence>,
    /// None: everything was compressed.
    lines: Option<Lines>,
    ready: Bytes,
    offset: i64,
}

impl Export {
    pub(super) fn new(run: RunId, journal: Journal) -> Result<Self> {
        let lines = Lines { out: Encoder::new(Vec::new(), LEVEL).map_err(Error::internal)?, continues: None };
        Ok(Self {
            run,
            journal,
            entries: VecDeque::new(),
            after: Some(0),
            parts: VecDeque::new(),
            place: (0, 0),
            parts_ended: false,
            apart: None,
            lines: Some(lines),
            ready: Bytes::new(),
            offset: 0,
        })
    }

    /// The next piece of the file; none: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<v1::ExportRunResponse>> {
        while self.ready.is_empty() {
            self.fill().await?;
            let Some(mut lines) = self.lines.take() else { return Ok(None) };
            if !self.step(&mut lines).map_err(Error::internal)? {
                self.ready = lines.finish().map_err(Error::internal)?.into();
                continue;
            }
            if lines.out.get_ref().len() >= PIECE {
                self.ready = std::mem::take(lines.out.get_mut()).into();
            }
            self.lines = Some(lines);
        }
        let data = self.ready.split_to(self.ready.len().min(PIECE));
        let offset = self.offset;
        self.offset += i64::try_from(data.len()).unwrap_or(0);
        Ok(Some(v1::ExportRunResponse { offset, data }))
    }

    async fn fill(&mut self) -> Result<()> {
        if let Some(after) = self.after.filter(|_| self.entries.is_empty()) {
            self.entries = self.journal.whole_page(self.run, after).await?.into();
            self.after = self.entries.back().map(|last| last.sequence);
        }
        if self.parts.is_empty() && !self.parts_ended {
            match self.journal.lines_after(self.run, self.place).await? {
                Some((place, parts)) => (self.place, self.parts) = (place, parts.into()),
                None => self.parts_ended = true,
            }
        }
        Ok(())
    }

    /// Writes what comes next; false: there is nothing more.
    fn step(&mut self, lines: &mut Lines) -> std::io::Result<bool> {
        let entry = self.entries.front().map(|entry| entry.sequence);
        let is_next = |part: &mut LinePart| entry.is_none_or(|entry| part.sequence < entry || (part.of_entry && part.sequence == entry));
        if let Some(part) = self.parts.pop_front_if(is_next) {
            self.apart = part.of_entry.then_some(part.sequence).or(self.apart);
            lines.part(&part, self.place.0)?;
        } else if let Some(entry) = self.entries.pop_front() {
            if self.apart != Some(entry.sequence) {
                lines.entry(&entry)?;
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// Where a line stood.
struct Head {
    sequence: Sequence,
    attempt: i32,
    time: UnixMicros,
    stderr: bool,
}

/// Lines of JSON, compressed.
struct Lines {
    out: Encoder<'static, Vec<u8>>,
    /// The part that goes on with the line that is being written.
    continues: Option<i64>,
}

impl Lines {
    /// What an entry keeps of the agent's output; an entry of ours keeps nothing.
    fn entry(&mut self, entry: &JournalEntry) -> std::io::Result<()> {
        let (stderr, line) = match &entry.kind {
            EntryKind::Stderr { text } => (true, text),
            _ if !entry.raw.is_empty() => (false, &entry.raw),
            _ => return Ok(()),
        };
        self.break_off()?;
        self.begin(&Head { sequence: entry.sequence, attempt: entry.attempt, time: entry.time, stderr }, "line")?;
        self.text(line)?;
        // What was longer than an entry keeps, and does not stand beside it, says so.
        self.end(entry.truncated || (!stderr && line.len() >= KEPT_OF_LINE))
    }

    fn part(&mut self, part: &LinePart, attempt: i32) -> std::io::Result<()> {
        if self.continues.take_if(|next| *next == part.number).is_none() {
            self.break_off()?;
            let head = Head { sequence: part.sequence, attempt, time: UnixMicros(part.time), stderr: part.stderr };
            self.begin(&head, if part.binary { "line_base64" } else { "line" })?;
        }
        if part.binary {
            self.out.write_all(STANDARD.encode(&part.bytes).as_bytes())?;
        } else {
            self.text(&String::from_utf8_lossy(&part.bytes))?;
        }
        if part.more {
            self.continues = Some(part.number + 1);
            return Ok(());
        }
        self.end(part.cut)
    }

    fn begin(&mut self, head: &Head, field: &str) -> std::io::Result<()> {
        let Head { sequence, attempt, time, stderr } = head;
        let (time, stream) = (time.to_jiff(), if *stderr { "stderr" } else { "stdout" });
        write!(self.out, r#"{{"sequence":{sequence},"attempt":{attempt},"time":"{time}","stream":"{stream}","{field}":""#)
    }

    fn text(&mut self, text: &str) -> std::io::Result<()> {
        let quoted = serde_json::to_string(text)?;
        self.out.write_all(&quoted.as_bytes()[1..quoted.len() - 1])
    }

    fn end(&mut self, cut: bool) -> std::io::Result<()> {
        self.out.write_all(if cut { b"\",\"cut\":true}\n" } else { b"\"}\n" })
    }

    /// Ends a line whose rest is missing: a crash came between its parts.
    fn break_off(&mut self) -> std::io::Result<()> {
        if self.continues.take().is_some() { self.end(true) } else { Ok(()) }
    }

    fn finish(mut self) -> std::io::Result<Vec<u8>> {
        self.break_off()?;
        self.out.finish()
    }
}
