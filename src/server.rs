//! One listener for everything: gRPC, gRPC-web with CORS, webhooks, health, reflection, metrics and the dashboard, plain or
//! over TLS.

mod connection;
mod dashboard;
mod health;
mod origin;
mod routes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use health::Health;
pub use routes::{Parts, router};

use crate::domain::{Error, Result};

/// How long who connected before the drain has for a first request, before idle connections are told to go: one that is on its
/// way is answered, if only with 503.
const FIRST_REQUESTS: Duration = Duration::from_millis(500);
/// How long answers may take that are under way when the server closes.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Where the server listens, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How senders and browsers reach this server; empty: `http://` and the listening address.
    pub public_url: String,
    /// Origins besides our own whose pages may call over gRPC-web.
    pub cors_origins: Vec<String>,
    /// Connections at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Lists that may be watched at once (WatchRuns, WatchDeliveries); further ones are refused.
    pub max_watched_lists: usize,
    /// How long open requests and live runs may take to end when the server stops, in seconds.
    pub drain_timeout_seconds: u64,
    /// PEM files; absent: plain HTTP.
    pub tls: Option<TlsConfig>,
}

/// The server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
}

/// A bound listener that does not serve yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    config: Config,
    tls: Option<connection::Tls>,
}

impl Server {
    /// Binds the address and reads the certificate.
    ///
    /// # Errors
    /// The address is taken or not ours, or a PEM file cannot be used; the message names it.
    pub async fn bind(config: Config) -> Result<Self> {
        let tls = config.tls.as_ref().map(connection::Tls::load).transpose()?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| Error::field("server.listen", format!("cannot listen on {}: {error}", config.listen)))?;
        let address = listener.local_addr().map_err(Error::internal)?;
        Ok(Self { listener, address, config, tls })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, as a URL.
    #[must_use]
    pub fn local_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// How senders and browsers reach it, without a slash at the end.
    #[must_use]
    pub fn public_url(&self) -> String {
        if !self.config.public_url.is_empty() {
            return self.config.public_url.trim_end_matches('/').to_owned();
        }
        self.local_url()
    }

    /// Serves until `closed`. From `stop` on those who are connected are told to go (GOAWAY), and new connections are
    /// still answered, so that a sender hears when to come again. After `closed` open requests may end, for a moment.
    ///
    /// # Errors
    /// The listener failed for good.
    pub async fn serve(self, app: Router, stop: CancellationToken, closed: CancellationToken) -> Result<()> {
        let Self { listener, tls, config, .. } = self;
        let listener = Arc::new(listener);
        let accept =
            |until: &CancellationToken| connection::accept(Arc::clone(&listener), tls.clone(), config.max_connections, until.clone());
        let first = serve_until(app.clone(), accept(&stop), async {
            stop.cancelled().await;
            tokio::time::sleep(FIRST_REQUESTS).await;
        });
        let late = async {
            stop.cancelled().await;
            serve_until(app, accept(&closed), closed.cancelled()).await
        };
        let last_call = async {
            closed.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            served = async { tokio::try_join!(first, late) } => served.map(|_| ()).map_err(Error::internal),
            () = last_call => Ok(()),
        }
    }
}

/// Serves what is accepted, and lets it end in order once `until` completes.
async fn serve_until(
    app: Router,
    incoming: impl Stream<Item = std::io::Result<connection::Connection>>,
    until: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    tonic::transport::Server::builder()
        .accept_http1(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .http2_max_header_list_size(Some(16 * 1024))
        .max_concurrent_streams(Some(200))
        .add_routes(Routes::from(app))
        // The end of what is accepted is not the end of what is served.
        .serve_with_incoming_shutdown(incoming.chain(tokio_stream::pending()), until)
        .await
}
