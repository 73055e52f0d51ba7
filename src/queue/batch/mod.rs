//! T1: a batch of deliveries in one transaction of a few set statements. What becomes of each is decided in memory, in
//! order of arrival, between the reads and the writes.

mod decide;
mod load;
mod plan;
mod write;

use super::transaction::transaction;
use super::{Accepted, NewDelivery, Queue};
use crate::domain::{Result, UnixMicros};
use crate::store::payload::headers_to;

/// A delivery with all the work done that needs no transaction.
#[derive(Debug)]
pub(super) struct Prepared {
    delivery: NewDelivery,
    headers: Vec<u8>,
}

impl Prepared {
    pub(super) fn new(delivery: NewDelivery) -> Self {
        let headers = headers_to(&delivery.headers);
        Self { delivery, headers }
    }

    /// About how much it adds to a transaction.
    pub(super) fn bytes(&self) -> usize {
        self.headers.len() + self.delivery.body_zstd.as_ref().map_or(0, Vec::len)
    }
}

/// Stores deliveries and what they cause; one outcome each, in their order. An error of the whole: nothing is stored.
pub(super) async fn store(queue: &Queue, batch: &[Prepared]) -> Result<Vec<Result<Accepted>>> {
    let figures = queue.figures().await?;
    let (outcomes, queued) = transaction!(queue, "accept", tx => {
        let mut plan = load::plan(tx, batch, &figures, UnixMicros::now()).await?;
        let outcomes = batch.iter().enumerate().map(|(index, one)| plan.decide(index, &one.delivery)).collect::<Vec<_>>();
        write::all(tx, &plan, batch).await?;
        Ok((outcomes, plan.runs.len()))
    })?;
    if queued > 0 {
        queue.count_queued(queued);
        queue.hint_work();
    }
    Ok(outcomes)
}
