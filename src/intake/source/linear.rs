//! Linear: issues, comments and agent sessions.

use std::time::Duration;

use serde_json::Value as Json;

use super::{Look, Raw, Reading, Refusal, first_id, first_text, signature};
use crate::domain::{Actor, ActorKind, DeliveryReason, Event, HmacAlgorithm, HmacEncoding, UnixMicros};

const SIGNATURE: &str = "linear-signature";

/// Linear's own client takes a minute. Whether a retry hours later carries a new time is not documented, so this is
/// wider; a repeat is known by its delivery id anyway.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

pub(super) fn verify(raw: &Raw<'_>, secrets: &[&[u8]]) -> Result<usize, Refusal> {
    let given = raw.header(SIGNATURE).map(|hex| signature::decode(HmacEncoding::Hex, hex));
    let verdict = signature::matching(HmacAlgorithm::Sha256, secrets, &[raw.body], given.as_slice());
    if given.is_none() { Err(signature::missing(SIGNATURE)) } else { verdict }
}

/// The time of sending is part of the signed body. Kinds of events that carry none pass, as with Linear's own client.
pub(super) fn fresh(raw: &Raw<'_>, payload: &Json) -> Result<(), Refusal> {
    let Some(sent) = payload.get("webhookTimestamp").and_then(Json::as_i64) else { return Ok(()) };
    let sent = UnixMicros(sent.saturating_mul(1000));
    let off = raw.now.since(sent).max(sent.since(raw.now));
    if off > TOLERANCE {
        let message = format!("`webhookTimestamp` is {} s off; at most {} s are taken", off.as_secs(), TOLERANCE.as_secs());
        return Err(Refusal::new(DeliveryReason::TimestampStale, message));
    }
    Ok(())
}

pub(super) fn read(raw: &Raw<'_>, payload: &Json) -> Reading {
    let kind = payload.id("type").or_else(|| raw.header("linear-event").map(str::to_owned)).unwrap_or_default();
    Reading {
        delivery_id: raw.header("linear-delivery").unwrap_or_default().to_owned(),
        hello: false,
        event: Event {
            action: payload.text("action"),
            actor: actor(payload),
            thread_key: thread_key(&kind, payload),
            title: first_text(
                payload,
                &["agentSession.issue.title", "data.issue.title", "data.title", "notification.issue.title", "data.name"],
            ),
            url: first_text(payload, &["agentSession.issue.url", "url", "data.url", "notification.issue.url"]),
            text: first_text(
                payload,
                &["agentActivity.content.body", "agentSession.comment.body", "data.body", "data.description", "notification.comment.body"],
            ),
            kind,
        },
    }
}

/// Where the issue stands in events about something else, and last where it stands in its own.
pub(super) const THREAD: &[&str] = &[
    "agentSession.issue.id",
    "agentSession.issueId",
    "data.issueId",
    "data.issue.id",
    "data.comment.issueId",
    "notification.issueId",
    "notification.issue.id",
    "data.id",
];

/// The issue, whatever happened to it. An agent session is not a thread: a second delegation of the same issue makes
/// another one.
fn thread_key(kind: &str, payload: &Json) -> Option<String> {
    if kind == "Issue" {
        return payload.id("data.id");
    }
    let [others @ .., _] = THREAD else { return None };
    first_id(payload, others)
}

fn actor(payload: &Json) -> Actor {
    let candidates = ["actor", "agentActivity.user", "agentSession.creator", "notification.actor", "data.user"];
    let Some(author) = candidates.iter().find_map(|path| payload.at(path).filter(|author| author.is_object())) else {
        return Actor { id: payload.id("data.userId").unwrap_or_default(), ..Actor::default() };
    };
    let kind = match author.get("type").and_then(Json::as_str) {
        Some(kind) if kind.eq_ignore_ascii_case("user") => ActorKind::User,
        Some(_) => ActorKind::Bot,
        None => ActorKind::Unknown,
    };
    Actor { id: author.id("id").unwrap_or_default(), login: first_text(author, &["displayName", "name", "email", "service"]), kind }
}
