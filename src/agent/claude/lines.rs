//! The lines of `--output-format stream-json`: one JSON object each, keys in any order.

use serde_json::Value;

use super::message::Streams;
use super::{result, tool};
use crate::agent::cut;
use crate::domain::{AgentEvent, EntryKind, InitLine, NoticeCode, SpawnPurpose};

/// Longest text of one tool result, and longest raw line, that is kept.
pub(super) const KEPT_BYTES: usize = 64 * 1024;

/// Reads one spawn's output and keeps what a later line needs of earlier ones.
#[derive(Debug)]
pub(in crate::agent) struct Lines {
    seen: Seen,
    streams: Streams,
    piece: bool,
}

/// What the end of a turn is judged by.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The spawn asked for a conversation that should exist.
    pub(super) resumes: bool,
    /// Lines before the current one, empty ones apart.
    pub(super) line_count: u64,
    /// The process came up.
    pub(super) init: bool,
    /// The model as the process names it.
    pub(super) model: String,
    /// The last thing the agent itself said.
    pub(super) text: String,
    /// The kind of the last error that the CLI made up an answer for, such as `authentication_failed`.
    pub(super) error_kind: String,
    /// The status of the last retry that no answer followed.
    pub(super) retry_status: Option<i32>,
    /// Tokens of context after the last answer.
    pub(super) context_tokens: i64,
}

impl Lines {
    pub(in crate::agent) fn new(purpose: SpawnPurpose) -> Self {
        let seen = Seen { resumes: purpose != SpawnPurpose::Fresh, ..Seen::default() };
        Self { seen, streams: Streams::default(), piece: false }
    }

    pub(in crate::agent) const fn was_piece(&self) -> bool {
        self.piece
    }

    pub(in crate::agent) fn line(&mut self, line: &[u8], truncated: bool) -> Vec<AgentEvent> {
        self.piece = false;
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            return Vec::new();
        }
        let events = match serde_json::from_str::<Value>(text) {
            _ if truncated => vec![other("truncated", "", text)],
            Ok(value) if value.is_object() => self.object(&value, text),
            _ => vec![other("not_json", "", text)],
        };
        self.seen.line_count += 1;
        events
    }

    fn object(&mut self, line: &Value, raw: &str) -> Vec<AgentEvent> {
        let parent = text(&line["parent_tool_use_id"]);
        self.piece = line["type"] == "stream_event";
        match (text(&line["type"]), text(&line["subtype"])) {
            ("assistant", _) => self.assistant(line, parent),
            ("user", _) => user(line, parent, raw),
            ("stream_event", _) => self.streams.event(&line["event"], parent, &mut self.seen).unwrap_or_else(|| vec![other_of(line, raw)]),
            ("system", subtype) => self.system(subtype, line, raw),
            ("result", _) => vec![AgentEvent::Result(Box::new(result::read(line, &self.seen)))],
            _ => vec![other_of(line, raw)],
        }
    }

    fn system(&mut self, subtype: &str, line: &Value, raw: &str) -> Vec<AgentEvent> {
        match subtype {
            "init" => {
                self.seen.init = true;
                self.seen.model = text(&line["model"]).to_owned();
                vec![AgentEvent::Init(init(line))]
            }
            "status" if line["compact_error"].is_string() => vec![other_of(line, raw)],
            // They say that work goes on, which the lines of that work say better.
            "status" | "thinking_tokens" | "background_tasks_changed" | "task_progress" => Vec::new(),
            "api_retry" => {
                self.seen.retry_status = status(&line["error_status"]);
                vec![entry(retry(line, self.seen.retry_status), "")]
            }
            "compact_boundary" => {
                let about = &line["compact_metadata"];
                self.seen.context_tokens = int(&about["post_tokens"]);
                vec![AgentEvent::Compacted { pre_tokens: int(&about["pre_tokens"]), post_tokens: self.seen.context_tokens }]
            }
            "model_fallback" => vec![entry(fallback(line), "")],
            "task_started" => vec![task(line, true)],
            "task_updated" if ended(&line["patch"]["status"]) => vec![task(line, false)],
            "task_updated" => Vec::new(),
            // Its summary may be all that is ever shown of the task's end.
            "task_notification" => vec![task(line, false), other_of(line, raw)],
            _ => vec![other_of(line, raw)],
        }
    }

    fn assistant(&mut self, line: &Value, parent: &str) -> Vec<AgentEvent> {
        let message = &line["message"];
        let made_up = text(&message["model"]) == "<synthetic>";
        let mut events = Vec::new();
        if made_up {
            text(&line["error"]).clone_into(&mut self.seen.error_kind);
        } else {
            events.extend(self.streams.answer(message, parent, &mut self.seen));
        }
        for block in message["content"].as_array().into_iter().flatten() {
            let block_id = self.streams.block_id(text(&message["id"]), parent, text(&block["type"]));
            let kind = match text(&block["type"]) {
                "text" => said(block_id, &block["text"]),
                "thinking" => thought(block_id, &block["thinking"]),
                "tool_use" | "server_tool_use" | "mcp_tool_use" => Some(tool::call(block)),
                answer if answer.ends_with("tool_result") => Some(tool::answer(block)),
                unknown => Some(EntryKind::Other {
                    line_type: "assistant".to_owned(),
                    subtype: unknown.to_owned(),
                    raw_json: cut(&block.to_string(), KEPT_BYTES).to_owned(),
                }),
            };
            if let (Some(EntryKind::Text { text, .. }), "", false) = (&kind, parent, made_up) {
                self.seen.text = cut(text, KEPT_BYTES).to_owned();
            }
            events.extend(kind.map(|kind| entry(kind, parent)));
        }
        events
    }
}

fn said(block_id: String, text: &Value) -> Option<EntryKind> {
    text.as_str().filter(|text| !text.is_empty()).map(|text| EntryKind::Text { block_id, text: text.to_owned() })
}

fn thought(block_id: String, text: &Value) -> Option<EntryKind> {
    text.as_str().filter(|text| !text.is_empty()).map(|text| EntryKind::Thinking { block_id, text: text.to_owned() })
}

/// Tool results; all else that stands under this type (notes of an interruption, a compaction's summary) is kept as it is.
fn user(line: &Value, parent: &str, raw: &str) -> Vec<AgentEvent> {
    let blocks = line["message"]["content"].as_array().map_or(&[][..], Vec::as_slice);
    let is_answer = |block: &&Value| text(&block["type"]).ends_with("tool_result");
    let mut events: Vec<AgentEvent> = blocks.iter().filter(is_answer).map(|block| entry(tool::answer(block), parent)).collect();
    if events.len() < blocks.len() || blocks.is_empty() {
        let subtype = match (line["isReplay"] == true, line["isSynthetic"] == true) {
            (true, _) => "replay",
            (_, true) => "synthetic",
            _ => "text",
        };
        events.push(entry(other_kind("user", subtype, raw), parent));
    }
    events
}

fn init(line: &Value) -> InitLine {
    let server = |server: &Value| match (text(&server["name"]), text(&server["status"])) {
        (name, "" | "connected") => name.to_owned(),
        (name, status) => format!("{name} ({status})"),
    };
    InitLine {
        agent_session_id: text(&line["session_id"]).to_owned(),
        agent_version: text(&line["claude_code_version"]).to_owned(),
        model: text(&line["model"]).to_owned(),
        permission_mode: text(&line["permissionMode"]).to_owned(),
        tools: texts(&line["tools"]),
        mcp_servers: line["mcp_servers"].as_array().into_iter().flatten().map(server).collect(),
        credential_kind: text(&line["apiKeySource"]).to_owned(),
    }
}

fn retry(line: &Value, api_status: Option<i32>) -> EntryKind {
    let short = |value: &Value| i32::try_from(int(value)).unwrap_or(i32::MAX);
    EntryKind::Retry {
        number: short(&line["attempt"]),
        max_count: short(&line["max_retries"]),
        delay_ms: int(&line["retry_delay_ms"]),
        api_status,
        error: text(&line["error"]).to_owned(),
    }
}

fn fallback(line: &Value) -> EntryKind {
    let names = ["original_model", "fallback_model", "trigger"];
    EntryKind::Notice {
        code: NoticeCode::ModelFallback,
        message: text(&line["content"]).to_owned(),
        values: names.iter().map(|name| ((*name).to_owned(), text(&line[*name]).to_owned())).collect(),
    }
}

fn task(line: &Value, running: bool) -> AgentEvent {
    AgentEvent::BackgroundTask { task_id: text(&line["task_id"]).to_owned(), running }
}

fn ended(status: &Value) -> bool {
    matches!(text(status), "completed" | "failed" | "killed" | "stopped" | "cancelled")
}

fn other_of(line: &Value, raw: &str) -> AgentEvent {
    entry(other_kind(text(&line["type"]), text(&line["subtype"]), raw), text(&line["parent_tool_use_id"]))
}

fn other(line_type: &str, subtype: &str, raw: &str) -> AgentEvent {
    entry(other_kind(line_type, subtype, raw), "")
}

fn other_kind(line_type: &str, subtype: &str, raw: &str) -> EntryKind {
    EntryKind::Other { line_type: line_type.to_owned(), subtype: subtype.to_owned(), raw_json: cut(raw, KEPT_BYTES).to_owned() }
}

pub(super) fn entry(kind: EntryKind, parent: &str) -> AgentEvent {
    AgentEvent::Entry { kind, parent_tool_use_id: parent.to_owned() }
}

/// A text, or nothing: fields come and go between versions.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

pub(super) fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A whole number, rounded where a fraction is told; never negative.
#[expect(clippy::cast_possible_truncation, reason = "saturating, and no figure here comes near")]
pub(super) fn int(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_f64().map(|number| number.round() as i64)).unwrap_or(0).max(0)
}

pub(super) fn status(value: &Value) -> Option<i32> {
    value.as_i64().and_then(|status| i32::try_from(status).ok())
}
