//! What each provider sends: one file per provider, one face for all.
//!
//! Three steps, in this order: [`verify`] over the raw bytes, [`parse`] to one JSON object, [`read`] to what it means.

mod clickup;
mod generic_hmac;
mod github;
mod info;
mod linear;
mod manual;
mod signature;
mod standard_webhooks;

use serde_json::Value as Json;

pub use info::{Sample, SourceInfo, sources};

use crate::domain::{DeliveryReason, Event, Header, HmacProfile, Source, UnixMicros};

/// How deep a body may nest.
const MAX_DEPTH: usize = 64;

/// A webhook as it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) headers: &'a [Header],
    pub(crate) body: &'a [u8],
    pub(crate) now: UnixMicros,
}

impl<'a> Raw<'a> {
    /// The first header of this (lower-case) name, if its value is text.
    fn header(&self, name: &str) -> Option<&'a str> {
        let header = self.headers.iter().find(|header| header.name == name)?;
        std::str::from_utf8(&header.value).ok().map(str::trim)
    }
}

/// Why a webhook is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: DeliveryReason,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(reason: DeliveryReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Slug or token are wrong; which of them is not told.
    pub(crate) fn unknown_hook() -> Self {
        Self::new(DeliveryReason::HookUnknown, "there is no webhook with this address")
    }

    fn body(message: impl Into<String>) -> Self {
        Self::new(DeliveryReason::BodyUnparseable, message)
    }
}

/// What a webhook means.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    /// The sender's id of this delivery; empty when it gives none.
    pub(crate) delivery_id: String,
    pub(crate) event: Event,
    /// The sender only says hello.
    pub(crate) hello: bool,
}

/// Checks the signature of the raw bytes against every secret; gives the place of the one that fits.
pub(crate) fn verify(source: Source, profile: Option<&HmacProfile>, raw: &Raw<'_>, secrets: &[&[u8]]) -> Result<usize, Refusal> {
    match source {
        Source::Github => github::verify(raw, secrets),
        Source::Linear => linear::verify(raw, secrets),
        Source::Clickup => clickup::verify(raw, secrets),
        Source::StandardWebhooks => standard_webhooks::verify(raw, secrets),
        Source::GenericHmac => generic_hmac::verify(raw, secrets, profile.unwrap_or(&generic_hmac::DEFAULT)),
        Source::Manual => Err(Refusal::new(DeliveryReason::HookUnknown, "this trigger is fired by hand only")),
    }
}

/// As much work as [`verify`] does, for a webhook that has no trigger, so that the time of the answer tells nothing.
pub(crate) fn pretend(raw: &Raw<'_>) {
    let _ = github::verify(raw, &[b"a secret that nobody has"]);
}

/// The body as a JSON object.
pub(crate) fn parse(source: Source, raw: &Raw<'_>) -> Result<Json, Refusal> {
    let media_type = raw.header("content-type").map(|value| value.split(';').next().unwrap_or(value).trim().to_ascii_lowercase());
    match media_type.as_deref() {
        Some("application/json") => object(raw.body),
        Some("application/x-www-form-urlencoded") if source == Source::Github => object(&github::form_payload(raw.body)?),
        Some(other) if other.starts_with("application/") && other.ends_with("+json") => object(raw.body),
        None if source == Source::GenericHmac => object(raw.body),
        other => {
            let got = other.map_or_else(|| "no content type".to_owned(), |other| format!("content type `{}`", cut(other, 80)));
            Err(Refusal::new(DeliveryReason::MediaTypeRefused, format!("{got}; this source sends application/json")))
        }
    }
}

/// These bytes as a JSON object that does not nest too deep.
pub(crate) fn object(bytes: &[u8]) -> Result<Json, Refusal> {
    let json: Json = serde_json::from_slice(bytes).map_err(|error| Refusal::body(format!("the body is not JSON: {error}")))?;
    if !json.is_object() {
        return Err(Refusal::body("the body is JSON, but not an object"));
    }
    if deeper(&json, MAX_DEPTH) {
        return Err(Refusal::body(format!("the body nests deeper than {MAX_DEPTH} levels")));
    }
    Ok(json)
}

fn deeper(json: &Json, levels: usize) -> bool {
    match json {
        Json::Array(items) => levels == 0 || items.iter().any(|item| deeper(item, levels - 1)),
        Json::Object(entries) => levels == 0 || entries.values().any(|value| deeper(value, levels - 1)),
        _ => false,
    }
}

/// What the webhook means. Errors when headers and body do not agree, or its signed time is too far off.
pub(crate) fn read(source: Source, profile: Option<&HmacProfile>, raw: &Raw<'_>, payload: &Json) -> Result<Reading, Refusal> {
    match source {
        Source::Github => github::agrees(raw, payload)?,
        Source::Linear => linear::fresh(raw, payload)?,
        _ => {}
    }
    Ok(read_by_hand(source, profile, raw, payload))
}

/// The same without any check, for an event that a person typed.
pub(crate) fn read_by_hand(source: Source, profile: Option<&HmacProfile>, raw: &Raw<'_>, payload: &Json) -> Reading {
    let reading = match source {
        Source::Github => github::read(raw, payload),
        Source::Linear => linear::read(raw, payload),
        Source::Clickup => clickup::read(payload),
        Source::StandardWebhooks => standard_webhooks::read(raw, payload),
        Source::GenericHmac => generic_hmac::read(raw, payload, profile.unwrap_or(&generic_hmac::DEFAULT)),
        Source::Manual => manual::read(payload),
    };
    bounded(reading)
}

/// Where the source's own thread key stands in this payload, as expressions name it.
pub(crate) fn thread_reads(source: Source, payload: &Json) -> Vec<String> {
    let paths: &[&str] = match source {
        Source::Github => github::THREAD,
        Source::Linear => linear::THREAD,
        Source::Clickup => clickup::THREAD,
        Source::StandardWebhooks | Source::GenericHmac | Source::Manual => manual::THREAD,
    };
    let mut found = paths.iter().filter(|path| payload.id(path).is_some());
    // Of GitHub's two parts the first is always the repository.
    let kept = if source == Source::Github { 2 } else { 1 };
    let named = |path: &&str| {
        path.split('.').fold("payload".to_owned(), |name, step| match step.parse::<usize>() {
            Ok(place) => format!("{name}[{place}]"),
            Err(_) => format!("{name}.{step}"),
        })
    };
    found.by_ref().take(kept).map(named).collect()
}

/// Cuts what a sender may make as long as it likes, and takes out what not every database stores.
fn bounded(mut reading: Reading) -> Reading {
    let event = &mut reading.event;
    for (text, limit) in [
        (&mut reading.delivery_id, 256),
        (&mut event.kind, 128),
        (&mut event.action, 128),
        (&mut event.actor.id, 256),
        (&mut event.actor.login, 256),
        (&mut event.title, 1024),
        (&mut event.url, 2048),
        (&mut event.text, 64 * 1024),
    ] {
        if text.len() > limit {
            text.truncate(cut(text, limit).len());
        }
        if text.contains('\0') {
            text.retain(|c| c != '\0');
        }
    }
    reading
}

/// The longest beginning of at most so many bytes.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Short ways into a payload.
trait Look {
    /// The value at a path of names and list places, such as `issue.labels.0.name`.
    fn at(&self, path: &str) -> Option<&Json>;
    /// The text there; empty when there is none.
    fn text(&self, path: &str) -> String;
    /// The text or whole number there, as text; none when there is neither, or it is empty.
    fn id(&self, path: &str) -> Option<String>;
}

impl Look for Json {
    fn at(&self, path: &str) -> Option<&Json> {
        path.split('.').try_fold(self, |value, step| match value {
            Json::Object(entries) => entries.get(step),
            Json::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }

    fn text(&self, path: &str) -> String {
        self.at(path).and_then(Json::as_str).unwrap_or_default().to_owned()
    }

    fn id(&self, path: &str) -> Option<String> {
        match self.at(path)? {
            Json::String(text) if !text.is_empty() => Some(text.clone()),
            Json::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
            _ => None,
        }
    }
}

/// The first of these paths that has text.
fn first_text(payload: &Json, paths: &[&str]) -> String {
    paths.iter().map(|path| payload.text(path)).find(|text| !text.is_empty()).unwrap_or_default()
}

/// The first of these paths that has an id.
fn first_id(payload: &Json, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| payload.id(path))
}

#[cfg(test)]
mod tests;
