//! Journals by pages, filtered and searched here, so that a reader gets only what it asked for.

use std::collections::HashSet;

use super::{Journal, LinePart, LinesPlace, chunk};
use crate::domain::{EntryFilter, EntryKind, JournalEntry, Result, RunId, Sequence};

/// Matches are counted so far.
const MOST_COUNTED: i32 = 10_000;
/// A page ends with the entry that goes past this.
const PAGE_BYTES: usize = 768 * 1024;

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageOf {
    /// Only entries after this one.
    pub after: Sequence,
    /// Only entries before this one.
    pub before: Sequence,
    /// Whether the newest comes first.
    pub newest_first: bool,
    /// Whether raw lines travel along, and count.
    pub raw: bool,
    /// At most so many entries.
    pub size: usize,
}

/// One page.
#[derive(Debug, PartialEq)]
pub struct EntryPage {
    /// The entries, in the order asked for.
    pub entries: Vec<JournalEntry>,
    /// Whether there may be more.
    pub more: bool,
}

impl Journal {
    /// How many entries match, counted up to 10,000, and the ids of the calls of the wanted tool: all of the journal is read.
    pub async fn survey(&self, run: RunId, filter: &EntryFilter) -> Result<(i32, HashSet<String>)> {
        let (mut count, mut calls, mut next) = (0, HashSet::new(), 1);
        loop {
            let page = self.store.journal_page(run, next).await?;
            let Some(last) = page.last() else { return Ok((count, calls)) };
            next = last.sequence + 1;
            for entry in page {
                if let (Some(wanted), EntryKind::ToolCall { tool_use_id, name, .. }) = (&filter.tool_name, &entry.kind)
                    && name == wanted
                {
                    calls.insert(tool_use_id.clone());
                }
                if count < MOST_COUNTED && filter.wants(&entry, &calls) {
                    count += 1;
                }
            }
            if count == MOST_COUNTED && filter.tool_name.is_none() {
                return Ok((count, calls));
            }
        }
    }

    /// The next entries, as many as the store reads at once; empty: there are none.
    pub async fn whole_page(&self, run: RunId, after: Sequence) -> Result<Vec<JournalEntry>> {
        self.store.journal_page(run, after.saturating_add(1)).await
    }

    /// The next lines that no entry holds whole, and their place; none: there are no more.
    pub(crate) async fn lines_after(&self, run: RunId, after: LinesPlace) -> Result<Option<(LinesPlace, Vec<LinePart>)>> {
        self.store.lines_after(run, after).await
    }

    /// The next entries that match.
    pub async fn page(&self, run: RunId, filter: &EntryFilter, calls: &HashSet<String>, wanted: PageOf) -> Result<EntryPage> {
        let PageOf { mut after, mut before, newest_first, raw, size } = wanted;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        loop {
            let found = if newest_first {
                self.store.journal_page_before(run, before).await?
            } else {
                self.store.journal_page(run, after.saturating_add(1)).await?
            };
            let Some(last) = found.last().map(|entry| entry.sequence) else { return Ok(EntryPage { entries, more: false }) };
            for entry in found {
                if entry.sequence <= after || entry.sequence >= before {
                    return Ok(EntryPage { entries, more: false });
                }
                if !filter.wants(&entry, calls) {
                    continue;
                }
                if entries.len() == size || bytes > PAGE_BYTES {
                    return Ok(EntryPage { entries, more: true });
                }
                bytes += chunk::weight(&entry) - if raw { 0 } else { entry.raw.len() };
                entries.push(entry);
            }
            if newest_first { before = last } else { after = last }
        }
    }
}
