//! Runs that other servers work on: read by one query for all of them, and the blocks of our own shown to others.
//!
//! The rows are the truth. A reader misses nothing that way, and hears of it within a look.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Journal;
use crate::domain::{LeaseId, OpenBlock, Result, RunId};
use crate::queue::Lease;

/// How often runs of other servers are looked at, and how often when nothing happens in them.
const LOOK: Duration = Duration::from_millis(100);
const IDLE_LOOK: Duration = Duration::from_millis(200);
/// How long a database that does not answer is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// Blocks of this server are shown at most this often.
const SHOW: Duration = Duration::from_millis(50);
/// A longer block is shown when it is an entry.
const MOST_BLOCK_BYTES: usize = 256 * 1024;

/// Blocks that are to be shown to other servers: of each run only the newest.
#[derive(Debug, Default)]
pub(super) struct Shown {
    waiting: Mutex<HashMap<RunId, (LeaseId, Option<OpenBlock>)>>,
    changed: Notify,
}

impl Shown {
    /// The block of this run is this one now.
    pub(super) fn put(&self, lease: &Lease, block: Option<OpenBlock>) {
        if block.as_ref().is_some_and(|block| block.text.len() > MOST_BLOCK_BYTES) {
            return;
        }
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(lease.run_id, (lease.id, block));
        self.changed.notify_one();
    }

    fn take(&self) -> Vec<(RunId, LeaseId, Option<OpenBlock>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.drain().map(|(run, (lease, block))| (run, lease, block)).collect()
    }
}

impl Journal {
    /// Follows what other servers write, and shows them what ours are writing, until `stop`. Ends at once where the
    /// database is this server's alone.
    pub async fn exchange(self, stop: CancellationToken) {
        let Some(shown) = self.shown.clone() else { return };
        let show = async {
            loop {
                shown.changed.notified().await;
                if let Err(error) = self.store.show_blocks(shown.take()).await {
                    // The next one of each run brings all of it again.
                    tracing::debug!(%error, "blocks being written cannot be shown to other servers");
                }
                tokio::time::sleep(SHOW).await;
            }
        };
        let look = async {
            loop {
                let pause = match self.look().await {
                    Ok(true) => LOOK,
                    Ok(false) => IDLE_LOOK,
                    Err(error) => {
                        tracing::debug!(%error, "runs of other servers cannot be followed");
                        PAUSE
                    }
                };
                tokio::select! { () = tokio::time::sleep(pause) => {}, () = self.hub.joined() => {} }
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = show => {}, () = look => {} }
    }

    /// One look at all runs of other servers that somebody reads here. True: there are such runs.
    async fn look(&self) -> Result<bool> {
        let watched = self.hub.watched();
        if watched.is_empty() {
            return Ok(false);
        }
        let (known, seen): (Vec<_>, HashMap<RunId, Option<_>>) =
            watched.into_iter().map(|(known, last)| (known.clone(), (known.run, last))).unzip();
        let news = self.store.journal_news(&known).await?;
        let behind: Vec<_> = news
            .iter()
            .filter_map(|news| {
                let last = seen.get(&news.run).copied().flatten()?;
                (last < news.last).then_some((news.run, last + 1))
            })
            .collect();
        let mut tails = self.store.journal_tails(&behind).await?;
        for news in news {
            let entries = tails.remove(&news.run).unwrap_or_default();
            self.hub.heard(news, entries);
        }
        Ok(true)
    }
}
