//! Any sender that follows the Standard Webhooks specification with symmetric (`v1`) signatures.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::Value as Json;

use super::{Raw, Reading, Refusal, generic_hmac, manual, signature};
use crate::domain::{HmacAlgorithm, HmacEncoding};

const SIGNATURE: &str = "webhook-signature";
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

pub(super) fn verify(raw: &Raw<'_>, secrets: &[&[u8]]) -> Result<usize, Refusal> {
    let (id, time) = (raw.header("webhook-id"), raw.header("webhook-timestamp"));
    let header = raw.header(SIGNATURE);
    // Several signatures stand in one header while the sender rotates; other versions than `v1` are not ours to judge.
    let given: Vec<_> = header
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|one| one.strip_prefix("v1,"))
        .map(|text| signature::decode(HmacEncoding::Base64, text))
        .collect();
    let keys: Vec<_> = secrets.iter().map(|secret| key(secret)).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let parts = [id.unwrap_or_default().as_bytes(), b".", time.unwrap_or_default().as_bytes(), b".", raw.body];
    let verdict = signature::matching(HmacAlgorithm::Sha256, &keys, &parts, &given);
    match [(SIGNATURE, header), ("webhook-id", id), ("webhook-timestamp", time)].into_iter().find(|(_, value)| value.is_none()) {
        Some((name, _)) => Err(signature::missing(name)),
        None => generic_hmac::fresh("webhook-timestamp", time.unwrap_or_default(), TOLERANCE, raw.now, verdict),
    }
}

/// The bytes of a secret: base64 after `whsec_`; a secret that is not base64 is taken as it is.
fn key(secret: &[u8]) -> Vec<u8> {
    let encoded = secret.strip_prefix(b"whsec_").unwrap_or(secret);
    STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).unwrap_or_else(|_| secret.to_vec())
}

pub(super) fn read(raw: &Raw<'_>, payload: &Json) -> Reading {
    Reading { delivery_id: raw.header("webhook-id").unwrap_or_default().to_owned(), ..manual::read(payload) }
}
