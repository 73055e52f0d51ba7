//! Tool calls and their answers.

use serde_json::Value;

use super::lines::{KEPT_BYTES, text};
use crate::agent::cut;
use crate::domain::EntryKind;

/// Longest summary of a call, in characters.
const SUMMARY_CHARS: usize = 120;

pub(super) fn call(block: &Value) -> EntryKind {
    let name = match text(&block["server_name"]) {
        "" => text(&block["name"]).to_owned(),
        server => format!("{server}:{}", text(&block["name"])),
    };
    EntryKind::ToolCall {
        tool_use_id: text(&block["id"]).to_owned(),
        summary: summary(text(&block["name"]), &block["input"]),
        input_json: block["input"].to_string(),
        name,
    }
}

pub(super) fn answer(block: &Value) -> EntryKind {
    let mut whole = String::new();
    let mut image_bytes = 0;
    let mut image_count = 0;
    let parts = match &block["content"] {
        Value::Array(parts) => parts.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    };
    for part in parts {
        let piece = match (part.as_str(), text(&part["type"])) {
            (Some(text), _) => text.to_owned(),
            (_, "text") => text(&part["text"]).to_owned(),
            (_, "image") => {
                image_count += 1;
                image_bytes += text(&part["source"]["data"]).len();
                continue;
            }
            _ => part.to_string(),
        };
        if !whole.is_empty() {
            whole.push('\n');
        }
        whole.push_str(&piece);
    }
    EntryKind::ToolResult {
        tool_use_id: text(&block["tool_use_id"]).to_owned(),
        is_error: block["is_error"] == true,
        size_bytes: i64::try_from(whole.len() + image_bytes).unwrap_or(i64::MAX),
        text: cut(&whole, KEPT_BYTES).to_owned(),
        duration_ms: 0,
        image_count,
    }
}

/// One line that says what a call does: its most telling argument.
fn summary(name: &str, input: &Value) -> String {
    let first = |keys: &[&str]| keys.iter().map(|key| text(&input[*key])).find(|value| !value.is_empty()).map(str::to_owned);
    let telling = match name {
        "Bash" | "PowerShell" => first(&["command"]),
        "Grep" | "Glob" => first(&["pattern"]).map(|pattern| match first(&["path", "glob"]) {
            Some(place) => format!("{pattern} in {place}"),
            None => pattern,
        }),
        "TodoWrite" => input["todos"].as_array().map(|todos| format!("{} items", todos.len())),
        _ => None,
    };
    let usual =
        ["file_path", "notebook_path", "path", "command", "pattern", "url", "query", "skill", "description", "subject", "prompt", "name"];
    let line = telling.or_else(|| first(&usual)).unwrap_or_else(|| match input {
        Value::Object(fields) if fields.is_empty() => String::new(),
        Value::Null => String::new(),
        other => other.to_string(),
    });
    one_line(&line)
}

fn one_line(text: &str) -> String {
    let mut words = text.split_whitespace().flat_map(|word| std::iter::once(' ').chain(word.chars())).skip(1);
    let mut line: String = words.by_ref().take(SUMMARY_CHARS).collect();
    if words.next().is_some() {
        line.pop();
        line.push('…');
    }
    line
}
