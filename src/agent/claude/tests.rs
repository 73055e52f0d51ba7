//! What the lines of the recorded CLI mean.

use std::path::Path;

use super::*;
use crate::agent::LineParser;
use crate::domain::{AgentCli, AgentEvent, AgentResult, AgentResultKind, CostBasis, EntryKind, NanoUsd};

fn recording(name: &str) -> Vec<u8> {
    recording_file(&format!("{name}.jsonl"))
}

fn recording_file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parse(purpose: SpawnPurpose, lines: &[u8]) -> Vec<AgentEvent> {
    let mut parser = LineParser::new(&AgentCli::default(), purpose);
    lines.split(|byte| *byte == b'\n').flat_map(|line| parser.line(line, false)).collect()
}

fn recorded(name: &str) -> Vec<AgentEvent> {
    parse(SpawnPurpose::Resume, &recording(name))
}

fn results(events: &[AgentEvent]) -> Vec<&AgentResult> {
    events.iter().filter_map(|event| if let AgentEvent::Result(result) = event { Some(&**result) } else { None }).collect()
}

/// One line an event, so that a whole recording can be read at a glance.
fn digest(events: &[AgentEvent]) -> Vec<String> {
    events.iter().map(line).collect()
}

fn line(event: &AgentEvent) -> String {
    match event {
        AgentEvent::Init(init) => format!("init {} {} {}", init.agent_version, init.model, init.permission_mode),
        AgentEvent::Entry { kind, parent_tool_use_id } if parent_tool_use_id.is_empty() => entry_line(kind),
        AgentEvent::Entry { kind, parent_tool_use_id } => format!("  {parent_tool_use_id}: {}", entry_line(kind)),
        AgentEvent::Delta { block_id, thinking, text } => format!("delta {block_id}{} {text}", if *thinking { " thinking" } else { "" }),
        AgentEvent::Metered(m) => format!(
            "metered {} {}/{}",
            m.message_id,
            m.usage.input_tokens + m.usage.cache_read_tokens + m.usage.cache_write_tokens,
            m.usage.output_tokens
        ),
        AgentEvent::Compacted { pre_tokens, post_tokens } => format!("compacted {pre_tokens} {post_tokens}"),
        AgentEvent::BackgroundTask { running, .. } => format!("task {running}"),
        AgentEvent::Result(r) => format!("result {:?} {} {}", r.kind, r.text, r.error).trim_end().to_owned(),
    }
}

fn entry_line(kind: &EntryKind) -> String {
    match kind {
        EntryKind::Text { block_id, text } => format!("text {block_id} {text}"),
        EntryKind::Thinking { block_id, text } => format!("thinking {block_id} {text}"),
        EntryKind::ToolCall { name, summary, .. } => format!("call {name} {summary}"),
        EntryKind::ToolResult { is_error, text, .. } => format!("answer {is_error} {}", text.lines().next().unwrap_or_default()),
        EntryKind::Retry { number, max_count, api_status, error, .. } => format!("retry {number}/{max_count} {api_status:?} {error}"),
        EntryKind::Notice { code, message, .. } => format!("notice {code} {message}"),
        EntryKind::Other { line_type, subtype, .. } => format!("other {line_type} {subtype}"),
        unexpected => panic!("the parser gives no {unexpected:?}"),
    }
}

#[test]
fn a_turn_with_thinking_and_a_tool_is_read_whole() {
    let expected = "init 2.1.330 claude-opus-4-8 dontAsk
metered msg_1 1503/1
delta msg_1:0 thinking hmm
thinking msg_1:0 hmm
delta msg_1:1 hello 1
text msg_1:1 hello 1
call Bash echo hi; date
metered msg_1 1503/42
answer false hi
metered msg_2 1503/1
delta msg_2:0 hello 2
text msg_2:0 hello 2
metered msg_2 1503/42
result Success hello 2";
    assert_eq!(digest(&recorded("agent-partial/tool")).join("\n"), expected);
}

#[test]
fn a_continued_turn_costs_what_it_used_and_not_what_the_session_did() {
    let events = recorded("agent-partial/tool");
    let result = results(&events)[0];
    let usage = result.turn_usage.expect("told");
    assert_eq!((usage.cost, usage.cost_basis), (NanoUsd(15_130_000), CostBasis::Reported));
    assert_eq!((usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens), (6, 84, 1000, 2000));
    assert_eq!(result.by_model, [("claude-opus-4-8".to_owned(), usage)]);
    assert_eq!(result.total_cost_usd, Some(0.022_695));
    assert_eq!((result.context_tokens, result.context_window_tokens), (1545, 1_000_000));
    assert_eq!(result.agent_session_id.map(|id| id.to_string()).as_deref(), Some("e70ef391-3509-458e-ba5f-e2b7f4632506"));
}

#[test]
fn an_older_cli_gives_the_tokens_of_a_turn_and_a_total() {
    let events = recorded("agent/2.1.197/a-tool-stream");
    let result = results(&events)[0];
    let usage = result.turn_usage.expect("told");
    assert_eq!((usage.output_tokens, usage.cost, usage.cost_basis), (31, NanoUsd(0), CostBasis::Unknown));
    assert_eq!((result.total_cost_usd, result.by_model.len()), (Some(0.131_293_5), 0));
}

#[test]
fn an_agent_that_waits_for_its_own_work_gives_two_results() {
    let events = recorded("agent-partial/background");
    let found = results(&events);
    assert_eq!(found.iter().map(|result| result.text.as_str()).collect::<Vec<_>>(), ["hello 4", "hello 5"]);
    assert_eq!(found.iter().map(|result| result.turn_usage.expect("told").cost.0).collect::<Vec<_>>(), [15_130_000, 7_565_000]);
    let tasks: Vec<String> = digest(&events).into_iter().filter(|line| line.starts_with("task") || line.starts_with("other")).collect();
    assert_eq!(tasks, ["task true", "task false", "task false", "other system task_notification"]);
}

#[test]
fn a_subagent_speaks_under_its_tool_call_and_its_text_is_not_the_answer() {
    let events = recorded("agent-partial/subagent");
    let lines = digest(&events);
    assert!(lines.contains(&"  toolu_6_1: text msg_8:0 hello 8".to_owned()), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.starts_with("delta msg_8")));
    let last = *results(&events).last().expect("a result");
    assert_eq!(last.text, "hello 9");
    // Nothing was used since the result before it.
    assert_eq!(last.turn_usage.map(|usage| (usage.output_tokens, usage.cost_basis)), Some((0, CostBasis::Reported)));
}

#[test]
fn a_compaction_says_that_it_happened() {
    for name in ["agent/2.1.330/compact", "agent/2.1.197/i-compact"] {
        let events = parse(SpawnPurpose::Compact, &recording(name));
        let compacted =
            events.iter().find_map(|event| if let AgentEvent::Compacted { post_tokens, .. } = event { Some(*post_tokens) } else { None });
        assert_eq!(Some(results(&events)[0].context_tokens), compacted, "{name}");
        assert_eq!(digest(&events).iter().filter(|line| line.starts_with("other user")).count(), 2, "{name}");
    }
}

/// Recording, how its turn ended, the status of the API, and how the error begins.
const ENDS: &[(&str, AgentResultKind, Option<i32>, &str)] = &[
    ("agent/2.1.197/a-fresh-stream", AgentResultKind::Success, None, ""),
    ("agent/2.1.197/f-error-529-recovers", AgentResultKind::Success, None, ""),
    ("agent/2.1.197/f-permission-denied", AgentResultKind::Success, None, ""),
    ("agent/2.1.197/f-stop-max_tokens", AgentResultKind::Success, None, ""),
    ("agent/2.1.197/h-slash-clear", AgentResultKind::Success, None, ""),
    ("agent/2.1.330/stale", AgentResultKind::StaleSession, None, "No conversation found"),
    ("agent/2.1.197/c-unknown-stream-json", AgentResultKind::StaleSession, None, "No conversation found"),
    ("agent/2.1.197/c-nonuuid-stream-json", AgentResultKind::Error, None, "Error: --resume requires"),
    ("agent/2.1.197/f-error-401-retries2", AgentResultKind::ApiError, Some(401), "Failed to authenticate"),
    ("agent/2.1.197/f-error-404", AgentResultKind::ApiError, Some(404), "There's an issue with the selected model"),
    ("agent/2.1.197/f-error-429-retries2", AgentResultKind::ApiError, Some(429), "API Error"),
    ("agent/2.1.197/f-error-529-fallback", AgentResultKind::ApiError, Some(529), "API Error: 529"),
    ("agent/2.1.197/f-error-529-default", AgentResultKind::ApiError, Some(529), "API Error: Repeated 529"),
    ("agent/2.1.197/f-timeout", AgentResultKind::ApiError, None, "Request timed out"),
    ("agent/2.1.197/f-unreachable-retries2", AgentResultKind::ApiError, None, "API Error: Unable to connect"),
    ("agent/2.1.197/f-max-turns-1", AgentResultKind::MaxTurns, None, "Reached maximum number of turns (1)"),
    ("agent/2.1.197/f-max-budget", AgentResultKind::MaxCost, None, "Reached maximum budget ($1)"),
    ("agent/2.1.197/f-nokey", AgentResultKind::NotLoggedIn, None, "Not logged in"),
    ("agent/2.1.197/f-stop-refusal", AgentResultKind::Refused, None, "API Error: Claude Code is unable"),
    ("agent/2.1.197/g-sigint-midstream", AgentResultKind::Aborted, None, "[ede_diagnostic]"),
    ("agent/2.1.197/g-sigint-tool", AgentResultKind::Aborted, None, "[ede_diagnostic]"),
];

#[test]
fn every_end_is_told_apart_by_structure() {
    for (name, kind, api_status, error) in ENDS {
        let events = recorded(name);
        let found = results(&events);
        let result = found.first().unwrap_or_else(|| panic!("{name}: no result"));
        assert_eq!((result.kind, result.api_status), (*kind, *api_status), "{name}");
        assert!(result.error.starts_with(error) && error.is_empty() == result.error.is_empty(), "{name}: {}", result.error);
    }
    for name in ["agent/2.1.197/g-sigkill-tool", "agent/2.1.197/g-sigkill-midstream"] {
        assert_eq!(results(&recorded(name)).len(), 0, "{name}");
    }
}

#[test]
fn every_recording_is_read_as_its_index_says() {
    let index: Vec<serde_json::Value> = serde_json::from_slice(&recording_file("agent/index.json")).expect("JSON");
    for about in index {
        let file = about["file"].as_str().expect("a file");
        let events = parse(SpawnPurpose::Resume, &recording_file(&format!("agent/{file}")));
        let found = results(&events);
        let expected: &[AgentResultKind] = match about["result"].as_str() {
            None => &[],
            Some("success") => &[AgentResultKind::Success],
            Some("api_error") => &[AgentResultKind::ApiError, AgentResultKind::NotLoggedIn, AgentResultKind::Refused],
            Some("limit") => &[AgentResultKind::MaxTurns, AgentResultKind::MaxCost],
            Some("interrupted") => &[AgentResultKind::Aborted],
            Some("stale") => &[AgentResultKind::StaleSession],
            Some("failed") => &[AgentResultKind::Error],
            Some(unknown) => panic!("{file}: {unknown}"),
        };
        match found.last() {
            None => assert!(expected.is_empty(), "{file}"),
            Some(last) => assert!(expected.contains(&last.kind), "{file}: {:?}", last.kind),
        }
        assert_eq!(about["init"] == true, events.iter().any(|event| matches!(event, AgentEvent::Init(_))), "{file}");
        assert_eq!(about["compact_boundary"] == true, events.iter().any(|event| matches!(event, AgentEvent::Compacted { .. })), "{file}");
        if let Some(cost) = about["cost_usd"].as_f64() {
            let usage = found.last().and_then(|result| result.turn_usage).expect("told");
            assert_eq!((usage.cost, usage.cost_basis), (NanoUsd::from_usd(cost), CostBasis::Reported), "{file}");
        }
        if let Some(status) = about["api_error_status"].as_i64() {
            assert_eq!(found.last().and_then(|result| result.api_status), i32::try_from(status).ok(), "{file}");
        }
    }
}

#[test]
fn the_same_words_are_not_stale_elsewhere() {
    let stale = recording("agent/2.1.330/stale");
    let kind_of = |purpose, lines: &[u8]| results(&parse(purpose, lines)).last().expect("a result").kind;
    assert_eq!(kind_of(SpawnPurpose::Compact, &stale), AgentResultKind::StaleSession);
    assert_eq!(kind_of(SpawnPurpose::Fresh, &stale), AgentResultKind::Error);
    let before = [b"{\"type\":\"system\",\"subtype\":\"init\"}\n".as_slice(), b"{\"type\":\"new\"}\n", b"oops\n"];
    for first in before {
        assert_eq!(kind_of(SpawnPurpose::Resume, &[first, &stale].concat()), AgentResultKind::Error);
    }
    let worked = String::from_utf8(stale).expect("text").replace("\"num_turns\":0", "\"num_turns\":1");
    assert_eq!(kind_of(SpawnPurpose::Resume, worked.as_bytes()), AgentResultKind::Error);
}

#[test]
fn a_failed_turn_keeps_what_was_said_before() {
    let events = recorded("agent/2.1.197/g-sigint-midstream");
    assert_eq!(results(&events)[0].text, "chunk 0 chunk 1 chunk 2 chunk 3 chunk 4 chunk 5 chunk 6 chunk 7 ");
    assert_eq!(results(&recorded("agent/2.1.197/f-permission-denied"))[0].denied_tools, ["Bash"]);
}

#[test]
fn an_answer_that_broke_off_is_replaced_by_the_whole_one() {
    let lines = digest(&recorded("agent/2.1.197/f-drop-partial"));
    assert!(lines.contains(&"delta msg_stub_001070:0 ok: ".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"text msg_stub_001070:0 ok: x [[drop]]".to_owned()), "{lines:#?}");
}

#[test]
fn retries_and_a_fallback_are_shown() {
    let lines = digest(&recorded("agent/2.1.197/f-error-529-fallback"));
    let shown: Vec<&String> = lines.iter().filter(|line| line.starts_with("retry") || line.starts_with("notice")).collect();
    assert_eq!(shown.len(), 5);
    assert_eq!(shown[1], "retry 2/2 Some(529) overloaded");
    assert_eq!(shown[2], "notice model_fallback Switched to Haiku 4.5 due to high demand for Opus 4.8 (1M context)");
}

#[test]
fn nothing_is_dropped_and_nothing_panics() {
    let cases: &[(&[u8], &str)] = &[
        (b"not json", "other not_json "),
        (b"[1,2]", "other not_json "),
        (b"{\"type\":\"result\",\"is_err", "other not_json "),
        (b"\xff\xfe{}", "other not_json "),
        (b"{}", "other  "),
        (b"{\"type\":\"new_kind\",\"subtype\":\"x\"}", "other new_kind x"),
        (b"{\"type\":\"system\",\"subtype\":\"new\"}", "other system new"),
        (b"{\"type\":\"stream_event\",\"event\":{\"type\":\"new\"}}", "other stream_event "),
        (b"{\"type\":\"system\",\"subtype\":\"status\",\"compact_error\":\"no\"}", "other system status"),
        (
            b"{\"type\":\"assistant\",\"message\":{\"id\":\"m\",\"content\":[{\"type\":\"redacted_thinking\"}]}}",
            "other assistant redacted_thinking",
        ),
        (b"{\"type\":\"result\"}", "result Error"),
        (b"{\"type\":5,\"message\":7}", "other  "),
        (b"{\"type\":\"user\",\"message\":{\"content\":\"[Request interrupted by user]\"}}", "other user text"),
    ];
    for (input, expected) in cases {
        let shown = digest(&parse(SpawnPurpose::Fresh, input));
        assert_eq!(shown.last().map(|line| line.trim_end()), Some(expected.trim_end()), "{}", String::from_utf8_lossy(input));
    }
    assert_eq!(parse(SpawnPurpose::Fresh, b"\n \r\n"), []);
}

#[test]
fn every_recording_cut_anywhere_parses() {
    let all = recording("agent-partial/subagent");
    for end in (0..all.len()).step_by(97) {
        let events = parse(SpawnPurpose::Fresh, &all[..end]);
        assert!(results(&events).len() <= 2);
    }
}

#[test]
fn a_line_past_the_cap_is_kept_in_part() {
    let mut parser = LineParser::new(&AgentCli::default(), SpawnPurpose::Fresh);
    let long = format!("{{\"type\":\"result\",\"is_error\":false,\"result\":\"{}\"}}", "é".repeat(100_000));
    let events = parser.line(long.as_bytes(), true);
    let [AgentEvent::Entry { kind: EntryKind::Other { line_type, raw_json, .. }, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(line_type, "truncated");
    assert!(raw_json.len() <= 65_536 && raw_json.len() > 65_000);
}

#[test]
fn tool_results_are_measured_whole_and_kept_in_part() {
    let big = "x".repeat(100_000);
    let json = serde_json::json!({"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": [
        {"type": "text", "text": big}, {"type": "image", "source": {"data": "AAAA"}}, {"type": "tool_reference", "tool_name": "X"}]}]}});
    let events = parse(SpawnPurpose::Fresh, json.to_string().as_bytes());
    let [AgentEvent::Entry { kind: EntryKind::ToolResult { is_error, text, size_bytes, image_count, duration_ms, .. }, .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((*is_error, text.len(), *image_count, *duration_ms), (true, 65_536, 1, 0));
    assert!(*size_bytes > 100_004);
}

#[test]
fn a_call_is_summed_up_in_one_line() {
    let cases = [
        ("Bash", serde_json::json!({"command": "cargo  test\n --all", "description": "runs"}), "cargo test --all"),
        ("Read", serde_json::json!({"file_path": "/src/a.rs", "limit": 3}), "/src/a.rs"),
        ("Grep", serde_json::json!({"pattern": "fn main", "path": "src"}), "fn main in src"),
        ("WebFetch", serde_json::json!({"url": "https://example.com", "prompt": "x"}), "https://example.com"),
        ("TodoWrite", serde_json::json!({"todos": [1, 2]}), "2 items"),
        ("mcp__x__y", serde_json::json!({"depth": 2}), "{\"depth\":2}"),
        ("Odd", serde_json::json!({}), ""),
    ];
    for (name, input, expected) in cases {
        let EntryKind::ToolCall { summary, .. } = tool::call(&serde_json::json!({"name": name, "input": input})) else { panic!("{name}") };
        assert_eq!(summary, expected);
    }
    let EntryKind::ToolCall { summary, .. } = tool::call(&serde_json::json!({"name": "Bash", "input": {"command": "é".repeat(500)}}))
    else {
        panic!()
    };
    assert_eq!((summary.chars().count(), summary.chars().last()), (120, Some('…')));
}
