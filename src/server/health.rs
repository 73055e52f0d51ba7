//! Whether this server can be used: one answer for `/readyz` and for `grpc.health.v1.Health`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::domain::{Error, Result};
use crate::proto;
use crate::store::Store;

/// How long the database may take to answer before this server counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// How often it is asked for those who watch.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What there is to say of this server. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health {
    store: Arc<Store>,
    stop: CancellationToken,
    standing: Option<watch::Receiver<bool>>,
    reporter: HealthReporter,
    /// Every service by its full name, and the empty name for all.
    services: Arc<Vec<String>>,
}

impl Health {
    /// `standing` says whether this server may work on runs now, where it is meant to; `takes_calls` whether it has rpcs.
    ///
    /// # Errors
    /// The descriptor set cannot be read.
    pub async fn new(
        store: Arc<Store>,
        stop: CancellationToken,
        standing: Option<watch::Receiver<bool>>,
        takes_calls: bool,
    ) -> Result<Self> {
        let mut services = vec![String::new()];
        if takes_calls {
            let all = FileDescriptorSet::decode(proto::DESCRIPTOR_SET).map_err(Error::internal)?;
            let names = |file: &prost_types::FileDescriptorProto| {
                file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())).collect::<Vec<_>>()
            };
            services.extend(all.file.iter().flat_map(names));
        }
        let reporter = HealthReporter::new();
        for service in &services {
            reporter.set_service_status(service, ServingStatus::Serving).await;
        }
        Ok(Self { store, stop, standing, reporter, services: Arc::new(services) })
    }

    /// Tells those who ask over gRPC, until `closed`; then their streams end, so that none holds the server up.
    pub async fn report(mut self, closed: CancellationToken) {
        let mut told = ServingStatus::Serving;
        loop {
            let status = if self.problem().await.is_none() { ServingStatus::Serving } else { ServingStatus::NotServing };
            // Whoever watches hears each setting, changed or not.
            for service in self.services.iter().filter(|_| status != told) {
                self.reporter.set_service_status(service, status).await;
            }
            told = status;
            tokio::select! {
                () = closed.cancelled() => break,
                () = self.stop.cancelled(), if status == ServingStatus::Serving => {}
                () = changed(self.standing.as_mut()) => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        for service in self.services.iter() {
            self.reporter.clear_service_status(service).await;
        }
    }

    /// The service that tells.
    pub(super) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Why this server should get nothing now, if it should not.
    async fn problem(&self) -> Option<String> {
        if self.stop.is_cancelled() {
            return Some("stopping".to_owned());
        }
        if self.standing.as_ref().is_some_and(|standing| !*standing.borrow()) {
            return Some("not a worker: the lease could not be prolonged".to_owned());
        }
        match tokio::time::timeout(READY_WITHIN, self.store.ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_elapsed) => Some("the database does not answer".to_owned()),
        }
    }
}

/// Completes at a change that was not seen yet.
async fn changed(standing: Option<&mut watch::Receiver<bool>>) {
    if let Some(standing) = standing
        && standing.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// `/readyz`.
pub(super) async fn ready(State(health): State<Health>) -> Response {
    match health.problem().await {
        None => "ready\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    /// Whether a change is seen at once.
    async fn sees(standing: Option<&mut watch::Receiver<bool>>) -> bool {
        let mut change = std::pin::pin!(changed(standing));
        std::future::poll_fn(|cx| Poll::Ready(change.as_mut().poll(cx).is_ready())).await
    }

    #[tokio::test]
    async fn a_change_is_seen_once_and_nothing_is_asked_between_changes() {
        let (tell, mut standing) = watch::channel(false);
        assert!(!sees(None).await && !sees(Some(&mut standing)).await);
        tell.send_replace(true);
        assert!(sees(Some(&mut standing)).await);
        assert!(!sees(Some(&mut standing)).await, "the same change again would ask the database without a pause");
        drop(tell);
        assert!(!sees(Some(&mut standing)).await);
    }
}
