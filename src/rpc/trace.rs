//! The id under which one request can be found in the server's log: that of the caller's `traceparent`, or a new one.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Request, Response};
use tonic::Status;
use tower::{Layer, Service};
use uuid::Uuid;

use super::status::{explained, status};

/// The header of every answer that carries the trace id.
pub const TRACE_HEADER: HeaderName = HeaderName::from_static("x-trace-id");

tokio::task_local! {
    static CURRENT: TraceId;
}

/// 32 lower-case hexadecimal digits. In the extensions of every request that passed a [`TraceLayer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId(Uuid);

impl TraceId {
    /// A new one; they sort by time.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// That of a W3C `traceparent` header; none when it is malformed.
    #[must_use]
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let (parent, flags) = (parts.next()?, parts.next()?);
        if !(digits(version, 2) && version != "ff" && digits(trace, 32) && digits(parent, 16) && digits(flags, 2)) {
            return None;
        }
        Uuid::try_parse(trace).ok().filter(|id| !id.is_nil()).map(Self)
    }

    /// That of the request which this task serves. Outside of one, a new id: an error is never without.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for TraceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// Gives each request its [`TraceId`] and each answer its `x-trace-id`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner }
    }
}

/// The service of a [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct TraceService<S> {
    inner: S,
}

impl<S, A, B> Service<Request<A>> for TraceService<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        let trace = parent.and_then(TraceId::from_traceparent).unwrap_or_default();
        request.extensions_mut().insert(trace.clone());
        let answer = CURRENT.scope(trace.clone(), self.inner.call(request));
        answer.map(move |answered| answered.map(|response| marked(response, &trace))).boxed()
    }
}

fn marked<B>(mut response: Response<B>, trace: &TraceId) -> Response<B> {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&trace.to_string()) {
        headers.insert(TRACE_HEADER, value);
    }
    // What the framework refuses by itself (a message that is too large or no message at all) has no details yet.
    if headers.contains_key(Status::GRPC_STATUS)
        && !headers.contains_key("grpc-status-details-bin")
        && let Some(refused) = Status::from_header_map(headers)
        && let Some(error) = explained(&refused)
        && let Err(unwritable) = status(&error, trace).add_header(headers)
    {
        tracing::debug!(trace.id = %trace, error = %unwritable, "could not write the details of a status");
    }
    response
}

#[cfg(test)]
mod tests {
    use tonic_types::StatusExt;
    use tower::ServiceExt;

    use super::*;
    use crate::domain::Error;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    async fn answer(parent: Option<&str>, respond: impl Fn() -> Response<()> + Send + Clone + 'static) -> Response<()> {
        let service = TraceLayer.layer(tower::service_fn(move |_: Request<()>| {
            let respond = respond.clone();
            async move { Ok::<_, std::convert::Infallible>(respond()) }
        }));
        let mut request = Request::new(());
        if let Some(parent) = parent {
            request.headers_mut().insert("traceparent", parent.parse().expect("header"));
        }
        service.oneshot(request).await.expect("infallible")
    }

    #[tokio::test]
    async fn the_callers_trace_is_kept_and_told_in_errors() {
        let response = answer(Some(PARENT), || Status::from(Error::Draining).into_http()).await;
        assert_eq!(response.headers()[TRACE_HEADER], "0af7651916cd43dd8448eb211c80319c");
        let status = Status::from_header_map(response.headers()).expect("status");
        assert_eq!(status.get_details_error_info().expect("info").metadata["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }

    #[tokio::test]
    async fn each_request_without_one_gets_its_own() {
        let first = answer(None, || Response::new(())).await.headers()[TRACE_HEADER].clone();
        let second = answer(Some("00-xyz"), || Response::new(())).await.headers()[TRACE_HEADER].clone();
        assert_eq!((first.len(), second.len()), (32, 32));
        assert_ne!(first, second);
    }

    #[tokio::test]
    async fn a_refusal_of_the_framework_gets_its_details() {
        let text = "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes";
        let response = answer(Some(PARENT), move || Status::out_of_range(text).into_http()).await;
        let status = Status::from_header_map(response.headers()).expect("status");
        let info = status.get_details_error_info().expect("info");
        assert_eq!((status.code(), info.reason.as_str()), (tonic::Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
        assert_eq!(info.metadata["limit_bytes"], "8");
    }

    #[test]
    fn a_malformed_traceparent_is_not_taken() {
        for text in ["", "00-00000000000000000000000000000000-b7ad6b7169203331-01", &PARENT.to_uppercase(), &PARENT[..54]] {
            assert_eq!(TraceId::from_traceparent(text), None, "{text}");
        }
    }
}
