//! What the tests of this room share.

use serde_json::Value as Json;

use super::*;
use crate::domain::{Trigger, samples};

pub(crate) const SECRET: &[u8] = b"a secret of the tests";
pub(crate) const NOW: UnixMicros = UnixMicros(1_763_890_302_000_000);

pub(crate) fn trigger(source: Source, change: impl FnOnce(&mut TriggerSpec)) -> Trigger {
    let mut trigger = samples::trigger(source, "{{ event.text }}");
    (trigger.create_time, trigger.update_time) = (NOW, NOW);
    change(&mut trigger.spec);
    trigger
}

pub(crate) fn headers(pairs: &[(&str, &str)]) -> Vec<Header> {
    pairs.iter().map(|(name, value)| Header { name: (*name).to_owned(), value: value.as_bytes().to_vec() }).collect()
}

/// A GitHub webhook, signed with [`SECRET`].
pub(crate) fn github(kind: &str, delivery: &str, payload: &Json) -> Inbound {
    use hmac::{Hmac, KeyInit, Mac};
    let body = payload.to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).expect("any length");
    mac.update(body.as_bytes());
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let mut sent = headers(&[
        ("content-type", "application/json"),
        ("x-github-event", kind),
        ("x-hub-signature-256", &signature),
        ("authorization", "Basic c2VjcmV0"),
    ]);
    if !delivery.is_empty() {
        sent.extend(headers(&[("x-github-delivery", delivery)]));
    }
    Inbound {
        slug: "reviews".into(),
        token: Some("0123456789abcdef0123456789abcdef".into()),
        headers: sent,
        body: body.into(),
        remote_address: "192.0.2.7".into(),
        origin: DeliveryOrigin::Webhook,
        receive_time: NOW,
    }
}

/// The built-in sample of a comment by maria.
pub(crate) fn comment() -> Json {
    let sample = SourceInfo::of(Source::Github).samples.iter().find(|sample| sample.name == "issue_comment").expect("a sample");
    serde_json::from_str(sample.body).expect("JSON")
}
