//! Deliveries, headers and payloads typed by hand.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::{WireEnum, duration, none_if_empty, text, timestamp, wire};
use crate::domain::{Delivery, DeliveryFilter, DeliveryPayload, Error, Header, Result, TriggerId};
use crate::proto::v1;
use crate::rpc::{Fields, MAX_TEXT};

/// The most of a body that one answer holds.
const MAX_BODY: usize = 1024 * 1024;
const MAX_FIRE_HEADERS: usize = 100;
const MAX_FIRE_HEADER_BYTES: usize = 16 * 1024;

/// A delivery. `full` has its headers and its body from that byte on.
#[must_use]
pub fn delivery(delivery: &Delivery, full: Option<(&DeliveryPayload, usize)>) -> v1::Delivery {
    let actor = &delivery.event.actor;
    let mut message = v1::Delivery {
        id: delivery.id.to_string(),
        trigger_id: text(delivery.trigger_id),
        trigger_slug: delivery.trigger_slug.clone(),
        origin: delivery.origin.to_wire(),
        source: delivery.source.to_wire(),
        provider_delivery_id: delivery.provider_delivery_id.clone(),
        event_kind: delivery.event.kind.clone(),
        action: delivery.event.action.clone(),
        actor: (!actor.id.is_empty() || !actor.login.is_empty()).then(|| v1::EventActor {
            id: actor.id.clone(),
            login: actor.login.clone(),
            kind: actor.kind.to_wire(),
        }),
        thread_key: delivery.event.thread_key.clone().unwrap_or_default(),
        title: delivery.event.title.clone(),
        url: delivery.event.url.clone(),
        outcome: delivery.outcome.to_wire(),
        reason: wire(delivery.reason),
        message: delivery.message.clone(),
        session_id: text(delivery.session_id),
        run_id: text(delivery.run_id),
        duplicate_of_delivery_id: text(delivery.duplicate_of),
        replay_of_delivery_id: text(delivery.replay_of),
        replayed_by_delivery_ids: delivery.replayed_by.iter().map(ToString::to_string).collect(),
        receive_time: Some(timestamp(delivery.receive_time)),
        ack_duration: Some(duration(delivery.ack_duration)),
        body_bytes: delivery.body_bytes,
        ..Default::default()
    };
    if let Some((payload, offset)) = full {
        let rest = payload.body.get(offset..).unwrap_or_default();
        message.headers = payload.headers.iter().map(header).collect();
        message.body = Bytes::copy_from_slice(&rest[..rest.len().min(MAX_BODY)]);
        message.body_truncated = rest.len() > MAX_BODY;
    }
    message
}

/// A header as text.
#[must_use]
pub fn header(header: &Header) -> v1::Header {
    v1::Header { name: header.name.clone(), value: String::from_utf8_lossy(&header.value).into_owned() }
}

/// A header as a gateway received it.
#[must_use]
pub fn raw_header(header: v1::RawHeader) -> Header {
    Header { name: header.name.to_ascii_lowercase(), value: header.value.into() }
}

/// The headers of an event that is fired by hand.
pub fn fire_headers(headers: Vec<v1::Header>) -> Result<Vec<Header>> {
    let mut fields = Fields::new();
    fields.check(headers.len() <= MAX_FIRE_HEADERS, "headers", || format!("has {} entries; allowed are {MAX_FIRE_HEADERS}", headers.len()));
    let bytes: usize = headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    fields.check(bytes <= MAX_FIRE_HEADER_BYTES, "headers", || format!("has {bytes} bytes; allowed are {MAX_FIRE_HEADER_BYTES}"));
    for (i, header) in headers.iter().enumerate() {
        let named = http::HeaderName::from_bytes(header.name.as_bytes()).is_ok();
        fields.check(named, &format!("headers[{i}].name"), || "is not the name of an HTTP header".to_owned());
        let valued = http::HeaderValue::from_bytes(header.value.as_bytes()).is_ok();
        fields.check(valued, &format!("headers[{i}].value"), || "is not the value of an HTTP header".to_owned());
    }
    let lower = |header: v1::Header| Header { name: header.name.to_ascii_lowercase(), value: header.value.into_bytes() };
    fields.finish(headers.into_iter().map(lower).collect())
}

/// A payload that a person typed, as JSON.
pub fn struct_json(payload: &prost_types::Struct) -> Result<Bytes> {
    serde_json::to_vec(&object(payload)).map(Bytes::from).map_err(Error::internal)
}

fn object(fields: &prost_types::Struct) -> Value {
    Value::Object(fields.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect::<Map<_, _>>())
}

fn json(value: &prost_types::Value) -> Value {
    use prost_types::value::Kind;
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(*flag),
        Some(Kind::StringValue(text)) => Value::String(text.clone()),
        Some(Kind::NumberValue(number)) => self::number(*number),
        Some(Kind::StructValue(fields)) => object(fields),
        Some(Kind::ListValue(list)) => Value::Array(list.values.iter().map(json).collect()),
    }
}

/// A Struct knows doubles only; a person who typed `7` means 7, not 7.0.
#[expect(clippy::cast_possible_truncation, reason = "only whole numbers within the exact range are taken")]
fn number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Value::Number(Number::from(number as i64));
    }
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// Which deliveries a request lists. `trigger` is the one that its `trigger_id` names.
pub fn delivery_filter(request: &v1::ListDeliveriesRequest, trigger: Option<TriggerId>) -> Result<DeliveryFilter> {
    let mut fields = Fields::new();
    let filter = DeliveryFilter {
        trigger_id: trigger,
        session_id: fields.id_or_none("session_id", &request.session_id),
        run_id: fields.id_or_none("run_id", &request.run_id),
        outcomes: fields.choices("outcomes", &request.outcomes),
        origins: fields.choices("origins", &request.origins),
        event_kind: none_if_empty(&fields.text("event_kind", request.event_kind.clone(), MAX_TEXT)),
        actor: none_if_empty(&fields.text("actor", request.actor.clone(), MAX_TEXT)),
        start_time: fields.time("start_time", request.start_time),
        end_time: fields.time("end_time", request.end_time),
    };
    fields.finish(filter)
}

/// Which deliveries a request watches, and how many of the newest it wants first.
pub fn watched_deliveries(request: &v1::WatchDeliveriesRequest, trigger: Option<TriggerId>) -> Result<(DeliveryFilter, u32)> {
    let mut fields = Fields::new();
    let filter = DeliveryFilter {
        trigger_id: trigger,
        session_id: fields.id_or_none("session_id", &request.session_id),
        outcomes: fields.choices("outcomes", &request.outcomes),
        origins: fields.choices("origins", &request.origins),
        event_kind: none_if_empty(&fields.text("event_kind", request.event_kind.clone(), MAX_TEXT)),
        actor: none_if_empty(&fields.text("actor", request.actor.clone(), MAX_TEXT)),
        ..DeliveryFilter::default()
    };
    let size = fields.snapshot_size(request.page_size);
    fields.finish((filter, size))
}

#[cfg(test)]
mod tests {
    use prost_types::value::Kind;

    use super::*;

    #[test]
    fn a_typed_payload_keeps_whole_numbers_whole() {
        let value = |kind| prost_types::Value { kind: Some(kind) };
        let list = prost_types::ListValue { values: vec![value(Kind::NumberValue(1.5)), value(Kind::NullValue(0))] };
        let fields = [("number", value(Kind::NumberValue(7.0))), ("list", value(Kind::ListValue(list)))];
        let payload = prost_types::Struct { fields: fields.into_iter().map(|(n, v)| (n.to_owned(), v)).collect() };
        let json: Value = serde_json::from_slice(&struct_json(&payload).expect("json")).expect("json");
        assert_eq!(json, serde_json::json!({ "number": 7, "list": [1.5, null] }));
    }

    #[test]
    fn headers_by_hand_are_lower_case_and_checked() {
        let header = |name: &str, value: &str| v1::Header { name: name.to_owned(), value: value.to_owned() };
        let headers = fire_headers(vec![header("X-GitHub-Event", "push")]).expect("valid");
        assert_eq!(headers, [Header { name: "x-github-event".to_owned(), value: b"push".to_vec() }]);
        let error = fire_headers(vec![header("", "x"), header("a", "x\ny")]).expect_err("wrong");
        assert_eq!(error.fields().iter().map(|f| f.field.clone()).collect::<Vec<_>>(), ["headers[0].name", "headers[1].value"]);
    }
}
