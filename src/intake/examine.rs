//! The pure part of taking a webhook: bytes and a trigger in, a delivery that is ready to be stored out.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::expression::Scope;
use super::hook::Hook;
use super::rules::{Asked, Rules, stop};
use super::source::{self, Raw, Reading, Refusal};
use super::tell;
use super::walk::Walk;
use super::{Fire, Inbound, Intake, Replay};
use crate::domain::{
    DeliveryId, DeliveryOrigin, DeliveryOutcome, DeliveryReason, Error, Event, Header, Requester, RequesterKind, Result, SecretId,
    SessionMode, Source, Stage, Trigger, UnixMicros, Verdict,
};
use crate::queue::{DedupeKey, Disposition, NewDelivery};

/// A sender without delivery ids repeats itself within minutes; equal bodies further apart are two events.
const SAME_BODY_WINDOW: Duration = Duration::from_secs(10 * 60);
/// Bytes of headers that are kept.
const MAX_KEPT_HEADERS: usize = 16 * 1024;
/// What stands for the value of a header that carries a credential.
const REDACTED: &[u8] = b"[redacted]";
/// Speed matters more than size: a stored body is read back rarely.
const ZSTD_LEVEL: i32 = 1;

/// What came of looking at a webhook.
#[derive(Debug)]
pub(super) enum Examined {
    /// Not acceptable; it comes back for the list of refusals.
    Refused(Refusal, Inbound),
    /// Ready to be stored, and the secret that fitted.
    Judged(Box<NewDelivery>, SecretId),
}

/// Everything that can be told of a webhook without the database. `hook` is absent when slug or token are wrong; as
/// much work is done then, so that the time of the answer tells nothing.
pub(super) fn examine(hook: Option<&Hook>, inbound: Inbound) -> Examined {
    // Senders sign with a time by their own clocks, which may be right where ours was not.
    let raw = Raw { headers: &inbound.headers, body: &inbound.body, now: inbound.receive_time.minus(UnixMicros::ahead()) };
    let mut walk = Walk::begin();
    let looked = match hook {
        Some(hook) => look(hook, &raw, &mut walk).map(|seen| (hook, seen)),
        None => {
            source::pretend(&raw);
            Err(Refusal::unknown_hook())
        }
    };
    let (hook, (secret, reading, payload)) = match looked {
        Ok(seen) => seen,
        Err(refusal) => return Examined::Refused(refusal, inbound),
    };
    let author = &reading.event.actor;
    let requested_by = Requester { kind: RequesterKind::Sender, id: author.id.clone(), display_name: author.login.clone() };
    let asked = Asked {
        by_hand: false,
        even_disabled: false,
        skip_filter: false,
        thread_key: None,
        session: None,
        session_mode: SessionMode::Default,
        prompt: None,
        requested_by,
    };
    Examined::Judged(Box::new(judged(&hook.trigger, &hook.rules, inbound, reading, &payload, asked, walk)), secret)
}

fn look(hook: &Hook, raw: &Raw<'_>, walk: &mut Walk) -> Result<(SecretId, Reading, Json), Refusal> {
    let trigger = &hook.trigger;
    let limit = Intake::body_limit(trigger.source);
    if raw.body.len() > limit {
        return Err(too_large(limit));
    }
    let (ids, secrets): (Vec<_>, Vec<_>) = hook.secrets(raw.now).into_iter().unzip();
    let fitting = source::verify(trigger.source, trigger.spec.hmac.as_ref(), raw, &secrets)?;
    walk.note(Stage::Verify, Verdict::Pass);
    let payload = source::parse(trigger.source, raw)?;
    let reading = source::read(trigger.source, trigger.spec.hmac.as_ref(), raw, &payload)?;
    note_parsed(&reading, walk);
    Ok((ids[fitting], reading, payload))
}

/// The refusal of a body over this limit.
pub(super) fn too_large(limit: usize) -> Refusal {
    Refusal::new(DeliveryReason::BodyTooLarge, format!("the body is larger than {limit} bytes"))
}

fn note_parsed(reading: &Reading, walk: &mut Walk) {
    walk.note(Stage::Parse, if reading.hello { Verdict::Stop } else { Verdict::Pass });
}

/// A firing by hand, ready to be stored, and its payload. Errors: `FieldInvalid`.
pub(super) fn fired(trigger: &Trigger, rules: &Rules, fire: Fire) -> Result<(NewDelivery, Json)> {
    let mut walk = Walk::begin();
    walk.note(Stage::Verify, Verdict::Skipped);
    let body = if fire.body.is_empty() { bytes::Bytes::from_static(b"{}") } else { fire.body };
    let limit = Intake::body_limit(trigger.source);
    if body.len() > limit {
        return Err(Error::field("body", format!("has {} bytes; allowed are {limit}", body.len())));
    }
    let payload = source::object(&body).map_err(|refusal| Error::field("body", refusal.message))?;
    let now = UnixMicros::now();
    let raw = Raw { headers: &fire.headers, body: &body, now };
    let reading =
        Reading { delivery_id: String::new(), ..source::read_by_hand(trigger.source, trigger.spec.hmac.as_ref(), &raw, &payload) };
    note_parsed(&reading, &mut walk);
    let inbound = Inbound {
        slug: trigger.slug.clone(),
        token: None,
        headers: fire.headers,
        body,
        remote_address: String::new(),
        origin: DeliveryOrigin::Manual,
        receive_time: now,
    };
    let asked = Asked {
        by_hand: true,
        even_disabled: true,
        skip_filter: fire.skip_filter,
        thread_key: fire.thread_key,
        session: fire.session,
        session_mode: fire.session_mode,
        prompt: fire.prompt,
        requested_by: fire.requested_by,
    };
    let delivery = judged(trigger, rules, inbound, reading, &payload, asked, walk);
    Ok((NewDelivery { id: fire.id, ..delivery }, payload))
}

/// A stored delivery, taken through the rules of now, and its payload. The verdict on its signature stands. Errors:
/// `FieldInvalid` for a body that is edited and no JSON object, `BodyNotKept` for a stored one that cannot be read.
pub(super) fn replayed(trigger: &Trigger, rules: &Rules, replay: Replay) -> Result<(NewDelivery, Json)> {
    let Replay { id, delivery: then, headers, body, edited, .. } = replay;
    let mut walk = Walk::begin();
    let now = UnixMicros::now();
    let raw = Raw { headers: &headers, body: &body, now };
    let payload = match (edited, source::parse(trigger.source, &raw)) {
        (true, _) => source::object(&body).map_err(|refusal| Error::field("edited_body", refusal.message))?,
        (false, Ok(payload)) => payload,
        // One that was fired by hand may have come without its media type.
        (false, Err(_)) => source::object(&body).map_err(|_| Error::BodyNotKept)?,
    };
    let reading = source::read_by_hand(trigger.source, trigger.spec.hmac.as_ref(), &raw, &payload);
    let refused = (then.outcome == DeliveryOutcome::Rejected).then_some(then.reason).flatten();
    let refused = refused.filter(|reason| tell::stage_of(*reason) == Stage::Verify);
    // Whoever fired it by hand was not asked who caused it, and is not now.
    let by_hand = then.origin == DeliveryOrigin::Manual;
    walk.note(
        Stage::Verify,
        match refused {
            Some(_) => Verdict::Stop,
            None if by_hand => Verdict::Skipped,
            None => Verdict::Pass,
        },
    );
    note_parsed(&reading, &mut walk);
    let inbound = Inbound {
        slug: trigger.slug.clone(),
        token: None,
        headers,
        body,
        remote_address: String::new(),
        origin: DeliveryOrigin::Replay,
        receive_time: now,
    };
    let asked = Asked {
        by_hand,
        even_disabled: false,
        skip_filter: false,
        thread_key: None,
        session: replay.session,
        session_mode: replay.session_mode,
        prompt: replay.prompt,
        requested_by: replay.requested_by,
    };
    let mut delivery = judged(trigger, rules, inbound, reading, &payload, asked, walk);
    (delivery.id, delivery.replay_of) = (id, Some(then.id));
    if let Some(reason) = refused {
        delivery.disposition = Disposition::Stop { outcome: DeliveryOutcome::Rejected, reason, message: then.message };
    }
    Ok((delivery, payload))
}

fn judged(
    trigger: &Trigger,
    rules: &Rules,
    inbound: Inbound,
    reading: Reading,
    payload: &Json,
    asked: Asked,
    mut walk: Walk,
) -> NewDelivery {
    // A person who fires the same thing twice wants it twice; a hello is worth nothing anyway.
    let once = !asked.by_hand && inbound.origin != DeliveryOrigin::Replay;
    let dedupe = (once && !reading.hello).then(|| dedupe_key(&reading.delivery_id, &inbound.body));
    let (thread_key, disposition) = if reading.hello && !asked.skip_filter {
        let said = stop(DeliveryOutcome::Handshake, DeliveryReason::EventNeverRuns, "the sender only says hello");
        (reading.event.thread_key.clone(), said)
    } else {
        let judgement = rules.judge(trigger, Scope { event: &reading.event, payload, headers: &inbound.headers }, asked, &mut walk);
        (judgement.thread_key, judgement.disposition)
    };
    NewDelivery {
        id: DeliveryId::new(),
        trigger_id: Some(trigger.id),
        trigger_slug: trigger.slug.clone(),
        source: trigger.source,
        origin: inbound.origin,
        provider_delivery_id: reading.delivery_id,
        dedupe,
        event: reading.event,
        thread_key,
        headers: kept(inbound.headers),
        body_zstd: Some(compressed(&inbound.body)),
        body_bytes: i64::try_from(inbound.body.len()).unwrap_or(i64::MAX),
        receive_time: inbound.receive_time,
        disposition,
        walk: walk.into_marks(),
        replay_of: None,
    }
}

/// A refused webhook as it is listed: why, and with which headers it came. What it says is not kept, since nobody
/// vouches for it.
pub(super) fn refused(trigger: Option<&Trigger>, inbound: Inbound, refusal: &Refusal) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::new(),
        trigger_id: trigger.map(|trigger| trigger.id),
        trigger_slug: trigger.map_or_else(|| asked_slug(&inbound.slug), |trigger| trigger.slug.clone()),
        source: trigger.map_or(Source::Manual, |trigger| trigger.source),
        origin: inbound.origin,
        provider_delivery_id: String::new(),
        dedupe: None,
        event: Event::default(),
        thread_key: None,
        headers: kept(inbound.headers),
        body_zstd: None,
        body_bytes: i64::try_from(inbound.body.len()).unwrap_or(i64::MAX),
        receive_time: inbound.receive_time,
        disposition: Disposition::Stop { outcome: DeliveryOutcome::Rejected, reason: refusal.reason, message: refusal.message.clone() },
        walk: Vec::new(),
        replay_of: None,
    }
}

/// A slug that nobody has, as far as it could be one.
fn asked_slug(slug: &str) -> String {
    slug.chars().filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').take(48).collect()
}

/// The first half of a SHA-256 over the sender's id, or over the body where there is none.
fn dedupe_key(delivery_id: &str, body: &[u8]) -> DedupeKey {
    let (domain, content, window): (&[u8], _, _) = match delivery_id {
        "" => (b"body\0", body, Some(SAME_BODY_WINDOW)),
        id => (b"id\0", id.as_bytes(), None),
    };
    let hash: [u8; 32] = Sha256::new().chain_update(domain).chain_update(content).finalize().into();
    let mut key = [0; 16];
    key.copy_from_slice(&hash[..16]);
    DedupeKey { key, window }
}

/// Headers as they are stored: credentials replaced, and no more than their share.
fn kept(mut headers: Vec<Header>) -> Vec<Header> {
    let mut room = MAX_KEPT_HEADERS;
    headers.retain_mut(|header| {
        if is_credential(&header.name) {
            header.value = REDACTED.to_vec();
        }
        let size = header.name.len() + header.value.len();
        let fits = size <= room;
        room -= if fits { size } else { 0 };
        fits
    });
    headers
}

fn is_credential(name: &str) -> bool {
    matches!(name, "authorization" | "cookie" | "x-gitlab-token" | "x-telegram-bot-api-secret-token" | "x-api-key")
        || name.starts_with("proxy-")
}

thread_local! {
    // A context costs more to make than a small body costs to compress.
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

fn compressed(body: &[u8]) -> Vec<u8> {
    let attempt = COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = zstd::bulk::Compressor::new(ZSTD_LEVEL).ok();
        }
        kept.as_mut()?.compress(body).ok()
    });
    // Compression into memory fails only when there is none left.
    attempt.unwrap_or_default()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk_tests;
