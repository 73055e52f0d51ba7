//! T1: a batch of deliveries in one transaction of a few set statements. What becomes of each is decided in memory, in
//! order of arrival, between the reads and the writes.

mod decide;
mod load;
mod plan;
mod write;

use super::transaction::transaction;
use super::{Accepted, Disposition, Foreseen, NewDelivery, Queue, claim};
use crate::domain::{Result, SessionId, UnixMicros};
use crate::store::payload::{headers_to, walk_to};

/// A delivery with all the work done that needs no transaction.
#[derive(Debug)]
pub(super) struct Prepared {
    delivery: NewDelivery,
    headers: Vec<u8>,
    walk: Vec<u8>,
}

impl Prepared {
    pub(super) fn new(delivery: NewDelivery) -> Self {
        let (headers, walk) = (headers_to(&delivery.headers), walk_to(&delivery.walk));
        Self { delivery, headers, walk }
    }

    /// About how much it adds to a transaction.
    pub(super) fn bytes(&self) -> usize {
        self.headers.len() + self.delivery.body_zstd.as_ref().map_or(0, Vec::len)
    }
}

/// Stores deliveries and what they cause; one outcome each, in their order. An error of the whole: nothing is stored.
///
/// Places that the worker offers are filled in the same transaction.
pub(super) async fn store(queue: &Queue, batch: &[Prepared]) -> Result<Vec<Result<Accepted>>> {
    let figures = queue.figures().await?;
    let held = queue.inner.standby.hold();
    let stored = transaction!(queue, "accept", tx => {
        let mut plan = load::plan(tx, batch, &figures, UnixMicros::now()).await?;
        let outcomes = batch.iter().enumerate().map(|(index, one)| plan.decide(index, &one.delivery)).collect::<Vec<_>>();
        write::all(tx, &plan, batch).await?;
        let queued = plan.runs.len();
        let taken = match held {
            Some(held) if queued > 0 => claim::within(tx, held.worker, held.places).await?,
            _ => Vec::new(),
        };
        Ok((outcomes, queued, taken))
    });
    let (outcomes, queued, taken) = match stored {
        Ok((outcomes, queued, taken)) => (Ok(outcomes), queued, taken),
        Err(error) => (Err(error), 0, Vec::new()),
    };
    let waiting = queued.saturating_sub(taken.len());
    if let Some(held) = held {
        queue.inner.standby.fill(held, taken);
    }
    if queued > 0 {
        queue.count_queued(queued);
    }
    if waiting > 0 {
        queue.hint_work();
    }
    outcomes
}

/// What would become of a delivery: decided as [`store`] does, and nothing written.
pub(super) async fn foresee(queue: &Queue, delivery: &NewDelivery) -> Result<Foreseen> {
    let figures = queue.figures().await?;
    let prepared = Prepared::new(NewDelivery { body_zstd: None, ..delivery.clone() });
    let now = UnixMicros::now();
    // What is read takes its locks, as it would; they go with the transaction at once.
    let tx = queue.store().begin().await?;
    let loaded = load::plan(&tx, std::slice::from_ref(&prepared), &figures, now).await;
    let ended = tx.rollback().await;
    let mut plan = loaded?;
    ended?;
    let place = match &prepared.delivery.disposition {
        Disposition::Run(request) => plan.place(&prepared.delivery, request),
        Disposition::Stop { .. } => None,
    };
    let found = place.map(|place| &plan.sessions[place]).map(|session| (session.id, session.state, session.queued));
    let accepted = plan.decide(0, &prepared.delivery)?;
    let run = plan.runs.first().map(|run| (run.not_before, run.wait_reason, 0));
    let joined = plan.merged.values().next().map(|merge| (merge.not_before, merge.wait_reason, merge.deliveries));
    let (not_before, wait, joins) = run.or(joined).unwrap_or((now.0, "", 0));
    Ok(Foreseen {
        accepted,
        session: found.map(|(id, state, _)| (SessionId(id), state)),
        queued: found.map_or(0, |(.., queued)| queued),
        not_before: UnixMicros(not_before),
        wait: wait.parse().ok(),
        joins,
    })
}
