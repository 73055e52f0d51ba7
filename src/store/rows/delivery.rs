//! Deliveries and their payloads.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

use super::entity::{delivery, delivery_payload};
use super::{word, word_or_none};
use crate::domain::{Actor, Delivery, DeliveryId, DeliveryPayload, Error, Event, Result, RunId, SessionId, TriggerId, UnixMicros};
use crate::store::payload::{headers_from, walk_from};

/// Duplicates of one original that have rows of their own; further ones are only counted.
pub(crate) const LISTED_DUPLICATES: i32 = 20;

/// A delivery as listed.
pub(crate) fn delivery_of(row: delivery::Model) -> Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId(row.id),
        trigger_id: row.trigger_id.map(TriggerId),
        trigger_slug: row.trigger_slug,
        origin: word(&row.origin)?,
        source: word(&row.source)?,
        provider_delivery_id: row.provider_delivery_id,
        event: Event {
            kind: row.event_kind,
            action: row.action,
            actor: Actor {
                id: row.actor_id,
                login: row.actor_login,
                kind: if row.actor_kind.is_empty() { crate::domain::ActorKind::Unknown } else { word(&row.actor_kind)? },
            },
            thread_key: row.thread_key,
            title: row.title,
            url: row.url,
            text: row.event_text,
        },
        outcome: word(&row.outcome)?,
        reason: word_or_none(row.reason.as_deref())?,
        message: row.message,
        session_id: row.session_id.map(SessionId),
        run_id: row.run_id.map(RunId),
        duplicate_of: row.duplicate_of.map(DeliveryId),
        replay_of: row.replay_of.map(DeliveryId),
        replayed_by: Vec::new(),
        receive_time: UnixMicros(row.receive_time),
        ack_duration: Duration::from_micros(u64::try_from(row.ack_micros).unwrap_or(0)),
        body_bytes: row.body_bytes,
        uncounted_duplicates: (row.duplicate_count - LISTED_DUPLICATES).max(0),
    })
}

/// The bulky part of a delivery, decompressed.
pub(crate) fn payload_of(row: &delivery_payload::Model) -> Result<DeliveryPayload> {
    let body = row.body.as_deref().map(unpacked).transpose();
    let body = body.map_err(|error| Error::internal(format!("a stored body cannot be read: {error}")))?;
    Ok(DeliveryPayload {
        headers: headers_from(&row.headers)?,
        body: body.unwrap_or_default(),
        walk: row.walk.as_deref().map(walk_from).unwrap_or_default(),
    })
}

thread_local! {
    /// Making one costs more than most bodies do.
    static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
}

/// A larger body is unpacked piece by piece: what it says of its size is not believed.
const LARGEST_AT_ONCE: u64 = 4 << 20;

fn unpacked(body: &[u8]) -> io::Result<Vec<u8>> {
    match get_frame_content_size(body) {
        Ok(Some(bytes @ 0..=LARGEST_AT_ONCE)) => {
            let bytes = usize::try_from(bytes).unwrap_or(0);
            DECOMPRESSOR.with_borrow_mut(|kept| kept.decompress(body, bytes))
        }
        _ => zstd::decode_all(body),
    }
}
