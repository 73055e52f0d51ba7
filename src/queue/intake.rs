//! The one task that stores deliveries: what arrives while a transaction commits goes into the next one together.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::batch::{self, Prepared};
use super::{Accepted, Foreseen, NewDelivery, Queue};
use crate::domain::{Error, Result};
use crate::metrics;

/// Deliveries that may wait for the writer; further callers wait before it.
pub(super) const WAITING_ROOM: usize = 1024;
/// Deliveries in one transaction.
const BATCH: usize = 128;
/// Bytes of bodies in one transaction; a single larger one goes alone.
const BATCH_BYTES: usize = 1 << 20;

/// A delivery on its way to the writer.
#[derive(Debug)]
pub(super) struct Incoming {
    prepared: Prepared,
    answer: oneshot::Sender<Result<Accepted>>,
}

impl Queue {
    /// T1: stores a delivery and what it causes in one group-committed transaction. Returns after the commit.
    pub async fn accept(&self, delivery: NewDelivery) -> Result<Accepted> {
        let (answer, answered) = oneshot::channel();
        let incoming = Incoming { prepared: Prepared::new(delivery), answer };
        self.inner.intake.send(incoming).await.map_err(|_| Error::Draining)?;
        answered.await.map_err(|_| Error::Draining)?
    }

    /// What would become of a delivery if it were accepted now. Errors: as those of [`Queue::accept`].
    pub async fn foresee(&self, delivery: &NewDelivery) -> Result<Foreseen> {
        batch::foresee(self, delivery).await
    }
}

/// Stores deliveries until `stop`, and those that wait then.
pub(super) async fn write(queue: Queue, mut incoming: mpsc::Receiver<Incoming>, stop: CancellationToken) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !incoming.is_closed() => incoming.close(),
            count = incoming.recv_many(&mut waiting, BATCH) => if count == 0 { return },
        }
        while !waiting.is_empty() {
            let rest = waiting.split_off(fitting(&waiting));
            store(&queue, std::mem::replace(&mut waiting, rest)).await;
        }
    }
}

/// How many of these go into one transaction; at least one.
fn fitting(waiting: &[Incoming]) -> usize {
    let mut bytes = 0;
    waiting
        .iter()
        .position(|one| {
            bytes += one.prepared.bytes();
            bytes > BATCH_BYTES
        })
        .map_or(waiting.len(), |over| over.max(1))
}

/// Stores a batch; when that fails, each by itself, so that one bad row harms nobody else.
async fn store(queue: &Queue, batch: Vec<Incoming>) {
    let (prepared, answers): (Vec<Prepared>, Vec<_>) = batch.into_iter().map(|one| (one.prepared, one.answer)).unzip();
    metrics::intake_batch(prepared.len());
    let outcomes = match batch::store(queue, &prepared).await {
        Ok(outcomes) => outcomes,
        Err(error) if prepared.len() == 1 => vec![Err(error)],
        // Nothing is wrong with any of them: one by one they would only wait for each other.
        Err(Error::StoreUnavailable(why)) => prepared.iter().map(|_| Err(Error::StoreUnavailable(why.clone()))).collect(),
        Err(error) => {
            tracing::warn!(%error, deliveries = prepared.len(), "intake batch failed, its deliveries are stored one by one");
            let mut outcomes = Vec::with_capacity(prepared.len());
            for one in prepared.chunks(1) {
                outcomes.push(batch::store(queue, one).await.and_then(|mut outcome| outcome.pop().unwrap_or(Err(Error::Draining))));
            }
            outcomes
        }
    };
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // A caller that has gone away loses its answer only: the delivery is stored.
        let _ = answer.send(outcome);
    }
}
