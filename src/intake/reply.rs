//! The answers that senders get.

use bytes::Bytes;

use super::Reply;
use super::source::Refusal;
use crate::domain::DeliveryReason;
use crate::queue::Accepted;

const JSON: (&str, &str) = ("content-type", "application/json");

/// For everything that was stored. Some senders take 200 alone for a success, so it is always that.
pub(super) fn accepted(accepted: &Accepted) -> Reply {
    let run = accepted.run_id.map_or_else(|| "null".to_owned(), |run| format!("\"{run}\""));
    let body = format!(r#"{{"delivery_id":"{}","outcome":"{}","run_id":{run}}}"#, accepted.delivery_id, accepted.outcome);
    reply(200, body.into())
}

/// For what is not acceptable. Whoever cannot sign learns nothing, not even whether the address exists.
pub(super) fn refused(refusal: &Refusal) -> Reply {
    let status = match refusal.reason {
        DeliveryReason::BodyTooLarge => 413,
        DeliveryReason::MediaTypeRefused => 415,
        DeliveryReason::BodyUnparseable => 400,
        _ => return reply(401, Bytes::from_static(br#"{"outcome":"rejected","message":"the signature or the address is wrong"}"#)),
    };
    let body = serde_json::json!({ "outcome": "rejected", "reason": refusal.reason.as_str(), "message": refusal.message });
    reply(status, body.to_string().into())
}

fn reply(status: u16, body: Bytes) -> Reply {
    Reply { status, headers: vec![(JSON.0.to_owned(), JSON.1.to_owned())], body }
}
