//! HMAC over raw bytes, compared in constant time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::Refusal;
use crate::domain::{DeliveryReason, HmacAlgorithm, HmacEncoding};

/// Signatures that one header may list; more are not looked at.
const MAX_LISTED: usize = 8;

/// Which of `secrets` signs `parts` with one of `given`. Every secret is tried, whichever fits.
pub(super) fn matching(algorithm: HmacAlgorithm, secrets: &[&[u8]], parts: &[&[u8]], given: &[Vec<u8>]) -> Result<usize, Refusal> {
    let mut found = Choice::from(0);
    let mut place = 0_u64;
    for (n, secret) in (0_u64..).zip(secrets) {
        let tag = sign(algorithm, secret, parts);
        let fits = given.iter().take(MAX_LISTED).fold(Choice::from(0), |fits, one| fits | tag.as_slice().ct_eq(one));
        place = u64::conditional_select(&place, &n, fits & !found);
        found |= fits;
    }
    if bool::from(found) {
        return Ok(usize::try_from(place).unwrap_or_default());
    }
    Err(Refusal::new(
        DeliveryReason::SignatureMismatch,
        if secrets.is_empty() { "this trigger has no active secret" } else { "the signature fits none of the active secrets" },
    ))
}

/// The refusal of a webhook without this header.
pub(super) fn missing(header: &str) -> Refusal {
    Refusal::new(DeliveryReason::SignatureMissing, format!("there is no header `{header}`"))
}

/// A signature as its sender wrote it; what is not of that encoding fits nothing.
pub(super) fn decode(encoding: HmacEncoding, text: &str) -> Vec<u8> {
    match encoding {
        HmacEncoding::Hex => hex::decode(text).unwrap_or_default(),
        HmacEncoding::Base64 => STANDARD.decode(text).unwrap_or_default(),
    }
}

/// The signature of these parts, one after the other.
pub(super) fn sign(algorithm: HmacAlgorithm, secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(secret: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        // An HMAC takes a key of any length; were it ever to refuse one, the empty tag fits no signature.
        let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return vec![0] };
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }
    match algorithm {
        HmacAlgorithm::Sha1 => with::<Hmac<Sha1>>(secret, parts),
        HmacAlgorithm::Sha256 => with::<Hmac<Sha256>>(secret, parts),
        HmacAlgorithm::Sha512 => with::<Hmac<Sha512>>(secret, parts),
    }
}
