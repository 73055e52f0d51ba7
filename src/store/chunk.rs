//! The stored shape of journal entries: lines of JSON, compressed together. The domain knows nothing of it.
//!
//! Empty fields are left out. A kind that a later version wrote reads as [`EntryKind::Other`], so that nothing is lost.

use std::borrow::Cow;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{
    CostBasis, DeliveryId, EntryKind, Error, Failure, FailureReason, JournalEntry, Lineage, NanoUsd, NoticeCode, PromptKind, Result,
    RunState, RunWarning, SpawnPurpose, UnixMicros, Usage,
};

/// The most text that one field of an entry holds; whoever makes the entry cuts it and sets `truncated`.
pub(crate) const MAX_TEXT_BYTES: usize = 64 * 1024;

/// Fast, and within a few percent of the higher levels on lines that are this alike.
const LEVEL: i32 = 1;

/// Consecutive entries as one compressed body.
pub(crate) fn encode(entries: &[JournalEntry]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(entries.iter().map(weight).sum());
    for entry in entries {
        debug_assert!(entry.raw.len() <= MAX_TEXT_BYTES, "the raw line of entry {} is not cut", entry.sequence);
        serde_json::to_writer(&mut lines, &Line::of(entry)).expect("these shapes have text keys only, and memory takes every write");
        lines.push(b'\n');
    }
    zstd::bulk::compress(&lines, LEVEL).expect("memory takes every write")
}

/// The entries of a body, in order.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<JournalEntry>> {
    let lines = zstd::decode_all(body).map_err(|e| Error::internal(format!("a journal chunk cannot be decompressed: {e}")))?;
    lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(entry).collect()
}

/// About how many bytes this entry takes in memory and, before compression, in a chunk.
pub(crate) fn weight(entry: &JournalEntry) -> usize {
    let kind = match &entry.kind {
        EntryKind::RunStarted { prompt: text, .. }
        | EntryKind::Text { text, .. }
        | EntryKind::Thinking { text, .. }
        | EntryKind::ToolResult { text, .. }
        | EntryKind::Stderr { text }
        | EntryKind::Retry { error: text, .. }
        | EntryKind::Notice { message: text, .. }
        | EntryKind::Outcome { result_text: text, .. }
        | EntryKind::Other { raw_json: text, .. } => text.len(),
        EntryKind::ToolCall { summary, input_json, .. } => summary.len() + input_json.len(),
        EntryKind::AgentStarted { tools, mcp_servers, .. } => tools.iter().chain(mcp_servers).map(String::len).sum(),
        EntryKind::Usage { .. } => 0,
    };
    256 + entry.raw.len() + kind
}

fn entry(line: &[u8]) -> Result<JournalEntry> {
    match serde_json::from_slice::<Line<'_, Kind<'_>>>(line).map(Line::into_entry) {
        Ok(Some(entry)) => Ok(entry),
        // Written by a version that knows more than this one.
        _ => serde_json::from_slice::<Line<'_, Box<RawValue>>>(line)
            .map(unknown)
            .map_err(|e| Error::internal(format!("a journal line cannot be read: {e}"))),
    }
}

fn unknown(line: Line<'_, Box<RawValue>>) -> JournalEntry {
    let json = line.kind.get();
    let line_type = json.split('"').nth(1).unwrap_or_default().to_owned();
    let kind = EntryKind::Other { line_type, subtype: String::new(), raw_json: json.to_owned() };
    line.with(kind)
}

#[derive(Serialize, Deserialize)]
struct Line<'a, K> {
    #[serde(rename = "n")]
    sequence: i32,
    #[serde(rename = "a")]
    attempt: i32,
    #[serde(rename = "t")]
    time: i64,
    #[serde(rename = "p", default, skip_serializing_if = "str::is_empty")]
    parent: Cow<'a, str>,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(rename = "k")]
    kind: K,
    #[serde(rename = "r", default, skip_serializing_if = "str::is_empty")]
    raw: Cow<'a, str>,
}

impl<K> Line<'_, K> {
    fn with(self, kind: EntryKind) -> JournalEntry {
        JournalEntry {
            sequence: self.sequence,
            attempt: self.attempt,
            time: UnixMicros(self.time),
            parent_tool_use_id: self.parent.into_owned(),
            truncated: self.truncated,
            raw: self.raw.into_owned(),
            kind,
        }
    }
}

impl<'a> Line<'a, Kind<'a>> {
    fn of(entry: &'a JournalEntry) -> Self {
        Self {
            sequence: entry.sequence,
            attempt: entry.attempt,
            time: entry.time.0,
            parent: Cow::Borrowed(&entry.parent_tool_use_id),
            truncated: entry.truncated,
            kind: Kind::of(&entry.kind),
            raw: Cow::Borrowed(&entry.raw),
        }
    }

    fn into_entry(mut self) -> Option<JournalEntry> {
        let kind = std::mem::replace(&mut self.kind, Kind::Stderr { text: Cow::Borrowed("") }).into_domain()?;
        Some(self.with(kind))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind<'a> {
    RunStarted {
        attempt: i32,
        lineage: Cow<'a, str>,
        prompt: Cow<'a, str>,
        prompt_kind: Cow<'a, str>,
        delivery_ids: Vec<uuid::Uuid>,
    },
    AgentStarted {
        purpose: Cow<'a, str>,
        session: Cow<'a, str>,
        version: Cow<'a, str>,
        model: Cow<'a, str>,
        permission_mode: Cow<'a, str>,
        tools: Cow<'a, [String]>,
        mcp_servers: Cow<'a, [String]>,
        credential: Cow<'a, str>,
    },
    Text {
        block: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    Thinking {
        block: Cow<'a, str>,
        text: Cow<'a, str>,
    },
    ToolCall {
        id: Cow<'a, str>,
        name: Cow<'a, str>,
        summary: Cow<'a, str>,
        input: Cow<'a, str>,
    },
    ToolResult {
        id: Cow<'a, str>,
        error: bool,
        text: Cow<'a, str>,
        bytes: i64,
        ms: i64,
        images: i32,
    },
    Usage {
        usage: Used,
        context: i64,
        window: i64,
    },
    Retry {
        number: i32,
        max: i32,
        ms: i64,
        status: Option<i32>,
        error: Cow<'a, str>,
    },
    Notice {
        code: Cow<'a, str>,
        message: Cow<'a, str>,
        values: Cow<'a, [(String, String)]>,
    },
    Stderr {
        text: Cow<'a, str>,
    },
    Outcome {
        state: Cow<'a, str>,
        text: Cow<'a, str>,
        failure: Option<Failed<'a>>,
        usage: Used,
        warnings: Vec<Cow<'a, str>>,
        turn_ms: i64,
        api_ms: i64,
    },
    Other {
        line_type: Cow<'a, str>,
        subtype: Cow<'a, str>,
        json: Cow<'a, str>,
    },
}

#[derive(Serialize, Deserialize)]
struct Failed<'a> {
    reason: Cow<'a, str>,
    message: Cow<'a, str>,
    status: Option<i32>,
}

#[derive(Serialize, Deserialize)]
struct Used {
    input: i64,
    output: i64,
    read: i64,
    write: i64,
    thinking: i64,
    nano: i64,
    basis: String,
}

impl Used {
    fn of(usage: &Usage) -> Self {
        Self {
            input: usage.input_tokens,
            output: usage.output_tokens,
            read: usage.cache_read_tokens,
            write: usage.cache_write_tokens,
            thinking: usage.thinking_tokens,
            nano: usage.cost.0,
            basis: usage.cost_basis.as_str().to_owned(),
        }
    }

    fn into_domain(self) -> Usage {
        Usage {
            input_tokens: self.input,
            output_tokens: self.output,
            cache_read_tokens: self.read,
            cache_write_tokens: self.write,
            thinking_tokens: self.thinking,
            cost: NanoUsd(self.nano),
            cost_basis: self.basis.parse().unwrap_or(CostBasis::Unknown),
        }
    }
}

fn known<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

impl<'a> Kind<'a> {
    fn of(kind: &'a EntryKind) -> Self {
        let name = |text: &'static str| Cow::Borrowed(text);
        let text = |text: &'a String| Cow::Borrowed(text.as_str());
        match kind {
            EntryKind::RunStarted { attempt, lineage, prompt, prompt_kind, delivery_ids } => Self::RunStarted {
                attempt: *attempt,
                lineage: name(lineage.as_str()),
                prompt: text(prompt),
                prompt_kind: name(prompt_kind.as_str()),
                delivery_ids: delivery_ids.iter().map(|id| id.0).collect(),
            },
            EntryKind::AgentStarted {
                purpose,
                agent_session_id,
                agent_version,
                model,
                permission_mode,
                tools,
                mcp_servers,
                credential_kind,
            } => Self::AgentStarted {
                purpose: name(purpose.as_str()),
                session: text(agent_session_id),
                version: text(agent_version),
                model: text(model),
                permission_mode: text(permission_mode),
                tools: Cow::Borrowed(tools),
                mcp_servers: Cow::Borrowed(mcp_servers),
                credential: text(credential_kind),
            },
            EntryKind::Text { block_id, text: said } => Self::Text { block: text(block_id), text: text(said) },
            EntryKind::Thinking { block_id, text: thought } => Self::Thinking { block: text(block_id), text: text(thought) },
            EntryKind::ToolCall { tool_use_id, name, summary, input_json } => {
                Self::ToolCall { id: text(tool_use_id), name: text(name), summary: text(summary), input: text(input_json) }
            }
            EntryKind::ToolResult { tool_use_id, is_error, text: answer, size_bytes, duration_ms, image_count } => Self::ToolResult {
                id: text(tool_use_id),
                error: *is_error,
                text: text(answer),
                bytes: *size_bytes,
                ms: *duration_ms,
                images: *image_count,
            },
            EntryKind::Usage { usage, context_tokens, context_window_tokens } => {
                Self::Usage { usage: Used::of(usage), context: *context_tokens, window: *context_window_tokens }
            }
            EntryKind::Retry { number, max_count, delay_ms, api_status, error } => {
                Self::Retry { number: *number, max: *max_count, ms: *delay_ms, status: *api_status, error: text(error) }
            }
            EntryKind::Notice { code, message, values } => {
                Self::Notice { code: name(code.as_str()), message: text(message), values: Cow::Borrowed(values) }
            }
            EntryKind::Stderr { text: line } => Self::Stderr { text: text(line) },
            EntryKind::Outcome { state, result_text, failure, usage, warnings, turn_duration_ms, api_duration_ms } => Self::Outcome {
                state: name(state.as_str()),
                text: text(result_text),
                failure: failure.as_ref().map(|f| Failed {
                    reason: name(f.reason.as_str()),
                    message: text(&f.message),
                    status: f.api_status,
                }),
                usage: Used::of(usage),
                warnings: warnings.iter().map(|w| name(w.as_str())).collect(),
                turn_ms: *turn_duration_ms,
                api_ms: *api_duration_ms,
            },
            EntryKind::Other { line_type, subtype, raw_json } => {
                Self::Other { line_type: text(line_type), subtype: text(subtype), json: text(raw_json) }
            }
        }
    }

    /// None: a name inside is one that this version does not know.
    fn into_domain(self) -> Option<EntryKind> {
        let own = Cow::into_owned;
        Some(match self {
            Self::RunStarted { attempt, lineage, prompt, prompt_kind, delivery_ids } => EntryKind::RunStarted {
                attempt,
                lineage: known::<Lineage>(&lineage)?,
                prompt: own(prompt),
                prompt_kind: known::<PromptKind>(&prompt_kind)?,
                delivery_ids: delivery_ids.into_iter().map(DeliveryId).collect(),
            },
            Self::AgentStarted { purpose, session, version, model, permission_mode, tools, mcp_servers, credential } => {
                EntryKind::AgentStarted {
                    purpose: known::<SpawnPurpose>(&purpose)?,
                    agent_session_id: own(session),
                    agent_version: own(version),
                    model: own(model),
                    permission_mode: own(permission_mode),
                    tools: tools.into_owned(),
                    mcp_servers: mcp_servers.into_owned(),
                    credential_kind: own(credential),
                }
            }
            Self::Text { block, text } => EntryKind::Text { block_id: own(block), text: own(text) },
            Self::Thinking { block, text } => EntryKind::Thinking { block_id: own(block), text: own(text) },
            Self::ToolCall { id, name, summary, input } => {
                EntryKind::ToolCall { tool_use_id: own(id), name: own(name), summary: own(summary), input_json: own(input) }
            }
            Self::ToolResult { id, error, text, bytes, ms, images } => EntryKind::ToolResult {
                tool_use_id: own(id),
                is_error: error,
                text: own(text),
                size_bytes: bytes,
                duration_ms: ms,
                image_count: images,
            },
            Self::Usage { usage, context, window } => {
                EntryKind::Usage { usage: usage.into_domain(), context_tokens: context, context_window_tokens: window }
            }
            Self::Retry { number, max, ms, status, error } => {
                EntryKind::Retry { number, max_count: max, delay_ms: ms, api_status: status, error: own(error) }
            }
            Self::Notice { code, message, values } => {
                EntryKind::Notice { code: known::<NoticeCode>(&code)?, message: own(message), values: values.into_owned() }
            }
            Self::Stderr { text } => EntryKind::Stderr { text: own(text) },
            Self::Outcome { state, text, failure, usage, warnings, turn_ms, api_ms } => EntryKind::Outcome {
                state: known::<RunState>(&state)?,
                result_text: own(text),
                // An end stays an end, also where its reason has a name of a later version.
                failure: failure.map(|f| Failure {
                    reason: known(&f.reason).unwrap_or(FailureReason::Internal),
                    message: own(f.message),
                    api_status: f.status,
                }),
                usage: usage.into_domain(),
                warnings: warnings.iter().filter_map(|w| known::<RunWarning>(w)).collect(),
                turn_duration_ms: turn_ms,
                api_duration_ms: api_ms,
            },
            Self::Other { line_type, subtype, json } => {
                EntryKind::Other { line_type: own(line_type), subtype: own(subtype), raw_json: own(json) }
            }
        })
    }
}

#[cfg(test)]
#[path = "chunk_tests.rs"]
mod tests;
