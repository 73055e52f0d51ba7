//! Claude Code: its command line, its environment, where it keeps conversations.

mod lines;
mod message;
mod result;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

pub(super) use lines::Lines;

use super::SpawnPlan;
use crate::domain::{NanoUsd, SpawnPurpose};

/// Names the flags below in fingerprints: a new number ends every conversation, so it changes only when a conversation
/// begun under the old flags must not be continued.
pub(super) const FLAG_SET: &str = "1";

/// Keeps the CLI's own clean-up away from conversations.
const SETTINGS: &str = r#"{"cleanupPeriodDays":3650}"#;

/// Longest slug that is used as it is.
const SLUG_LIMIT: usize = 200;

pub(super) fn arguments(plan: &SpawnPlan) -> Vec<String> {
    let profile = &plan.profile;
    let id = plan.agent_session_id.to_string();
    let mut all: Vec<String> =
        ["--print", "--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", &plan.model]
            .into_iter()
            .chain(["--permission-mode", &profile.permission_mode, "--settings", SETTINGS, "--setting-sources", "", "--strict-mcp-config"])
            .chain(["--permission-prompts", "none"])
            .map(str::to_owned)
            .collect();
    let mut add = |words: &[&str]| all.extend(words.iter().map(|word| (*word).to_owned()));
    match plan.purpose {
        SpawnPurpose::Fresh => add(&["--disable-slash-commands", "--session-id", &id]),
        SpawnPurpose::Resume => add(&["--disable-slash-commands", "--resume", &id]),
        // `/compact` is itself a slash command.
        SpawnPurpose::Compact => add(&["--resume", &id]),
    }
    if profile.restricted {
        add(&["--restricted"]);
    }
    // Flags that take lists would swallow what follows them, so they carry their values themselves.
    if let Some(tools) = &profile.tools {
        add(&[&format!("--tools={}", tools.join(","))]);
    }
    if !profile.allowed_tools.is_empty() {
        add(&[&format!("--allowedTools={}", profile.allowed_tools.join(","))]);
    }
    if let Some(file) = &profile.mcp_config {
        add(&[&format!("--mcp-config={}", file.display())]);
    }
    for dir in &plan.add_dirs {
        add(&[&format!("--add-dir={}", dir.display())]);
    }
    if let Some(turns) = plan.max_turns.filter(|turns| *turns > 0) {
        add(&["--max-turns", &turns.to_string()]);
    }
    if let Some(cost) = plan.max_cost {
        add(&["--max-budget-usd", &dollars(cost)]);
    }
    if let Some(effort) = &plan.effort {
        add(&["--effort", effort]);
    }
    all
}

/// Dollars without an exponent; at least a millionth, since the CLI crashes at 0.
fn dollars(cost: NanoUsd) -> String {
    let nanos = cost.0.max(1_000);
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn environment(max_retries: u32, api_timeout: Option<Duration>) -> BTreeMap<String, String> {
    let retries = max_retries.to_string();
    let timeout = api_timeout.map(|timeout| timeout.as_millis().to_string());
    [
        // Else `@/etc/passwd` in a comment puts that file into the request, whatever the profile says.
        ("CLAUDE_CODE_DISABLE_ATTACHMENTS", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        ("CLAUDE_CODE_MAX_RETRIES", &retries),
        ("TERM", "dumb"),
        ("LANG", "C.UTF-8"),
    ]
    .into_iter()
    .chain(timeout.as_deref().map(|timeout| ("API_TIMEOUT_MS", timeout)))
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

pub(super) fn transcript_dir(canonical_cwd: &str) -> PathBuf {
    PathBuf::from("projects").join(slug(canonical_cwd))
}

/// The CLI counts UTF-16 units, as its language does.
fn slug(path: &str) -> String {
    let slug: String =
        path.chars().flat_map(|c| std::iter::repeat_n(if c.is_ascii_alphanumeric() { c } else { '-' }, c.len_utf16())).collect();
    if slug.len() <= SLUG_LIMIT {
        return slug;
    }
    let hash = path.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    format!("{}-{}", &slug[..SLUG_LIMIT], base36(hash.unsigned_abs()))
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod start_tests;
#[cfg(test)]
mod tests;
