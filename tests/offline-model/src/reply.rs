//! Answers in the shapes of the Messages API: one object, or a stream of events.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::billing::Usage;
use crate::reviewer::{Answer, End, Part};

/// No event holds more text than this.
const PIECE: usize = 4096;

/// One step of a stream: a pause, then the bytes, or a broken connection.
enum Step {
    Send(Duration, Bytes),
    Break,
}

/// A reply in one piece.
pub(crate) fn whole(answer: &Answer, model: &str, usage: Usage) -> Response {
    let content: Vec<Value> = answer.parts.iter().map(|p| block(p, true)).collect();
    let mut message = envelope(model, usage);
    message["content"] = Value::Array(content);
    message["stop_reason"] = json!(answer.stop_reason);
    Json(message).into_response()
}

/// A reply as server-sent events. It is made step by step, so that a huge one needs no memory.
pub(crate) fn streamed(answer: &Answer, model: &str, usage: Usage) -> Response {
    let events = stream::unfold(steps(answer.clone(), model, usage), |mut steps| async move {
        match steps.next()? {
            Step::Send(pause, bytes) => {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Some((Ok(bytes), steps))
            }
            Step::Break => {
                // What was sent must reach the reader first, or nothing would have been cut.
                tokio::time::sleep(Duration::from_millis(200)).await;
                Some((Err(std::io::Error::other("cut")), steps))
            }
        }
    });
    ([(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")], Body::from_stream(events)).into_response()
}

/// An API error of that status.
pub(crate) fn error(status: u16) -> Response {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = format!("req_{}", Uuid::now_v7().simple());
    let body = json!({"type": "error", "error": {"type": kind, "message": format!("offline model: {kind}")}, "request_id": id});
    (code, [("request-id", id)], Json(body)).into_response()
}

fn steps(answer: Answer, model: &str, usage: Usage) -> impl Iterator<Item = Step> + Send + 'static {
    let mut message = envelope(model, Usage { output: 1, ..usage });
    message["content"] = json!([]);
    let start = json!({"type": "message_start", "message": message});
    let pieces: usize = answer.parts.iter().map(|p| cuts(p, answer.pieces, answer.pace)).sum();
    let pause = answer.pace.checked_div(u32::try_from(pieces).unwrap_or(u32::MAX)).unwrap_or_default();
    let ending = json!({"type": "message_delta", "usage": usage.to_json(),
        "delta": {"stop_reason": answer.stop_reason, "stop_sequence": null}});
    let (floor, pace, cut) = (answer.pieces, answer.pace, answer.end == End::Cut);
    let body = answer.parts.into_iter().enumerate().flat_map(move |(index, part)| part_steps(index, part, floor, pace, pause));
    let last = [send(&ending), send(&json!({"type": "message_stop"}))];
    let whole = std::iter::once(send(&start)).chain(body).chain(last);
    // A cut reply breaks off after its first piece of text.
    let keep = if cut { 3 } else { usize::MAX };
    whole.take(keep).chain(cut.then_some(Step::Break))
}

fn part_steps(index: usize, part: Part, floor: usize, pace: Duration, pause: Duration) -> impl Iterator<Item = Step> + Send {
    let open = json!({"type": "content_block_start", "index": index, "content_block": block(&part, false)});
    let count = cuts(&part, floor, pace);
    let (kind, key, text) = match part {
        Part::Text(text) => ("text_delta", "text", text),
        Part::Thinking(text) => ("thinking_delta", "thinking", text),
        Part::Tool { input, .. } => ("input_json_delta", "partial_json", input.to_string()),
    };
    let signature = (kind == "thinking_delta").then(|| {
        send(&json!({"type": "content_block_delta", "index": index, "delta": {"type": "signature_delta", "signature": "b2ZmbGluZQ=="}}))
    });
    let mut rest: Vec<char> = text.chars().collect();
    rest.reverse();
    let size = rest.len().div_ceil(count.max(1)).max(1);
    let deltas = std::iter::from_fn(move || {
        let keep = rest.len().saturating_sub(size);
        let piece: String = rest.drain(keep..).rev().collect();
        let event = json!({"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}});
        (!piece.is_empty()).then(|| Step::Send(pause, frame(&event)))
    });
    let close = json!({"type": "content_block_stop", "index": index});
    std::iter::once(send(&open)).chain(deltas).chain(signature).chain(std::iter::once(send(&close)))
}

/// Into how many pieces a part is cut: at least `floor`, ten a second when it is slow.
fn cuts(part: &Part, floor: usize, pace: Duration) -> usize {
    let Part::Text(text) = part else { return 1 };
    let chars = text.chars().count();
    let slow = usize::try_from(pace.as_millis() / 100).unwrap_or(usize::MAX);
    floor.max(slow).max(chars.div_ceil(PIECE)).min(chars.max(1))
}

fn block(part: &Part, full: bool) -> Value {
    let text = |t: &str| if full { t.to_owned() } else { String::new() };
    match part {
        Part::Text(t) => json!({"type": "text", "text": text(t)}),
        Part::Thinking(t) => json!({"type": "thinking", "thinking": text(t), "signature": if full { "b2ZmbGluZQ==" } else { "" }}),
        Part::Tool { name, input } => {
            let id = format!("toolu_{}", Uuid::now_v7().simple());
            json!({"type": "tool_use", "id": id, "name": name, "input": if full { input.clone() } else { json!({}) }})
        }
    }
}

fn envelope(model: &str, usage: Usage) -> Value {
    json!({
        "id": format!("msg_{}", Uuid::now_v7().simple()),
        "type": "message",
        "role": "assistant",
        "model": model,
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage.to_json(),
    })
}

fn send(event: &Value) -> Step {
    Step::Send(Duration::ZERO, frame(event))
}

fn frame(event: &Value) -> Bytes {
    let kind = event["type"].as_str().unwrap_or("message");
    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
}
