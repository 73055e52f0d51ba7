//! WatchRuns and WatchDeliveries: lists as streams.

use futures::{StreamExt as _, stream};
use tonic::Status;

use super::{Services, Streamed};
use crate::changes::{List, Listed, Update};
use crate::domain::{Delivery, Result, Run};
use crate::proto::v1::{self, watch_deliveries_response, watch_runs_response};
use crate::rpc::convert::{delivery, run_listed, watched_deliveries, watched_runs};
use crate::rpc::{TraceId, status};

impl Services {
    pub(super) async fn watch_list_of_runs(&self, request: &v1::WatchRunsRequest) -> Result<Streamed<v1::WatchRunsResponse>> {
        use watch_runs_response::Event;
        let (filter, size) = watched_runs(request, self.filter_trigger(&request.trigger_id).await?)?;
        let list = self.rooms.changes.runs(filter, size).await?;
        Ok(streamed(list, |update: Update<Run>| {
            let event = match update {
                Update::Row(run) => Event::Run(run_listed(&run)),
                Update::SnapshotComplete => Event::SnapshotComplete(v1::SnapshotComplete {}),
                Update::Heartbeat => Event::Heartbeat(v1::Heartbeat {}),
            };
            v1::WatchRunsResponse { event: Some(event) }
        }))
    }

    pub(super) async fn watch_list_of_deliveries(
        &self,
        request: &v1::WatchDeliveriesRequest,
    ) -> Result<Streamed<v1::WatchDeliveriesResponse>> {
        use watch_deliveries_response::Event;
        let (filter, size) = watched_deliveries(request, self.filter_trigger(&request.trigger_id).await?)?;
        let list = self.rooms.changes.deliveries(filter, size).await?;
        Ok(streamed(list, |update: Update<Delivery>| {
            let event = match update {
                Update::Row(found) => Event::Delivery(delivery(&found, None)),
                Update::SnapshotComplete => Event::SnapshotComplete(v1::SnapshotComplete {}),
                Update::Heartbeat => Event::Heartbeat(v1::Heartbeat {}),
            };
            v1::WatchDeliveriesResponse { event: Some(event) }
        }))
    }
}

/// A watched list as the messages of its rpc; the caller's pace is the list's.
fn streamed<T: Listed, M: Send + 'static>(list: List<T>, message: impl Fn(Update<T>) -> M + Send + 'static) -> Streamed<M> {
    let trace = TraceId::current();
    let updates = stream::unfold(list, |mut list| async { list.next().await.map(|update| (update, list)) });
    updates.map(move |update| update.map(&message).map_err(|error| -> Status { status(&error, &trace) })).boxed()
}
