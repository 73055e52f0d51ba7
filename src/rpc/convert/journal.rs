//! Journal entries and deltas.

use std::ops::Range;
use std::sync::Arc;

use super::run::{failure, usage};
use super::{WireEnum, duration, millis, none_if_empty, timestamp};
use crate::domain::{ENTRY_KINDS, EntryFilter, EntryKind, JournalEntry, Result, Sequence};
use crate::proto::v1::{self, journal_entry::Kind};
use crate::rpc::Fields;

/// An entry as a reader gets it.
#[must_use]
pub fn entry(entry: &JournalEntry, include_raw: bool) -> v1::JournalEntry {
    v1::JournalEntry {
        sequence: entry.sequence,
        attempt: entry.attempt,
        time: Some(timestamp(entry.time)),
        parent_tool_use_id: entry.parent_tool_use_id.clone(),
        truncated: entry.truncated,
        raw: if include_raw { entry.raw.clone() } else { String::new() },
        kind: Some(kind(&entry.kind)),
    }
}

/// A piece of a block that is being written.
#[must_use]
pub fn delta(block_id: &Arc<str>, thinking: bool, offset: usize, text: String) -> v1::Delta {
    v1::Delta { block_id: block_id.to_string(), thinking, offset: super::count(offset), text }
}

fn kind(kind: &EntryKind) -> Kind {
    match kind {
        EntryKind::Text { block_id, text } => Kind::Text(v1::TextEntry { block_id: block_id.clone(), text: text.clone() }),
        EntryKind::Thinking { block_id, text } => Kind::Thinking(v1::ThinkingEntry { block_id: block_id.clone(), text: text.clone() }),
        EntryKind::ToolCall { tool_use_id, name, summary, input_json } => Kind::ToolCall(v1::ToolCallEntry {
            tool_use_id: tool_use_id.clone(),
            name: name.clone(),
            summary: summary.clone(),
            input_json: input_json.clone(),
        }),
        EntryKind::ToolResult { tool_use_id, is_error, text, size_bytes, duration_ms, image_count } => {
            Kind::ToolResult(v1::ToolResultEntry {
                tool_use_id: tool_use_id.clone(),
                is_error: *is_error,
                text: text.clone(),
                size_bytes: *size_bytes,
                duration: Some(span(*duration_ms)),
                image_count: *image_count,
            })
        }
        EntryKind::Usage { usage: used, context_tokens, context_window_tokens } => Kind::Usage(v1::UsageEntry {
            usage: Some(usage(*used)),
            context_tokens: *context_tokens,
            context_window_tokens: *context_window_tokens,
        }),
        EntryKind::Retry { number, max_count, delay_ms, api_status, error } => Kind::Retry(v1::RetryEntry {
            number: *number,
            max_count: *max_count,
            delay: Some(span(*delay_ms)),
            api_status: *api_status,
            error: error.clone(),
        }),
        EntryKind::Notice { code, message, values } => {
            Kind::Notice(v1::NoticeEntry { code: code.to_wire(), message: message.clone(), values: values.iter().cloned().collect() })
        }
        EntryKind::Stderr { text } => Kind::Stderr(v1::StderrEntry { text: text.clone() }),
        EntryKind::Other { line_type, subtype, raw_json } => {
            Kind::Other(v1::OtherEntry { r#type: line_type.clone(), subtype: subtype.clone(), raw_json: raw_json.clone() })
        }
        EntryKind::RunStarted { .. } | EntryKind::AgentStarted { .. } | EntryKind::Outcome { .. } => milestone(kind),
    }
}

/// The few entries that begin and end things.
fn milestone(kind: &EntryKind) -> Kind {
    match kind {
        EntryKind::RunStarted { attempt, lineage, prompt, prompt_kind, delivery_ids } => Kind::RunStarted(v1::RunStartedEntry {
            attempt: *attempt,
            lineage: lineage.to_wire(),
            prompt: prompt.clone(),
            prompt_kind: prompt_kind.to_wire(),
            delivery_ids: delivery_ids.iter().map(ToString::to_string).collect(),
        }),
        EntryKind::AgentStarted {
            purpose,
            agent_session_id,
            agent_version,
            model,
            permission_mode,
            tools,
            mcp_servers,
            credential_kind,
        } => Kind::AgentStarted(v1::AgentStartedEntry {
            agent_session_id: agent_session_id.clone(),
            agent_version: agent_version.clone(),
            model: model.clone(),
            permission_mode: permission_mode.clone(),
            tools: tools.clone(),
            mcp_servers: mcp_servers.iter().map(|server| mcp_server(server)).collect(),
            credential_kind: credential_kind.clone(),
            purpose: purpose.to_wire(),
        }),
        EntryKind::Outcome { state, result_text, failure: failed, usage: used, warnings, turn_duration_ms, api_duration_ms } => {
            Kind::Outcome(v1::OutcomeEntry {
                state: state.to_wire(),
                result_text: result_text.clone(),
                failure: failed.as_ref().map(failure),
                usage: Some(usage(*used)),
                warnings: warnings.iter().map(|warning| warning.to_wire()).collect(),
                turn_duration: millis(*turn_duration_ms),
                api_duration: millis(*api_duration_ms),
            })
        }
        other => self::kind(other),
    }
}

/// A server is kept as `name`, or as `name (status)` when it is not connected.
fn mcp_server(server: &str) -> v1::McpServer {
    let (name, status) = server.strip_suffix(')').and_then(|server| server.rsplit_once(" (")).unwrap_or((server, "connected"));
    v1::McpServer { name: name.to_owned(), status: status.to_owned() }
}

fn span(ms: i64) -> prost_types::Duration {
    duration(std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// The longest text that is searched for, in bytes.
const MAX_QUERY: usize = 1024;

/// Which entries a request lists, and between which sequences.
pub fn entry_filter(request: &v1::ListJournalEntriesRequest) -> Result<(EntryFilter, Range<Sequence>)> {
    use v1::list_journal_entries_request::Position::{AfterSequence, BeforeSequence};
    let mut fields = Fields::new();
    let mut kinds = Vec::new();
    for (i, name) in request.kinds.iter().enumerate() {
        match ENTRY_KINDS.iter().find(|kind| *kind == name) {
            Some(kind) => kinds.push(*kind),
            None => fields.wrong(format!("kinds[{i}]"), format!("is `{name}`; known are {}", ENTRY_KINDS.join(", "))),
        }
    }
    let mut sequence = |field: &str, sequence: i32| {
        fields.check(sequence >= 0, field, || format!("is {sequence}; it must not be negative"));
        sequence
    };
    let between = match request.position {
        None => 0..Sequence::MAX,
        Some(AfterSequence(after)) => sequence("after_sequence", after)..Sequence::MAX,
        Some(BeforeSequence(before)) => 0..sequence("before_sequence", before),
    };
    let tool_name = none_if_empty(&fields.text("tool_name", request.tool_name.clone(), MAX_QUERY));
    let query = none_if_empty(&fields.text("query", request.query.clone(), MAX_QUERY));
    fields.finish((EntryFilter { kinds, tool_name, query }, between))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CostBasis, Failure, FailureReason, NanoUsd, RunState, UnixMicros, Usage};

    fn made(kind: EntryKind) -> JournalEntry {
        let raw = "{\"type\":\"x\"}".to_owned();
        JournalEntry { sequence: 7, attempt: 1, time: UnixMicros(1_500_000), parent_tool_use_id: String::new(), truncated: true, raw, kind }
    }

    #[test]
    fn the_raw_line_is_sent_only_when_asked_for() {
        let text = made(EntryKind::Text { block_id: "b".to_owned(), text: "hello".to_owned() });
        assert_eq!(entry(&text, false).raw, "");
        let sent = entry(&text, true);
        assert_eq!((sent.raw.as_str(), sent.sequence, sent.truncated), ("{\"type\":\"x\"}", 7, true));
        assert!(matches!(sent.kind, Some(Kind::Text(text)) if text.text == "hello" && text.block_id == "b"));
    }

    #[test]
    fn an_outcome_carries_what_to_do_and_what_it_cost() {
        let outcome = made(EntryKind::Outcome {
            state: RunState::Failed,
            result_text: String::new(),
            failure: Some(Failure::new(FailureReason::MaxCost, "it used $2")),
            usage: Usage { cost: NanoUsd::from_usd(2.0), cost_basis: CostBasis::Metered, ..Usage::default() },
            warnings: vec![],
            turn_duration_ms: 0,
            api_duration_ms: 1500,
        });
        let Some(Kind::Outcome(outcome)) = entry(&outcome, false).kind else { panic!("no outcome") };
        let failure = outcome.failure.expect("failed");
        assert!(failure.remedy.contains("run_limits.max_cost_usd") && !failure.retryable);
        let usage = outcome.usage.expect("usage");
        assert_eq!((usage.cost_usd, usage.cost_basis()), (2.0, v1::CostBasis::Metered));
        assert_eq!((outcome.turn_duration, outcome.api_duration), (None, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 })));
    }
}
