//! From batches to the journal: one is written while the next is gathered. While the database does not take what an agent
//! says, it is kept on disk, and follows in order.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::spool::Spool;
use crate::domain::Result;
use crate::journal::{Journal, LinePart, NewEntry};
use crate::metrics;
use crate::queue::Lease;

/// A batch that takes longer than this to write: the database is away.
const AWAY_AFTER: Duration = Duration::from_secs(1);

/// What is gathered before it is written.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<NewEntry>,
    /// Lines that no entry holds whole.
    pub(super) parts: Vec<LinePart>,
    pub(super) first_read: Option<Instant>,
    /// When the first of its lines was read.
    pub(super) first_part: Option<Instant>,
    pub(super) closes: Option<u64>,
    pub(super) written: Option<oneshot::Sender<()>>,
}

/// What is to be written of a batch.
type Told = (Vec<NewEntry>, Vec<LinePart>);

impl Batch {
    fn take(&mut self) -> Told {
        (std::mem::take(&mut self.entries), std::mem::take(&mut self.parts))
    }
}

/// Writes the batches of one attempt.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) journal: Journal,
    pub(super) lease: Lease,
    /// Where a spool may be, while the database is away, and how much it takes.
    pub(super) dir: PathBuf,
    pub(super) spool_limit: u64,
    pub(super) lost: CancellationToken,
    /// Counts the blocks that were shown while they were written.
    pub(super) open_count: Arc<AtomicU64>,
}

impl Writer {
    /// Writes what comes until nothing more does. Errors: the lease or the journal is lost.
    pub(super) async fn run(self, mut batches: mpsc::Receiver<Batch>) -> Result<()> {
        // However this ends, whoever waits for the journal must learn of it.
        let _guard = self.lost.clone().drop_guard();
        while let Some(batch) = batches.recv().await {
            self.write(batch, &mut batches).await?;
        }
        Ok(())
    }

    /// Writes a batch. While the database does not take it, what comes after it goes to disk and follows in order, so that
    /// the agent goes on.
    async fn write(&self, mut batch: Batch, batches: &mut mpsc::Receiver<Batch>) -> Result<()> {
        let (entries, parts) = batch.take();
        let (mut done, mut later) = (vec![batch], Later::default());
        {
            let mut writing = pin!(self.journal.append_batch(&self.lease, entries, parts));
            let mut away = pin!(tokio::time::sleep(AWAY_AFTER));
            loop {
                tokio::select! {
                    biased;
                    written = &mut writing => {
                        written?;
                        break;
                    }
                    () = &mut away, if !later.wanted => later.wanted = true,
                    more = batches.recv(), if later.has_room() => match more {
                        Some(mut more) => {
                            later.take(self, more.take()).await;
                            done.push(more);
                        }
                        None => later.closed = true,
                    }
                }
            }
        }
        if let Some(mut spool) = later.spool {
            spool.rewind().await?;
            while let Some((entries, parts)) = spool.next().await? {
                self.journal.append_batch(&self.lease, entries, parts).await?;
            }
        }
        if let Some((entries, parts)) = later.held {
            self.journal.append_batch(&self.lease, entries, parts).await?;
        }
        done.into_iter().for_each(|batch| self.written(batch));
        Ok(())
    }

    /// What is to be done once a batch is written.
    fn written(&self, batch: Batch) {
        if let Some(first) = batch.first_read {
            metrics::journaled(first.elapsed());
        }
        // The block is an entry now; unless the next one is shown already.
        if batch.closes.is_some_and(|closed| closed == self.open_count.load(Ordering::Relaxed)) {
            self.journal.open_block(&self.lease, None);
        }
        batch.written.map(|written| written.send(()));
    }
}

/// What comes while a batch cannot be written.
#[derive(Debug, Default)]
struct Later {
    /// The database has been away for long enough.
    wanted: bool,
    /// Nothing more comes.
    closed: bool,
    spool: Option<Spool>,
    /// A batch that the disk did not take; nothing more is taken then.
    held: Option<Told>,
}

impl Later {
    fn has_room(&self) -> bool {
        self.wanted && !self.closed && self.held.is_none() && self.spool.as_ref().is_none_or(Spool::has_room)
    }

    async fn take(&mut self, writer: &Writer, told: Told) {
        let kept = async {
            let mut spool = match self.spool.take() {
                Some(spool) => spool,
                None => Spool::new(&writer.dir, writer.spool_limit).await?,
            };
            let pushed = spool.push(&told.0, &told.1).await;
            self.spool = Some(spool);
            pushed
        };
        let run = writer.lease.run_id;
        if let Err(error) = kept.await {
            tracing::warn!(run.id = %run, %error, "what a run says cannot be kept on disk; its agent waits for the database");
            self.held = Some(told);
        } else if !self.has_room() {
            let limit_bytes = writer.spool_limit;
            tracing::warn!(run.id = %run, limit_bytes, "as much as may be kept on disk of a run is; its agent waits for the database");
        }
    }
}
