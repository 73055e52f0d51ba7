//! One watched list: what there is, then what changes.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{BATCH, Batch, Listed};
use crate::domain::{Error, Result};
use crate::store::Store;
use crate::store::changes::Place;

/// A silent stream gives a sign of life this often.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Listed rows that may still change, remembered so that each is told once more when it leaves the list. Beyond it every
/// change is told: a reader who does not have the row loses nothing by it.
const REMEMBERED: usize = 20_000;

/// What a watched list tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Update<T> {
    /// A row as it is now.
    Row(Arc<T>),
    /// Everything that was there at the beginning was told.
    SnapshotComplete,
    /// Nothing for ten seconds.
    Heartbeat,
}

/// One watched list. Its place among the lists is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct List<T: Listed> {
    store: Arc<Store>,
    stop: CancellationToken,
    heard: broadcast::Receiver<Arc<Batch<T>>>,
    /// Everything up to here was heard.
    place: Place,
    filter: T::Filter,
    /// Rows that were told and may yet leave the list.
    listed: HashSet<Uuid>,
    /// To be told next.
    next: VecDeque<Update<T>>,
    /// More was told than this reader kept up with: it reads on by itself, these rows first.
    behind: bool,
    missed: Vec<Uuid>,
    /// When something was told last.
    told: Instant,
    ended: bool,
    _seat: OwnedSemaphorePermit,
}

impl<T: Listed> List<T> {
    pub(super) fn new(
        store: Arc<Store>,
        stop: CancellationToken,
        (heard, place): (broadcast::Receiver<Arc<Batch<T>>>, Place),
        (filter, newest): (T::Filter, Vec<T>),
        seat: OwnedSemaphorePermit,
    ) -> Self {
        let (listed, next, missed) = (HashSet::new(), VecDeque::with_capacity(newest.len() + 1), Vec::new());
        let (behind, told, ended) = (false, Instant::now(), false);
        let mut list = Self { store, stop, heard, place, filter, listed, next, behind, missed, told, ended, _seat: seat };
        for row in newest.into_iter().rev().map(Arc::new) {
            list.take(row);
        }
        list.next.push_back(Update::SnapshotComplete);
        list
    }

    /// The next thing to tell; none after the end. A server that stops ends it with `Draining`.
    pub(crate) async fn next(&mut self) -> Option<Result<Update<T>>> {
        while !self.ended {
            if let Some(update) = self.next.pop_front() {
                self.told = Instant::now();
                return Some(Ok(update));
            }
            if let Err(error) = self.step().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
        None
    }

    /// Waits for something to tell, or reads what was missed.
    async fn step(&mut self) -> Result<()> {
        if self.behind {
            return self.read_on().await;
        }
        let heard = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Error::Draining),
            heard = self.heard.recv() => heard,
            () = tokio::time::sleep_until(self.told + HEARTBEAT) => {
                self.next.push_back(Update::Heartbeat);
                return Ok(());
            }
        };
        match heard {
            Ok(batch) => {
                batch.rows.iter().for_each(|row| self.take(Arc::clone(row)));
                self.place = batch.next.clone();
            }
            Err(broadcast::error::RecvError::Lagged(_)) => {
                // Heard again from here on, before what was missed is read: some may be told twice, nothing is left out.
                self.heard = self.heard.resubscribe();
                self.behind = true;
            }
            Err(broadcast::error::RecvError::Closed) => return Err(Error::Draining),
        }
        Ok(())
    }

    /// Puts a row among what is told, if it belongs there.
    fn take(&mut self, row: Arc<T>) {
        if !row.belongs(&self.filter) {
            return;
        }
        let (id, fits) = (row.id(), row.fits(&self.filter));
        let was_listed = self.listed.contains(&id) || self.listed.len() >= REMEMBERED;
        if fits && !row.is_final() && self.listed.len() < REMEMBERED {
            self.listed.insert(id);
        } else {
            self.listed.remove(&id);
        }
        if fits || was_listed {
            self.next.push_back(Update::Row(row));
        }
    }

    /// Reads a few of the rows that were missed; the others stay in the database until these are told.
    async fn read_on(&mut self) -> Result<()> {
        if self.missed.is_empty() {
            let look = self.store.changed(T::WATCHED, &mut self.place).await?;
            (self.missed, self.behind) = (look.ids, look.more);
        }
        let some = self.missed.split_off(self.missed.len().saturating_sub(BATCH));
        for row in T::now(&self.store, &some).await? {
            self.take(Arc::new(row));
        }
        self.behind |= !self.missed.is_empty();
        Ok(())
    }
}
