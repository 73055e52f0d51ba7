//! A stream outlives the look at its key. One task looks again, at the keys of all open streams at once, and ends those whose
//! key is gone or over, whichever server took it away.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Access, Digested, Principal};
use crate::domain::{Error, UnixMicros};
use crate::rpc::{TraceId, status};
use crate::store::api_keys;

/// How often the keys of open streams are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The keys of open streams. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Told when the key is over. Only streams hold it: a key without any drops out.
    keys: Mutex<HashMap<Digested, Weak<CancellationToken>>>,
    /// A stream began.
    began: Notify,
}

impl Streams {
    /// Completes when the key with this digest is over.
    fn until_over(&self, key: Digested) -> BoxFuture<'static, ()> {
        let over = self.hold(key);
        self.inner.began.notify_one();
        async move { over.cancelled().await }.boxed()
    }

    fn hold(&self, key: Digested) -> Arc<CancellationToken> {
        let Ok(mut keys) = self.inner.keys.lock() else { return Arc::default() };
        let held = keys.entry(key).or_default();
        held.upgrade().unwrap_or_else(|| {
            let over = Arc::<CancellationToken>::default();
            *held = Arc::downgrade(&over);
            over
        })
    }

    /// The keys that have streams now.
    pub(super) fn keys(&self) -> Vec<Digested> {
        self.inner.keys.lock().map_or_else(
            |_| Vec::new(),
            |mut keys| {
                keys.retain(|_, over| over.strong_count() > 0);
                keys.keys().copied().collect()
            },
        )
    }

    /// Ends the streams of this key.
    fn end(&self, key: &Digested) {
        if let Some(over) = self.inner.keys.lock().ok().and_then(|mut keys| keys.remove(key)?.upgrade()) {
            over.cancel();
        }
    }
}

impl Access {
    /// Ends streams when their key does, until `stop`. Only while there are streams is the database asked: once for all.
    pub async fn end_streams(self, stop: CancellationToken) {
        let streams = self.streams.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if !streams.keys().is_empty() {
                self.look(&streams).await;
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = streams.inner.began.notified() => {}
            }
        }
    }

    async fn look(&self, streams: &Streams) {
        let keys = streams.keys();
        match api_keys::live(&self.store, &keys, UnixMicros::now()).await {
            Ok(live) => {
                for key in keys.iter().filter(|key| !live.contains(*key)) {
                    self.forget(key);
                    streams.end(key);
                }
            }
            // What a stream would tell is in the same database: it tells nothing new meanwhile.
            Err(error) => tracing::debug!(%error, "the keys of open streams could not be looked at"),
        }
    }
}

/// The key that an answer is given for.
#[derive(Debug)]
pub(super) struct Keyed {
    streams: Streams,
    key: Digested,
    expire_time: Option<UnixMicros>,
    trace: TraceId,
}

impl Keyed {
    /// For a call with this key, while it is served.
    pub(super) fn new(streams: &Streams, key: Digested, principal: &Principal) -> Self {
        Self { streams: streams.clone(), key, expire_time: principal.expire_time, trace: TraceId::current() }
    }

    /// The answer, which ends with the key if it goes on for so long.
    pub(super) fn hold(self, body: Body) -> Body {
        Body::new(HeldBody { body, keyed: self, over: None })
    }

    /// How a stream ends whose key is over.
    fn trailers(&self) -> HeaderMap {
        let expired = self.expire_time.is_some_and(|end| end <= UnixMicros::now());
        let mut trailers = HeaderMap::new();
        let refused = status(&if expired { Error::KeyExpired } else { Error::KeyInvalid }, &self.trace);
        if let Err(unwritable) = refused.add_header(&mut trailers) {
            tracing::debug!(trace.id = %self.trace, error = %unwritable, "could not write the details of a status");
        }
        trailers
    }
}

/// An answer that is cut off when its key is over.
struct HeldBody {
    body: Body,
    keyed: Keyed,
    /// There once the answer had to wait: one that is ready at once is no stream, and costs nothing.
    over: Option<BoxFuture<'static, ()>>,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let over = this.over.get_or_insert_with(|| this.keyed.streams.until_over(this.keyed.key));
        ready!(over.poll_unpin(cx));
        this.body = Body::empty();
        Poll::Ready(Some(Ok(Frame::trailers(this.keyed.trailers()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
