//! Senders: keep-alive HTTP/1.1 connections that each wait for an answer before they send again.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::payload::Webhooks;

/// Not counted at the begin of each phase.
const WARM_UP: Duration = Duration::from_millis(500);

/// What a phase gave.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Acks each second.
    pub(crate) rate: f64,
    /// 99 of 100 acks came within this, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// One keep-alive connection.
#[derive(Debug)]
pub(crate) struct Sender {
    requests: SendRequest<Full<Bytes>>,
    _driving: JoinSet<hyper::Result<()>>,
}

impl Sender {
    /// Connects to `host:port`.
    pub(crate) async fn connect(authority: &str) -> Result<Self> {
        let tcp = TcpStream::connect(authority).await.with_context(|| format!("cannot connect to {authority}"))?;
        tcp.set_nodelay(true)?;
        let (requests, connection) = handshake(TokioIo::new(tcp)).await?;
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        Ok(Self { requests, _driving: driving })
    }

    /// Sends the next webhook and gives the body of its 200.
    pub(crate) async fn send(&mut self, webhooks: &Webhooks) -> Result<Bytes> {
        let (status, body) = self.exchange(webhooks.next()?).await?;
        if status != StatusCode::OK {
            bail!("a webhook was answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    /// The status of a page.
    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Result<StatusCode> {
        let request = Request::get(path).header(http::header::HOST, host).body(Full::default())?;
        Ok(self.exchange(request).await?.0)
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let answer = self.requests.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// Sends from `connections` for `phase`, and counts.
pub(crate) async fn drive(webhooks: &Arc<Webhooks>, connections: usize, phase: Duration) -> Result<Measured> {
    let from = Instant::now() + WARM_UP;
    let until = from + phase;
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let webhooks = Arc::clone(webhooks);
        senders.spawn(async move {
            let mut sender = Sender::connect(webhooks.authority()).await?;
            let mut latencies = Vec::with_capacity(1 << 14);
            loop {
                let begin = Instant::now();
                if begin >= until {
                    return anyhow::Ok(latencies);
                }
                sender.send(&webhooks).await?;
                let end = Instant::now();
                if end >= from && end < until {
                    latencies.push(end - begin);
                }
            }
        });
    }
    let mut latencies = Vec::new();
    while let Some(sender) = senders.join_next().await {
        latencies.extend(sender??);
    }
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).context("nothing was acked")?;
    Ok(Measured { rate: latencies.len() as f64 / phase.as_secs_f64(), p99_ms: p99.as_secs_f64() * 1e3 })
}

/// Sends `count` webhooks over a few connections.
pub(crate) async fn send(webhooks: &Arc<Webhooks>, count: usize) -> Result<()> {
    const CONNECTIONS: usize = 8;
    let mut senders = JoinSet::new();
    for place in 0..CONNECTIONS {
        let webhooks = Arc::clone(webhooks);
        senders.spawn(async move {
            let mut sender = Sender::connect(webhooks.authority()).await?;
            for _ in (place..count).step_by(CONNECTIONS) {
                sender.send(&webhooks).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    Ok(())
}

/// The clock that the test double's journal uses, in microseconds.
pub(crate) fn wall_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
