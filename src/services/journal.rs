//! ListJournalEntries and ExportRun: a journal by pages, and as a file.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tonic::Status;
use uuid::Uuid;

use super::run_file::Export;
use super::{Services, Streamed};
use crate::domain::{Cursor, Error, Result, RunId, Sequence};
use crate::journal::PageOf;
use crate::proto::v1;
use crate::rpc::convert::{entry, entry_filter};
use crate::rpc::{Fields, PageTokens, TraceId, status};

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
