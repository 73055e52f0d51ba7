//! The lines of the protocol, shaped like those of the real CLI.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::session::{VERSION, timestamp};

/// Tokens and dollars of a turn.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) input: u64,
    pub(crate) write: u64,
    pub(crate) read: u64,
    pub(crate) output: u64,
    pub(crate) usd: f64,
}

impl Usage {
    /// The list price of the model that the recipe names by default.
    pub(crate) fn priced(mut self) -> Self {
        let micros = self.input * 5_000 + self.write * 6_250 + self.read * 500 + self.output * 25_000;
        self.usd = micros as f64 / 1e9;
        self
    }

    fn json(&self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.write,
            "cache_read_input_tokens": self.read,
            "output_tokens": self.output,
            "output_tokens_details": {"thinking_tokens": 0},
            "server_tool_use": {"web_search_requests": 0, "web_fetch_requests": 0},
            "service_tier": "standard",
            "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": self.write},
        })
    }

    fn by_model(&self, model: &str, usd: f64) -> Value {
        if self.input == 0 && usd == 0.0 {
            return json!({});
        }
        json!({model: {
            "inputTokens": self.input,
            "outputTokens": self.output,
            "cacheReadInputTokens": self.read,
            "cacheCreationInputTokens": self.write,
            "cacheCreationEphemeral5mInputTokens": self.write,
            "cacheCreationEphemeral1hInputTokens": 0,
            "thinkingTokens": 0,
            "webSearchRequests": 0,
            "costUSD": usd,
            "contextWindow": 1_000_000,
            "maxOutputTokens": 64_000,
            "canonicalModel": model,
            "provider": "firstParty",
            "costBasis": "list",
        }})
    }
}

/// The line that opens a turn.
pub(crate) fn init(session: &str, cwd: &std::path::Path, model: &str, mode: &str, tools: &[&str]) -> Value {
    json!({
        "type": "system", "subtype": "init", "cwd": cwd, "session_id": session, "tools": tools,
        "mcp_servers": [], "model": model, "permissionMode": mode, "slash_commands": [],
        "apiKeySource": "ANTHROPIC_API_KEY", "claude_code_version": VERSION, "output_style": "default",
        "agents": ["claude"], "skills": [], "plugins": [], "uuid": id(), "original_cwd": cwd,
        "additional_directories": [], "fast_mode_state": "off",
    })
}

/// A line of type `system` with more fields.
pub(crate) fn system(session: &str, subtype: &str, more: &Value) -> Value {
    merged(json!({"type": "system", "subtype": subtype, "session_id": session, "uuid": id()}), more)
}

/// One block that the model said.
pub(crate) fn assistant(session: &str, model: &str, message: &str, block: &Value, usage: &Usage) -> Value {
    let snapshot = Usage { output: 1, ..*usage };
    json!({
        "type": "assistant",
        "message": {"id": message, "type": "message", "role": "assistant", "model": model, "content": [block],
            "stop_reason": null, "stop_sequence": null, "usage": snapshot.json(), "context_management": null},
        "parent_tool_use_id": null, "session_id": session, "uuid": id(), "timestamp": timestamp(),
    })
}

/// What the CLI says in the model's place: API errors, answers to local commands.
pub(crate) fn synthetic(session: &str, text: &str, more: &Value) -> Value {
    let line = assistant(session, "<synthetic>", &id(), &json!({"type": "text", "text": text}), &Usage::default());
    merged(line, more)
}

/// A message in the user's place: tool results and notes.
pub(crate) fn user(session: &str, content: &Value) -> Value {
    json!({
        "type": "user", "message": {"role": "user", "content": content},
        "parent_tool_use_id": null, "session_id": session, "uuid": id(), "timestamp": timestamp(),
    })
}

/// A raw event of the API, as with `--include-partial-messages`.
pub(crate) fn event(session: &str, event: &Value) -> Value {
    json!({"type": "stream_event", "event": event, "session_id": session, "parent_tool_use_id": null, "uuid": id()})
}

/// The usage of one reply as an API event has it.
pub(crate) fn usage(usage: &Usage) -> Value {
    usage.json()
}

/// A `result` line; `total_usd` is the session's, this turn included.
pub(crate) fn result(session: &str, model: &str, usage: &Usage, total_usd: f64, more: &Value) -> Value {
    let line = json!({
        "type": "result", "subtype": "success", "is_error": false, "api_error_status": null,
        "duration_ms": 10, "duration_api_ms": 5, "ttft_ms": 3, "num_turns": 1, "stop_reason": "end_turn",
        "session_id": session, "total_cost_usd": total_usd, "usage": usage.json(),
        "modelUsage": usage.by_model(model, total_usd),
        "model_usage_since_last_result": usage.by_model(model, usage.usd),
        "permission_denials": [], "terminal_reason": "completed", "fast_mode_state": "off",
        "queued_turn_count": 0, "result_index": 0, "safety_stops": 0, "uuid": id(),
    });
    merged(line, more)
}

/// The result of an interrupted turn.
pub(crate) fn aborted(session: &str, tool: bool, total_usd: f64) -> Value {
    let (reason, stop) = if tool { ("aborted_tools", json!("tool_use")) } else { ("aborted_streaming", Value::Null) };
    let text = format!("[ede_diagnostic] result_type=user last_content_type=n/a stop_reason={stop}").replace('"', "");
    let more = json!({"subtype": "error_during_execution", "is_error": true, "terminal_reason": reason,
        "stop_reason": stop, "num_turns": 2, "errors": [text], "modelUsage": {}});
    result(session, "", &Usage::default(), total_usd, &more)
}

/// The only line when there is nothing to resume.
pub(crate) fn stale(session: &str, text: &str) -> Value {
    json!({
        "type": "result", "subtype": "error_during_execution", "duration_ms": 0, "duration_api_ms": 0,
        "is_error": true, "num_turns": 0, "stop_reason": null, "session_id": session, "total_cost_usd": 0,
        "usage": Usage::default().json(), "modelUsage": {}, "permission_denials": [], "uuid": id(),
        "errors": [text], "result_index": 0,
    })
}

fn merged(mut line: Value, more: &Value) -> Value {
    if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
        for (key, value) in more {
            line.insert(key.clone(), value.clone());
        }
    }
    line
}

fn id() -> String {
    Uuid::now_v7().to_string()
}
