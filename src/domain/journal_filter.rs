//! Which entries of a journal a reader wants.

use std::collections::HashSet;

use super::{EntryKind, JournalEntry};

/// Names of the kinds, as callers write them.
pub const ENTRY_KINDS: [&str; 12] = [
    "run_started",
    "agent_started",
    "text",
    "thinking",
    "tool_call",
    "tool_result",
    "usage",
    "retry",
    "notice",
    "stderr",
    "outcome",
    "other",
];

/// Which entries a list holds. Fields combine with AND, the kinds with OR.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntryFilter {
    /// Only these kinds; empty: all.
    pub kinds: Vec<&'static str>,
    /// Only calls of this tool, and their results.
    pub tool_name: Option<String>,
    /// Only entries whose text contains this, whatever the case of its ASCII letters.
    pub query: Option<String>,
}

impl EntryFilter {
    /// Whether an entry is wanted. `calls` has the ids of the calls of the wanted tool.
    #[must_use]
    pub fn wants(&self, entry: &JournalEntry, calls: &HashSet<String>) -> bool {
        let of_kind = self.kinds.is_empty() || self.kinds.contains(&entry.kind.name());
        let of_tool = || match (&self.tool_name, &entry.kind) {
            (None, _) => true,
            (Some(wanted), EntryKind::ToolCall { name, .. }) => name == wanted,
            (Some(_), EntryKind::ToolResult { tool_use_id, .. }) => calls.contains(tool_use_id),
            (Some(_), _) => false,
        };
        let says = || self.query.as_ref().is_none_or(|query| entry.kind.texts().iter().any(|text| contains(text, query)));
        of_kind && of_tool() && says()
    }
}

impl EntryKind {
    /// Its name, as callers write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::AgentStarted { .. } => "agent_started",
            Self::Text { .. } => "text",
            Self::Thinking { .. } => "thinking",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
            Self::Usage { .. } => "usage",
            Self::Retry { .. } => "retry",
            Self::Notice { .. } => "notice",
            Self::Stderr { .. } => "stderr",
            Self::Outcome { .. } => "outcome",
            Self::Other { .. } => "other",
        }
    }

    /// What a person would search in it.
    fn texts(&self) -> Vec<&str> {
        match self {
            Self::RunStarted { prompt: text, .. }
            | Self::Text { text, .. }
            | Self::Thinking { text, .. }
            | Self::ToolResult { text, .. }
            | Self::Stderr { text }
            | Self::Retry { error: text, .. }
            | Self::Notice { message: text, .. }
            | Self::Other { raw_json: text, .. } => vec![text],
            Self::ToolCall { name, summary, input_json, .. } => vec![name, summary, input_json],
            Self::AgentStarted { agent_session_id, agent_version, model, .. } => vec![agent_session_id, agent_version, model],
            Self::Outcome { result_text, failure, .. } => {
                std::iter::once(result_text.as_str()).chain(failure.as_ref().map(|failure| failure.message.as_str())).collect()
            }
            Self::Usage { .. } => Vec::new(),
        }
    }
}

/// Whether `text` has `part` somewhere, whatever the case of ASCII letters.
fn contains(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let Some(first) = part.first().map(u8::to_ascii_lowercase) else { return true };
    let last = text.len().saturating_sub(part.len().saturating_sub(1));
    text[..last]
        .iter()
        .enumerate()
        .any(|(at, byte)| byte.to_ascii_lowercase() == first && text[at..at + part.len()].eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMicros;

    fn entry(kind: EntryKind) -> JournalEntry {
        let (parent_tool_use_id, raw) = (String::new(), "needle".to_owned());
        JournalEntry { sequence: 1, attempt: 1, time: UnixMicros(1), parent_tool_use_id, truncated: false, raw, kind }
    }

    fn call(id: &str, name: &str) -> JournalEntry {
        let [tool_use_id, name, summary, input_json] = [id, name, "cargo test", "{\"command\":\"cargo test\"}"].map(str::to_owned);
        entry(EntryKind::ToolCall { tool_use_id, name, summary, input_json })
    }

    #[test]
    fn text_is_found_whatever_its_case_and_nowhere_else() {
        for (text, part, found) in [
            ("Hello World", "o w", true),
            ("Hello World", "WORLD", true),
            ("Hello World", "worlds", false),
            ("", "x", false),
            ("x", "", true),
            ("ÄÖ", "ö", false),
            ("ÄÖ", "Ö", true),
            ("aab", "ab", true),
        ] {
            assert_eq!(contains(text, part), found, "{text} {part}");
        }
        let filter = EntryFilter { query: Some("needle".to_owned()), ..EntryFilter::default() };
        assert!(!filter.wants(&call("t1", "Bash"), &HashSet::new()), "the raw line is not searched");
    }

    #[test]
    fn a_tool_has_its_calls_and_their_results() {
        let filter = EntryFilter { tool_name: Some("Bash".to_owned()), ..EntryFilter::default() };
        let result = |id: &str| {
            let (tool_use_id, text) = (id.to_owned(), String::new());
            entry(EntryKind::ToolResult { tool_use_id, is_error: false, text, size_bytes: 0, duration_ms: 0, image_count: 0 })
        };
        let calls = HashSet::from(["t1".to_owned()]);
        assert!(filter.wants(&call("t1", "Bash"), &calls) && filter.wants(&result("t1"), &calls));
        assert!(!filter.wants(&call("t2", "Read"), &calls) && !filter.wants(&result("t2"), &calls));
        let only_results = EntryFilter { kinds: vec!["tool_result"], ..filter };
        assert!(!only_results.wants(&call("t1", "Bash"), &calls) && only_results.wants(&result("t1"), &calls));
    }
}
