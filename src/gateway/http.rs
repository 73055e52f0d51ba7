//! `POST /hooks/{slug}/{token}`.
//!
//! What the headers tell is judged before the body is read, and nothing of a body is kept that passes its limit. The
//! token is part of the path, so the path is neither logged nor stored.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tonic::transport::server::TcpConnectInfo;

use super::{Gateway, encoding};
use crate::domain::{DeliveryOrigin, DeliveryReason, Error, Header, UnixMicros};
use crate::fail_point;
use crate::intake::{Inbound, Reply};
use crate::rpc::http_status;

/// Bytes of header names and values.
const MAX_HEADERS: usize = 16 * 1024;
/// Bodies up to this size need no place among the large ones.
const SMALL_BODY: usize = 64 * 1024;
/// How much of a body that is too large is read and thrown away, so that its sender sees the answer and not a cut
/// connection.
const MAX_DISCARDED: usize = 64 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// The routes. An address without token is answered like one with a wrong token.
pub(super) fn routes(gateway: Gateway) -> Router {
    let bare = |state, slug: Result<Path<String>, PathRejection>, request| {
        hook(state, slug.map(|Path(slug)| Path((slug, String::new()))), request)
    };
    Router::new().route("/hooks/{slug}/{token}", post(hook)).route("/hooks/{slug}", post(bare)).with_state(gateway)
}

async fn hook(State(gateway): State<Gateway>, path: Result<Path<(String, String)>, PathRejection>, request: Request) -> Response {
    // A path that cannot even be read is an address that nobody has.
    let (slug, token) = path.map(|Path(parts)| parts).unwrap_or_default();
    match take(&gateway, slug, token, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::warn!(%error, "a webhook could not be taken");
            unavailable(&error)
        }
    }
}

async fn take(gateway: &Gateway, slug: String, token: String, request: Request) -> Result<Response, Error> {
    gateway.room().await?;
    let remote = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    let (parts, body) = request.into_parts();
    let Some(headers) = headers(&parts.headers) else {
        return Ok(told(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are larger than 16 KiB"));
    };
    let declared = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let limit = gateway.intake.limit_of(&slug, Some(&token)).await?;
    let mut inbound = Inbound {
        slug,
        token: Some(token),
        headers,
        body: Bytes::new(),
        remote_address: remote.map(|address| address.ip().to_string()).unwrap_or_default(),
        origin: DeliveryOrigin::Webhook,
        receive_time: UnixMicros::now(),
    };
    if let Some(encoding) = encoding(&inbound.headers) {
        let message = format!("the body is encoded as `{encoding}`; it must be sent as it is");
        return Ok(reply(gateway.intake.take_unread(inbound, DeliveryReason::MediaTypeRefused, &message).await?.reply));
    }
    let waits = parts.headers.contains_key(header::EXPECT);
    let read = read(body, limit, declared, waits, &gateway.bodies);
    let (body, _place) = match timeout(gateway.body_timeout, read).await {
        Ok(Ok(read)) => read,
        Ok(Err(Unread::TooLarge)) => {
            let message = format!("the body is larger than {limit} bytes");
            return Ok(reply(gateway.intake.take_unread(inbound, DeliveryReason::BodyTooLarge, &message).await?.reply));
        }
        Ok(Err(Unread::NoRoom)) => return Err(Error::QueueFull { scope: "bodies being read, in KiB", limit: 256 * 1024 }),
        Ok(Err(Unread::Broken)) => return Ok(told(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_elapsed) => return Ok(told(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    };
    inbound.body = body;
    inbound.receive_time = UnixMicros::now();
    let taken = gateway.intake.take(inbound).await?;
    fail_point::pass("webhook", "answering");
    Ok(reply(taken.reply))
}

/// The headers as intake takes them; none when they are too large.
fn headers(map: &HeaderMap) -> Option<Vec<Header>> {
    let size: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| Header {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    (size <= MAX_HEADERS).then(|| map.iter().map(header).collect())
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
enum Unread {
    TooLarge,
    NoRoom,
    Broken,
}

/// The whole body, with the place it takes among the large ones. `waits`: its sender asks before it sends it.
async fn read(
    body: Body,
    limit: usize,
    declared: Option<usize>,
    waits: bool,
    bodies: &std::sync::Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Unread> {
    let mut stream = body.into_data_stream();
    if declared.is_some_and(|declared| declared > limit) {
        if !waits {
            discard(stream).await;
        }
        return Err(Unread::TooLarge);
    }
    let mut place: Option<OwnedSemaphorePermit> = None;
    // Nearly every body is one chunk, which needs no copy.
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        length += chunk.len();
        if length > limit {
            drop((place, whole));
            discard(stream).await;
            return Err(Unread::TooLarge);
        }
        if length > SMALL_BODY {
            let more = u32::try_from(chunk.len().div_ceil(1024)).unwrap_or(u32::MAX);
            let more = std::sync::Arc::clone(bodies).try_acquire_many_owned(more).map_err(|_| Unread::NoRoom)?;
            match &mut place {
                Some(place) => place.merge(more),
                None => place = Some(more),
            }
        }
        match first.take() {
            None if whole.is_empty() => first = Some(chunk),
            None => whole.extend_from_slice(&chunk),
            Some(before) => {
                whole.reserve(declared.unwrap_or(length).clamp(length, limit.max(length)));
                whole.extend_from_slice(&before);
                whole.extend_from_slice(&chunk);
            }
        }
    }
    Ok((first.unwrap_or_else(|| whole.freeze()), place))
}

async fn discard(mut stream: impl StreamExt<Item = Result<Bytes, axum::Error>> + Unpin) {
    let all = async {
        let mut discarded = 0;
        while let Some(Ok(chunk)) = stream.next().await {
            discarded += chunk.len();
            if discarded > MAX_DISCARDED {
                break;
            }
        }
    };
    let _cut_off = within(DISCARD_TIME, all).await;
}

async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    timeout(time, work).await.ok()
}

fn reply(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::try_from(name), header::HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn told(status: StatusCode, message: &str) -> Response {
    let body = format!(r#"{{"outcome":"rejected","message":"{message}"}}"#);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Nothing was stored: the sender should try again.
fn unavailable(error: &Error) -> Response {
    let message = match error {
        Error::QueueFull { .. } => "the queue is full; try again later",
        Error::Draining => "the server is stopping; try again in a moment",
        _ => "the server cannot store this now; try again in a moment",
    };
    let status = match http_status(error.code()) {
        StatusCode::SERVICE_UNAVAILABLE => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let mut response = told(status, message);
    if let Some(wait) = error.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from(wait.as_secs()));
    }
    response
}

#[cfg(test)]
mod tests;
