//! Accepted connections: TCP or TLS with HTTP/1.1 and HTTP/2, counted.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpConnectInfo};

use super::TlsConfig;
use crate::domain::{Error, Result};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What accepts TLS.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Offers HTTP/2 and HTTP/1.1: most webhook senders speak only the latter.
    pub(super) fn load(config: &TlsConfig) -> Result<Self> {
        let bad = |field: &str, path: &std::path::Path, error: &dyn std::fmt::Display| {
            Error::field(field, format!("{}: {error}", path.display()))
        };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&config.certificate_file)
            .and_then(Iterator::collect)
            .map_err(|error| bad("server.tls.certificate_file", &config.certificate_file, &error))?;
        let key = PrivateKeyDer::from_pem_file(&config.key_file).map_err(|error| bad("server.tls.key_file", &config.key_file, &error))?;
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| bad("server.tls.certificate_file", &config.certificate_file, &error))?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(tls))))
    }
}

/// One accepted connection; its place is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    _place: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.local, remote_addr: self.remote }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Either::Left(tcp) => tcp.is_write_vectored(),
            Either::Right(tls) => tls.is_write_vectored(),
        }
    }
}

/// Accepts until `stop`. At `max` connections further ones wait in the kernel's backlog. TLS handshakes happen off the
/// accept loop, so that a slow one delays nobody. What was accepted by then is still handed over.
pub(super) fn accept(
    listener: Arc<TcpListener>,
    tls: Option<Tls>,
    max: usize,
    stop: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let (accepted, incoming) = mpsc::channel(64);
    let places = Arc::new(Semaphore::new(max));
    let mut tasks = JoinSet::new();
    let looping = async move {
        let mut handshakes = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, listener.accept().await))
            };
            let Some(Some((place, next))) = stop.run_until_cancelled(next).await else { break };
            let (tcp, remote) = match next {
                Ok(pair) => pair,
                Err(error) => {
                    // Out of descriptors, or a peer that left at once: neither ends the server.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _best_effort = tcp.set_nodelay(true);
            let local = tcp.local_addr().ok();
            let finished = move |stream| Connection { stream, local, remote: Some(remote), _place: place };
            match &tls {
                None => {
                    if accepted.send(Ok(finished(Either::Left(tcp)))).await.is_err() {
                        break;
                    }
                }
                Some(Tls(acceptor)) => {
                    let (acceptor, accepted) = (acceptor.clone(), accepted.clone());
                    handshakes.spawn(async move {
                        if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
                            let _server_gone = accepted.send(Ok(finished(Either::Right(Box::new(stream))))).await;
                        }
                    });
                    while handshakes.try_join_next().is_some() {}
                }
            }
        }
        while handshakes.join_next().await.is_some() {}
    };
    tasks.spawn(looping);
    Accepting { incoming: ReceiverStream::new(incoming), _tasks: tasks }
}

/// The stream of accepted connections; dropping it ends the accept loop.
struct Accepting {
    incoming: ReceiverStream<io::Result<Connection>>,
    _tasks: JoinSet<()>,
}

impl Stream for Accepting {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.incoming).poll_next(cx)
    }
}
