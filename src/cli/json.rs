//! Messages as JSON: the same that every other gRPC tool prints.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use super::failure::Failure;
use crate::proto::DESCRIPTOR_SET;

static POOL: LazyLock<Option<DescriptorPool>> = LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).ok());

/// The description of a message of the contract by its short name.
pub(crate) fn descriptor(name: &str) -> Result<MessageDescriptor, Failure> {
    let pool = POOL.as_ref().ok_or_else(|| Failure::Other("the built-in description of the contract is damaged".into()))?;
    pool.get_message_by_name(&format!("reprise.v1.{name}")).ok_or_else(|| Failure::Other(format!("there is no message {name}")))
}

/// The message as JSON; `pretty` over several lines.
pub(crate) fn text<M: Message>(message: &M, pretty: bool) -> Result<String, Failure> {
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
    let dynamic = DynamicMessage::decode(descriptor(name)?, message.encode_to_vec().as_slice()).map_err(unusable)?;
    let mut out = Vec::new();
    let options = SerializeOptions::new();
    if pretty {
        dynamic.serialize_with_options(&mut serde_json::Serializer::pretty(&mut out), &options).map_err(unusable)?;
    } else {
        dynamic.serialize_with_options(&mut serde_json::Serializer::new(&mut out), &options).map_err(unusable)?;
    }
    String::from_utf8(out).map_err(unusable)
}

/// A message of the contract from JSON, in either spelling of the field names.
pub(crate) fn parse<M: Message + Default>(json: &serde_json::Value) -> Result<M, Failure> {
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
    let dynamic = DynamicMessage::deserialize(descriptor(name)?, json).map_err(|error| Failure::Usage(error.to_string()))?;
    dynamic.transcode_to().map_err(unusable)
}

/// A JSON object as a Struct of the contract.
pub(crate) fn parse_struct(text: &str) -> Result<prost_types::Struct, Failure> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| Failure::Usage(format!("not JSON: {error}")))?;
    let pool = POOL.as_ref().and_then(|pool| pool.get_message_by_name("google.protobuf.Struct"));
    let descriptor = pool.ok_or_else(|| Failure::Other("the built-in description of the contract is damaged".into()))?;
    let dynamic = DynamicMessage::deserialize(descriptor, &value).map_err(|_| Failure::Usage("not a JSON object".into()))?;
    dynamic.transcode_to().map_err(unusable)
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::Other(format!("the message cannot be shown as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::v1::{GetRunResponse, Run, RunState, Settings, Usage};

    #[test]
    fn names_are_lower_camel_and_large_numbers_are_text() {
        let usage = Usage { output_tokens: 412, cost_usd: 0.0904, ..Usage::default() };
        let run = Run { id: "run_1".into(), state: RunState::Succeeded.into(), usage: Some(usage), turn: 2, ..Run::default() };
        let json = text(&GetRunResponse { run: Some(run) }, false).expect("a message of the contract");
        assert_eq!(
            json,
            r#"{"run":{"id":"run_1","state":"RUN_STATE_SUCCEEDED","turn":2,"usage":{"outputTokens":"412","costUsd":0.0904}}}"#
        );
    }

    #[test]
    fn both_spellings_are_read_and_unknown_names_refused() {
        let read = |json| parse::<Settings>(&json);
        let one = read(serde_json::json!({"sessions": {"auto_cleanup_days": 9}})).expect("proto names");
        assert_eq!(one, read(serde_json::json!({"sessions": {"autoCleanupDays": 9}})).expect("JSON names"));
        assert!(matches!(read(serde_json::json!({"session": {}})), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_payload_is_an_object() {
        assert!(parse_struct(r#"{"a":[1,{"b":null}]}"#).is_ok());
        assert!(parse_struct("[1]").is_err() && parse_struct("{").is_err());
    }
}
