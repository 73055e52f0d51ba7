//! The end of a turn. What happened is told by the structure of the line, never by the exit code or by `subtype` alone.

use serde_json::Value;
use uuid::Uuid;

use super::lines::{Seen, int, status, text, texts};
use crate::domain::{AgentResult, AgentResultKind, CostBasis, NanoUsd, Usage};

/// How the CLI begins to say that it does not know a conversation.
const STALE: &str = "No conversation found with session ID: ";

pub(super) fn read(line: &Value, seen: &Seen) -> AgentResult {
    let kind = kind(line, seen);
    let worked = kind == AgentResultKind::Success;
    let answer = text(&line["result"]).to_owned();
    let told = status(&line["api_error_status"]);
    let by_model = by_model(&line["model_usage_since_last_result"]);
    AgentResult {
        kind,
        text: if worked { answer.clone() } else { seen.text.clone() },
        error: if worked { String::new() } else { error(line, answer) },
        // The CLI tells no status when it gives up on one that it had tried to wait out.
        api_status: told.or(seen.retry_status.filter(|_| kind == AgentResultKind::ApiError)),
        agent_session_id: Uuid::parse_str(text(&line["session_id"])).ok(),
        num_turns: i32::try_from(int(&line["num_turns"])).unwrap_or(i32::MAX),
        turn_usage: turn_usage(line, by_model.as_deref()),
        by_model: by_model.unwrap_or_default(),
        total_cost_usd: line["total_cost_usd"].as_f64(),
        context_tokens: seen.context_tokens,
        context_window_tokens: window(&line["modelUsage"], &seen.model),
        denied_tools: line["permission_denials"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|denied| text(&denied["tool_name"]).to_owned())
            .collect(),
        duration_ms: int(&line["duration_ms"]),
        api_duration_ms: int(&line["duration_api_ms"]),
    }
}

fn kind(line: &Value, seen: &Seen) -> AgentResultKind {
    if line["is_error"] == false {
        return AgentResultKind::Success;
    }
    let alone = seen.resumes && !seen.init && seen.line_count == 0 && line["num_turns"] == 0;
    match (text(&line["subtype"]), text(&line["terminal_reason"]), text(&line["stop_reason"])) {
        ("error_during_execution", ..) if alone && text(&line["errors"][0]).starts_with(STALE) => AgentResultKind::StaleSession,
        ("error_max_turns", ..) => AgentResultKind::MaxTurns,
        ("error_max_budget_usd", ..) => AgentResultKind::MaxCost,
        (_, ended, _) if ended.starts_with("aborted") => AgentResultKind::Aborted,
        (.., "refusal") => AgentResultKind::Refused,
        ("success", ..) if line["api_error_status"].is_null() && seen.error_kind == "authentication_failed" => AgentResultKind::NotLoggedIn,
        ("success", ..) => AgentResultKind::ApiError,
        _ => AgentResultKind::Error,
    }
}

/// The agent's words; failing those, what kind of end it was.
fn error(line: &Value, answer: String) -> String {
    let errors = texts(&line["errors"]).join("; ");
    [answer, errors, text(&line["terminal_reason"]).to_owned(), text(&line["subtype"]).to_owned()]
        .into_iter()
        .find(|words| !words.is_empty())
        .unwrap_or_default()
}

/// Told per model since the last result: of this turn alone, also when the process continues an old conversation.
fn by_model(told: &Value) -> Option<Vec<(String, Usage)>> {
    Some(told.as_object()?.iter().map(|(model, told)| (model.clone(), model_usage(told))).collect())
}

fn model_usage(told: &Value) -> Usage {
    Usage {
        input_tokens: int(&told["inputTokens"]),
        output_tokens: int(&told["outputTokens"]),
        cache_read_tokens: int(&told["cacheReadInputTokens"]),
        cache_write_tokens: int(&told["cacheCreationInputTokens"]),
        thinking_tokens: int(&told["thinkingTokens"]),
        cost: NanoUsd::from_usd(told["costUSD"].as_f64().unwrap_or(0.0)),
        // The CLI had no price for the model.
        cost_basis: if told["costBasis"] == "unknown" { CostBasis::Unknown } else { CostBasis::Reported },
    }
}

/// An older CLI tells the tokens of a turn, but not its cost.
fn turn_usage(line: &Value, by_model: Option<&[(String, Usage)]>) -> Option<Usage> {
    let tokens = &line["usage"];
    match by_model {
        Some(models) => Some(models.iter().fold(Usage::default(), |sum, (_, usage)| sum.plus(*usage))),
        None if tokens.is_object() => Some(Usage {
            input_tokens: int(&tokens["input_tokens"]),
            output_tokens: int(&tokens["output_tokens"]),
            cache_read_tokens: int(&tokens["cache_read_input_tokens"]),
            cache_write_tokens: int(&tokens["cache_creation_input_tokens"]),
            thinking_tokens: int(&tokens["output_tokens_details"]["thinking_tokens"]),
            cost: NanoUsd(0),
            cost_basis: CostBasis::Unknown,
        }),
        None => None,
    }
}

/// The window of the main model; the table also lists those of subagents.
fn window(models: &Value, model: &str) -> i64 {
    let of = |usage: &Value| int(&usage["contextWindow"]);
    match models.get(model) {
        Some(usage) => of(usage),
        None => models.as_object().into_iter().flatten().map(|(_, usage)| of(usage)).max().unwrap_or(0),
    }
}
