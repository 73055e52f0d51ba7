//! The doors for webhooks: the HTTP route and the gateway rpc, two thin faces of intake.

mod http;
mod rpc;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::domain::{Error, Header, Result};
use crate::intake::Intake;
use crate::proto::v1::webhook_gateway_service_server::WebhookGatewayServiceServer;

/// What an rpc with a GitHub body of 25 MiB and its headers needs.
const MAX_RPC_BYTES: usize = 26 * 1024 * 1024;
/// What all bodies that are being read may hold together, in KiB.
const BODIES_KIB: usize = 256 * 1024;

/// How webhooks are taken in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How long a sender may take to send its body, in seconds.
    pub body_timeout_seconds: u64,
}

/// The doors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gateway {
    intake: Intake,
    body_timeout: Duration,
    bodies: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Gateway {
    /// Doors that are closed by `stop`.
    #[must_use]
    pub fn new(config: &Config, intake: Intake, stop: CancellationToken) -> Self {
        let body_timeout = Duration::from_secs(config.body_timeout_seconds);
        Self { intake, body_timeout, bodies: Arc::new(Semaphore::new(BODIES_KIB)), stop }
    }

    /// `POST /hooks/{slug}/{token}`.
    pub fn routes(&self) -> axum::Router {
        http::routes(self.clone())
    }

    /// `WebhookGatewayService`.
    #[must_use]
    pub fn rpc(&self) -> WebhookGatewayServiceServer<Self> {
        WebhookGatewayServiceServer::new(self.clone()).max_decoding_message_size(MAX_RPC_BYTES)
    }

    /// Whether a webhook could be stored now. Errors: `Draining`, `QueueFull`, `StoreUnavailable`.
    async fn room(&self) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(Error::Draining);
        }
        self.intake.room().await
    }
}

/// The encoding of a body that is not sent as it was signed. Bodies are never unpacked here: a small one could become
/// any size.
fn encoding(headers: &[Header]) -> Option<String> {
    let header = headers.iter().find(|header| header.name == "content-encoding")?;
    let encoding = String::from_utf8_lossy(&header.value).trim().to_ascii_lowercase();
    (!encoding.is_empty() && encoding != "identity").then(|| encoding.chars().take(40).collect())
}

#[cfg(test)]
mod tests;
