//! Any sender that signs with an HMAC, as the trigger's profile says.

use std::time::Duration;

use serde_json::Value as Json;

use super::{Raw, Reading, Refusal, manual, signature};
use crate::domain::{DeliveryReason, HmacAlgorithm, HmacEncoding, HmacProfile, UnixMicros};

const HEADER: &str = "x-signature";
const TEMPLATE: &str = "{body}";

/// What holds where a trigger does not say: the body alone, SHA-256, hexadecimal, in `x-signature`.
pub(super) const DEFAULT: HmacProfile = HmacProfile {
    header: String::new(),
    algorithm: HmacAlgorithm::Sha256,
    encoding: HmacEncoding::Hex,
    prefix: String::new(),
    signed_template: String::new(),
    timestamp_header: String::new(),
    tolerance: Duration::ZERO,
    id_header: String::new(),
};

pub(super) fn verify(raw: &Raw<'_>, secrets: &[&[u8]], profile: &HmacProfile) -> Result<usize, Refusal> {
    let name = if profile.header.is_empty() { HEADER } else { &profile.header.to_ascii_lowercase() };
    let header = raw.header(name);
    let time = named(raw, &profile.timestamp_header);
    let given: Vec<_> = header
        .unwrap_or_default()
        .split([',', ' '])
        .map(|one| signature::decode(profile.encoding, one.strip_prefix(profile.prefix.as_str()).unwrap_or(one)))
        .collect();
    let parts = signed(profile, raw.body, time.unwrap_or_default(), named(raw, &profile.id_header).unwrap_or_default());
    let verdict = signature::matching(profile.algorithm, secrets, &parts, &given);
    if header.is_none() {
        return Err(signature::missing(name));
    }
    if profile.timestamp_header.is_empty() {
        return verdict;
    }
    let Some(time) = time else { return Err(signature::missing(&profile.timestamp_header)) };
    fresh(&profile.timestamp_header, time, profile.tolerance, raw.now, verdict)
}

/// A fitting signature counts only when the time it covers is near: `name` carries Unix seconds.
pub(super) fn fresh(
    name: &str,
    time: &str,
    tolerance: Duration,
    now: UnixMicros,
    verdict: Result<usize, Refusal>,
) -> Result<usize, Refusal> {
    let fitting = verdict?;
    let Ok(seconds) = time.parse::<i64>() else {
        return Err(Refusal::new(DeliveryReason::TimestampStale, format!("`{name}` is not a Unix time in seconds")));
    };
    let sent = UnixMicros(seconds.saturating_mul(1_000_000));
    let off = now.since(sent).max(sent.since(now));
    if off > tolerance {
        let message = format!("`{name}` is {} s off; at most {} s are taken", off.as_secs(), tolerance.as_secs());
        return Err(Refusal::new(DeliveryReason::TimestampStale, message));
    }
    Ok(fitting)
}

pub(super) fn read(raw: &Raw<'_>, payload: &Json, profile: &HmacProfile) -> Reading {
    Reading { delivery_id: named(raw, &profile.id_header).unwrap_or_default().to_owned(), ..manual::read(payload) }
}

fn named<'a>(raw: &Raw<'a>, header: &str) -> Option<&'a str> {
    if header.is_empty() { None } else { raw.header(&header.to_ascii_lowercase()) }
}

/// The template with its places filled, as parts, so that a large body is not copied.
fn signed<'a>(profile: &'a HmacProfile, body: &'a [u8], time: &'a str, id: &'a str) -> Vec<&'a [u8]> {
    let mut rest = if profile.signed_template.is_empty() { TEMPLATE } else { profile.signed_template.as_str() };
    let mut parts: Vec<&[u8]> = Vec::new();
    let places: [(&str, &[u8]); 3] = [(TEMPLATE, body), ("{timestamp}", time.as_bytes()), ("{id}", id.as_bytes())];
    while let Some((at, place, value)) =
        places.iter().filter_map(|(place, value)| Some((rest.find(place)?, place, value))).min_by_key(|(at, ..)| *at)
    {
        parts.extend([&rest.as_bytes()[..at], value]);
        rest = &rest[at + place.len()..];
    }
    parts.push(rest.as_bytes());
    parts
}
