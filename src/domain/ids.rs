//! Identifiers: UUIDv7 inside, TypeID text at the edge (`run_01h455vb4pex5vsknk084sn02q`).
//!
//! The text form is that of the TypeID specification 0.3: a prefix, an underscore and the UUID's 128 bits in 26
//! characters of Crockford's base 32, lower case.

use thiserror::Error;
use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a {kind} id; expected `{prefix}_` and 26 characters")]
pub struct IdError {
    kind: &'static str,
    prefix: &'static str,
    text: String,
}

fn encode(prefix: &str, uuid: Uuid) -> String {
    let mut bits = uuid.as_u128();
    let mut text = [0_u8; 26];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[usize::from((bits & 31) as u8)];
        bits >>= 5;
    }
    format!("{prefix}_{}", String::from_utf8_lossy(&text))
}

fn decode(prefix: &str, text: &str) -> Option<Uuid> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?;
    if digits.len() != 26 || digits.as_bytes()[0] > b'7' {
        return None;
    }
    digits
        .bytes()
        .try_fold(0_u128, |bits, digit| Some((bits << 5) | ALPHABET.iter().position(|known| *known == digit)? as u128))
        .map(Uuid::from_u128)
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal, $kind:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, ordered by time of creation.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "each call gives another id; a default would hide that")]
            pub fn new() -> Self { Self(super::new_id()) }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&encode($prefix, self.0)) }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(&encode($prefix, self.0)) }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                decode($prefix, text)
                    .map(Self)
                    .ok_or_else(|| IdError { kind: $kind, prefix: $prefix, text: text.chars().take(64).collect() })
            }
        }
    };
}

id!(/** A stored rule that maps webhooks to runs. */ TriggerId, "trg", "trigger");
id!(/** One inbound webhook. */ DeliveryId, "dlv", "delivery");
id!(/** The conversation that a thread key finds. */ SessionId, "ses", "session");
id!(/** One prompt and what came of it. */ RunId, "run", "run");
id!(/** A caller's key. */ ApiKeyId, "key", "API key");
id!(/** One secret of a trigger. */ SecretId, "sec", "secret");
id!(/** One boot of one server process. */ WorkerId, "wrk", "worker");
id!(/** The fence of one claim: random per claim, so a number can never be reissued. */ LeaseId, "lse", "lease");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_id_reads_back_and_matches_the_specification() {
        let uuid = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").expect("valid");
        assert_eq!(RunId(uuid).to_string(), "run_01h455vb4pex5vsknk084sn02q");
        assert_eq!("run_01h455vb4pex5vsknk084sn02q".parse(), Ok(RunId(uuid)));
    }

    #[test]
    fn another_kind_or_a_broken_text_is_refused() {
        for text in
            ["ses_01h455vb4pex5vsknk084sn02q", "run_", "run_81h455vb4pex5vsknk084sn02q", "run_01h455vb4pex5vsknk084sn02u", "", "run_é"]
        {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
