//! What happens in runs that other servers work on: asked for many runs at once.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, QueryResult, Value};
use uuid::Uuid;

use super::sql::{placeholders, statement};
use super::{Store, chunk};
use crate::domain::{JournalEntry, LeaseId, OpenBlock, Result, RunId, Sequence};

/// Chunks that one look reads at most; the rest comes with the next one.
const MOST_CHUNKS: usize = 64;

/// What a reader knows of a run.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) run: RunId,
    /// The block being written, by its id, and how many bytes of it.
    pub(crate) block: Option<(String, usize)>,
}

/// What there is to know of a run now.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) run: RunId,
    /// Its newest entry.
    pub(crate) last: Sequence,
    pub(crate) status: String,
    pub(crate) block: BlockNews,
}

/// What became of the block being written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BlockNews {
    /// There is none.
    None,
    /// It is as it was.
    Same,
    /// It is this one now.
    Now(OpenBlock),
}

impl Store {
    /// What is new in these runs, in one query.
    pub(crate) async fn journal_news(&self, known: &[Known]) -> Result<Vec<News>> {
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "WITH v (id, block, size) AS (VALUES {}) SELECT r.id, r.next_sequence - 1, r.status, b.block_id, b.thinking, \
             CASE WHEN b.block_id <> v.block OR octet_length(b.body) <> v.size THEN b.body END \
             FROM v JOIN runs r ON r.id = v.id LEFT JOIN open_blocks b ON b.run_id = r.id AND b.lease_id = r.lease_id",
            placeholders(known.len(), 3)
        );
        let row = |known: &Known| -> [Value; 3] {
            let (id, size) = known.block.clone().unwrap_or_default();
            [known.run.0.into(), id.into(), i32::try_from(size).unwrap_or(i32::MAX).into()]
        };
        let values = known.iter().flat_map(row).collect();
        let rows = self.read().query_all_raw(statement(self.backend(), text, values)).await?;
        rows.iter().map(news).collect()
    }

    /// The entries of these runs from each one's sequence on, in one query; of each the oldest, if they are many.
    pub(crate) async fn journal_tails(&self, from: &[(RunId, Sequence)]) -> Result<HashMap<RunId, Vec<JournalEntry>>> {
        let mut tails: HashMap<RunId, Vec<JournalEntry>> = HashMap::new();
        if from.is_empty() {
            return Ok(tails);
        }
        let text = format!(
            "WITH v (id, next) AS (VALUES {}) SELECT c.run_id, c.body FROM v JOIN journal_chunks c ON c.run_id = v.id \
             AND c.first_sequence >= v.next ORDER BY c.run_id, c.first_sequence LIMIT {MOST_CHUNKS}",
            placeholders(from.len(), 2)
        );
        let values = from.iter().flat_map(|(run, next)| -> [Value; 2] { [run.0.into(), (*next).into()] }).collect();
        for row in self.read().query_all_raw(statement(self.backend(), text, values)).await? {
            let (run, body): (Uuid, Vec<u8>) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
            tails.entry(RunId(run)).or_default().extend(chunk::decode(&body)?);
        }
        Ok(tails)
    }

    /// Shows the blocks that runs of this server are writing, and takes back those that are done; one statement each.
    pub(crate) async fn show_blocks(&self, blocks: Vec<(RunId, LeaseId, Option<OpenBlock>)>) -> Result<()> {
        let (open, done): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|(_, _, block)| block.is_some());
        if !open.is_empty() {
            let text = format!(
                "INSERT INTO open_blocks (run_id, lease_id, block_id, thinking, body) VALUES {} ON CONFLICT (run_id) DO UPDATE SET \
                 lease_id = excluded.lease_id, block_id = excluded.block_id, thinking = excluded.thinking, body = excluded.body",
                placeholders(open.len(), 5)
            );
            let row = |(run, lease, block): (RunId, LeaseId, Option<OpenBlock>)| -> Vec<Value> {
                let Some(block) = block else { return Vec::new() };
                // PostgreSQL stores no NUL in text; none belongs into a text that people read.
                let body = block.text.replace('\0', "\u{fffd}");
                vec![run.0.into(), lease.0.into(), block.block_id.into(), block.thinking.into(), body.into()]
            };
            let values = open.into_iter().flat_map(row).collect();
            self.write().execute_raw(statement(self.backend(), text, values)).await?;
        }
        if !done.is_empty() {
            let text = format!(
                "WITH v (id, lease) AS (VALUES {}) DELETE FROM open_blocks USING v WHERE run_id = v.id AND lease_id = v.lease",
                placeholders(done.len(), 2)
            );
            let values = done.into_iter().flat_map(|(run, lease, _)| -> [Value; 2] { [run.0.into(), lease.0.into()] }).collect();
            self.write().execute_raw(statement(self.backend(), text, values)).await?;
        }
        Ok(())
    }
}

fn news(row: &QueryResult) -> Result<News> {
    let block = match (row.try_get_by_index::<Option<String>>(3)?, row.try_get_by_index::<Option<String>>(5)?) {
        (None, _) => BlockNews::None,
        (Some(_), None) => BlockNews::Same,
        (Some(block_id), Some(text)) => {
            BlockNews::Now(OpenBlock { block_id, thinking: row.try_get_by_index::<Option<bool>>(4)?.unwrap_or(false), text })
        }
    };
    Ok(News { run: RunId(row.try_get_by_index(0)?), last: row.try_get_by_index(1)?, status: row.try_get_by_index(2)?, block })
}
