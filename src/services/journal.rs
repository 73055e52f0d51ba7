//! ListJournalEntries and ExportRun: a journal by pages, and as a file.

use std::collections::HashSet;
use std::io::Write as _;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tonic::Status;
use uuid::Uuid;

use super::{Services, Streamed};
use crate::domain::{Cursor, EntryKind, Error, JournalEntry, Result, RunId, Sequence};
use crate::journal::{Journal, PageOf};
use crate::proto::v1;
use crate::rpc::convert::{entry, entry_filter};
use crate::rpc::{Fields, PageTokens, TraceId, status};

/// The most of the file that one message holds.
const PIECE: usize = 64 * 1024;
/// What is stored of a line at most; a longer one was cut there.
const KEPT_OF_LINE: usize = 64 * 1024;
const LEVEL: i32 = 3;

impl Services {
    pub(super) async fn entries(&self, request: &v1::ListJournalEntriesRequest) -> Result<v1::ListJournalEntriesResponse> {
        let run: RunId = Fields::id("run_id", &request.run_id)?;
        let (page, tokens) = PageTokens::read(request)?;
        let (filter, mut between) = entry_filter(request)?;
        self.find_run(run).await?;
        let journal = &self.rooms.journal;
        // A token has where the page before ended, and how many entries matched when the first one was read.
        let known = page.after.map(|after| (sequence(after.key), sequence(i64::try_from(after.id.as_u128()).unwrap_or(0))));
        let counts = filter.query.is_some() && known.is_none();
        let (count, calls) = if counts || filter.tool_name.is_some() { journal.survey(run, &filter).await? } else { (0, HashSet::new()) };
        let match_count = known.map_or(if counts { count } else { 0 }, |(_, count)| count);
        if let Some((last, _)) = known {
            *(if request.newest_first { &mut between.end } else { &mut between.start }) = last;
        }
        let (newest_first, raw) = (request.newest_first, request.include_raw);
        let wanted = PageOf { after: between.start, before: between.end, newest_first, raw, size: page.size as usize };
        let found = journal.page(run, &filter, &calls, wanted).await?;
        let last = found.entries.last().filter(|_| found.more);
        let next = last.map(|last| Cursor { key: last.sequence.into(), id: Uuid::from_u128(u128::try_from(match_count).unwrap_or(0)) });
        Ok(v1::ListJournalEntriesResponse {
            entries: found.entries.iter().map(|found| entry(found, raw)).collect(),
            next_page_token: tokens.next(next),
            match_count,
        })
    }

    pub(super) async fn export_lines(&self, request: &v1::ExportRunRequest) -> Result<Streamed<v1::ExportRunResponse>> {
        let run: RunId = Fields::id("run_id", &request.run_id)?;
        self.find_run(run).await?;
        let trace = TraceId::current();
        let told = move |error: Error| -> Status { status(&error, &trace) };
        let export = Export::new(run, self.rooms.journal.clone())?;
        let pieces = stream::try_unfold(export, |mut export| async move { Ok(export.next().await?.map(|piece| (piece, export))) });
        Ok(pieces.map_err(told).boxed())
    }
}

fn sequence(number: i64) -> Sequence {
    Sequence::try_from(number).unwrap_or(0)
}

/// The file of a run as it is made: a page of the journal at a time, compressed as it goes.
struct Export {
    run: RunId,
    journal: Journal,
    after: Sequence,
    /// None: everything was compressed.
    encoder: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    ready: Bytes,
    offset: i64,
}

impl Export {
    fn new(run: RunId, journal: Journal) -> Result<Self> {
        let encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL).map_err(Error::internal)?;
        Ok(Self { run, journal, after: 0, encoder: Some(encoder), ready: Bytes::new(), offset: 0 })
    }

    async fn next(&mut self) -> Result<Option<v1::ExportRunResponse>> {
        while self.ready.is_empty() {
            let Some(encoder) = &mut self.encoder else { return Ok(None) };
            let page = self.journal.whole_page(self.run, self.after).await?;
            for entry in &page {
                if let Some(line) = line(entry) {
                    serde_json::to_writer(&mut *encoder, &line).map_err(Error::internal)?;
                    encoder.write_all(b"\n").map_err(Error::internal)?;
                }
            }
            self.after = page.last().map_or(self.after, |last| last.sequence);
            if page.is_empty() {
                let encoder = self.encoder.take().ok_or_else(|| Error::internal("the encoder is gone"))?;
                self.ready = encoder.finish().map_err(Error::internal)?.into();
            } else if encoder.get_ref().len() >= PIECE {
                self.ready = std::mem::take(encoder.get_mut()).into();
            }
        }
        let data = self.ready.split_to(self.ready.len().min(PIECE));
        let offset = self.offset;
        self.offset += i64::try_from(data.len()).unwrap_or(0);
        Ok(Some(v1::ExportRunResponse { offset, data }))
    }
}

/// What an entry keeps of the agent's output; an entry of ours keeps nothing.
fn line(entry: &JournalEntry) -> Option<serde_json::Value> {
    let (stream, line) = match &entry.kind {
        EntryKind::Stderr { text } => ("stderr", text),
        _ if !entry.raw.is_empty() => ("stdout", &entry.raw),
        _ => return None,
    };
    let time = entry.time.to_jiff().to_string();
    let mut told = json!({ "sequence": entry.sequence, "attempt": entry.attempt, "time": time, "stream": stream, "line": line });
    // What was longer than is stored says so.
    if entry.truncated || (stream == "stdout" && line.len() >= KEPT_OF_LINE) {
        told["cut"] = true.into();
    }
    Some(told)
}
