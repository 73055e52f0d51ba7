//! Journals: entries in, pages of entries out.

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::entity::{journal_chunk, run};
use super::journal_chunks::{NewChunk, insert_chunk, take_sequences};
use super::payload::Metered;
use super::{Store, chunk};
use crate::domain::{EntryKind, Error, JournalEntry, LeaseId, Result, RunId, Sequence};
use crate::fail_point;

/// Chunks that one page reads at most: those of a slow run are small.
const PAGE_CHUNKS: u64 = 32;
/// A page ends with the chunk that goes past this.
const PAGE_BYTES: i64 = 256 * 1024;

/// What the newest of these entries that tells of it says of the cost of their attempt.
fn metered(entries: &[JournalEntry]) -> Option<Metered> {
    entries.iter().rev().find_map(|entry| match entry.kind {
        EntryKind::Usage { usage, context_tokens, context_window_tokens } => {
            Some(Metered { attempt: entry.attempt, usage, context_tokens, context_window_tokens })
        }
        _ => None,
    })
}

impl Store {
    /// The sequence that the run's next entry gets. Errors: `Fenced`.
    pub(crate) async fn next_sequence(&self, run: RunId, lease: LeaseId) -> Result<Sequence> {
        let next: Option<Sequence> = run::Entity::find_by_id(run.0)
            .select_only()
            .column(run::Column::NextSequence)
            .filter(run::Column::LeaseId.eq(lease.0))
            .into_tuple()
            .one(self.read())
            .await?;
        next.ok_or(Error::Fenced)
    }

    /// Stores entries under this lease as one chunk, if their sequences are still the next ones. Errors: `Fenced`.
    pub(crate) async fn append_entries(&self, run: RunId, lease: LeaseId, entries: &[JournalEntry]) -> Result<bool> {
        let Some(newest) = entries.last() else { return Ok(true) };
        let chunk = NewChunk {
            count: newest.sequence - entries[0].sequence + 1,
            attempt: newest.attempt,
            raw_bytes: entries.iter().map(|entry| i64::try_from(chunk::weight(entry)).unwrap_or(i64::MAX)).sum(),
            body: chunk::encode(entries),
        };
        let tx = self.begin().await?;
        match take_sequences(&tx, run, lease, chunk.count, metered(entries).as_ref()).await? {
            None => Err(Error::Fenced),
            Some(first) if first == entries[0].sequence => {
                insert_chunk(&tx, run, first, chunk).await?;
                fail_point::pass("journal", "written");
                tx.commit().await?;
                fail_point::pass("journal", "committed");
                Ok(true)
            }
            Some(_) => Ok(false),
        }
    }

    /// Whether these entries stand in the journal as one chunk at their sequences.
    pub(crate) async fn chunk_stands(&self, run: RunId, entries: &[JournalEntry]) -> Result<bool> {
        let Some(first) = entries.first() else { return Ok(true) };
        let there = journal_chunk::Entity::find_by_id((run.0, first.sequence)).one(self.read()).await?;
        Ok(there.is_some_and(|row| row.body == chunk::encode(entries)))
    }

    /// Entries from `next` on, or from the first one after it that is kept; empty: there are none.
    pub(crate) async fn journal_page(&self, run: RunId, next: Sequence) -> Result<Vec<JournalEntry>> {
        use journal_chunk::Column;
        let of_run = || journal_chunk::Entity::find().filter(Column::RunId.eq(run.0));
        let holder: Option<Sequence> = of_run()
            .filter(Column::FirstSequence.lte(next))
            .order_by_desc(Column::FirstSequence)
            .select_only()
            .column(Column::FirstSequence)
            .into_tuple()
            .one(self.read())
            .await?;
        let chunks = of_run()
            .filter(Column::FirstSequence.gte(holder.unwrap_or(next)))
            .order_by_asc(Column::FirstSequence)
            .limit(PAGE_CHUNKS)
            .all(self.read())
            .await?;
        page(chunks, |entry| entry.sequence >= next)
    }

    /// Entries before `before`, newest first; empty: there are none.
    pub(crate) async fn journal_page_before(&self, run: RunId, before: Sequence) -> Result<Vec<JournalEntry>> {
        use journal_chunk::Column;
        let chunks = journal_chunk::Entity::find()
            .filter(Column::RunId.eq(run.0))
            .filter(Column::FirstSequence.lt(before))
            .order_by_desc(Column::FirstSequence)
            .limit(PAGE_CHUNKS)
            .all(self.read())
            .await?;
        // Within a chunk they are oldest first.
        let mut page = page(chunks, |entry| entry.sequence < before)?;
        page.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.sequence));
        Ok(page)
    }
}

/// The entries of these chunks that are wanted, up to the size of a page.
fn page(chunks: Vec<journal_chunk::Model>, wanted: impl Fn(&JournalEntry) -> bool) -> Result<Vec<JournalEntry>> {
    let (mut bytes, mut page) = (0, Vec::new());
    for chunk in chunks {
        if bytes > PAGE_BYTES {
            break;
        }
        let before = page.len();
        page.extend(chunk::decode(&chunk.body)?.into_iter().filter(&wanted));
        bytes += if page.len() > before { chunk.raw_bytes } else { 0 };
    }
    Ok(page)
}
