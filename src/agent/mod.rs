//! Agent CLIs, one file each: how to start one and what its lines mean. Pure: no process is started here.

mod claude;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::domain::{AgentCli, AgentEvent, NanoUsd, SpawnPurpose};

/// What a run may do, from the server's config.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// One sentence for people.
    #[serde(default)]
    pub description: String,
    /// Adds the CLI's own restriction: no tool that runs commands, no web access, no project or user settings.
    #[serde(default)]
    pub restricted: bool,
    /// The permission mode: `dontAsk`, `default`, `acceptEdits` or `plan`.
    pub permission_mode: String,
    /// The tools on offer; absent: the CLI's default set.
    pub tools: Option<Vec<String>>,
    /// Rules of tools that need no question, such as `Bash(gh pr comment:*)`.
    #[serde(default)]
    pub allowed_tools: Vec<String>,
    /// Names of the server's own environment variables that the child gets as well, such as `GH_TOKEN`.
    #[serde(default)]
    pub env: Vec<String>,
    /// A file with the MCP servers of this profile.
    pub mcp_config: Option<PathBuf>,
}

impl Profile {
    /// A short hash of its rules: part of a session's fingerprint. The description and the folder of the MCP file are
    /// left out, since neither changes what a run may do.
    #[must_use]
    pub fn rules_hash(&self) -> String {
        let mcp = self.mcp_config.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        let rules = serde_json::json!([self.restricted, self.permission_mode, self.tools, self.allowed_tools, self.env, mcp]);
        format!("{:016x}", fnv1a(rules.to_string().as_bytes()))
    }
}

/// What a conversation must fit to be continued: the CLI and its flags, the profile and its rules, the kind of workspace.
/// No path, model or version: a session may move and be upgraded.
#[must_use]
pub fn fingerprint(cli: &AgentCli, profile_name: &str, profile: &Profile, workspace_kind: &str) -> String {
    let flags = match cli {
        AgentCli::Claude(_) => claude::FLAG_SET,
    };
    format!("{}/{flags} {profile_name}/{} {workspace_kind}", cli.name(), profile.rules_hash())
}

/// FNV-1a: the same on every machine and in every release, unlike the standard library's hasher.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// One process to start.
#[derive(Debug, Clone)]
pub struct SpawnPlan {
    /// Why.
    pub purpose: SpawnPurpose,
    /// The conversation.
    pub agent_session_id: Uuid,
    /// Full model name.
    pub model: String,
    /// `low` … `max`; none: the CLI's default.
    pub effort: Option<String>,
    /// What it may do.
    pub profile: Profile,
    /// Agent rounds; none: no limit.
    pub max_turns: Option<i32>,
    /// Dollars left for this spawn; none: no limit.
    pub max_cost: Option<NanoUsd>,
    /// Read-only directories beside the working directory.
    pub add_dirs: Vec<PathBuf>,
}

/// Arguments of the CLI for a plan, without the executable. None of them is free text: the prompt goes in by standard input.
#[must_use]
pub fn arguments(cli: &AgentCli, plan: &SpawnPlan) -> Vec<String> {
    match cli {
        AgentCli::Claude(_) => claude::arguments(plan),
    }
}

/// Environment that every spawn of this CLI gets beside what the config gives.
#[must_use]
pub fn environment(cli: &AgentCli, max_retries: u32, api_timeout: Option<Duration>) -> BTreeMap<String, String> {
    match cli {
        AgentCli::Claude(_) => claude::environment(max_retries, api_timeout),
    }
}

/// Where the CLI keeps a conversation, relative to its config directory: `projects/<slug of cwd>`.
#[must_use]
pub fn transcript_dir(cli: &AgentCli, canonical_cwd: &str) -> PathBuf {
    match cli {
        AgentCli::Claude(_) => claude::transcript_dir(canonical_cwd),
    }
}

/// Reads the lines of one spawn's standard output. A spawn may give several [`AgentEvent::Result`]s: an agent that waits
/// for its own background work answers again. The last one counts, and their usage adds up.
#[derive(Debug)]
pub struct LineParser(Dialect);

#[derive(Debug)]
enum Dialect {
    Claude(claude::Lines),
}

impl LineParser {
    /// A parser for a new spawn.
    #[must_use]
    pub fn new(cli: &AgentCli, purpose: SpawnPurpose) -> Self {
        match cli {
            AgentCli::Claude(_) => Self(Dialect::Claude(claude::Lines::new(purpose))),
        }
    }

    /// What this line means; a line that is not known becomes `EntryKind::Other`, never nothing (an empty line apart).
    /// Lines come as bytes: invalid UTF-8 is replaced. `truncated` lines (past the cap) become `Other`.
    pub fn line(&mut self, line: &[u8], truncated: bool) -> Vec<AgentEvent> {
        match &mut self.0 {
            Dialect::Claude(lines) => lines.line(line, truncated),
        }
    }

    /// Whether the last line was a piece of a message whose whole follows.
    #[must_use]
    pub const fn was_piece(&self) -> bool {
        match &self.0 {
            Dialect::Claude(lines) => lines.was_piece(),
        }
    }
}

/// At most `limit` bytes of `text`, cut between characters.
fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            description: "reads".to_owned(),
            restricted: true,
            permission_mode: "dontAsk".to_owned(),
            tools: Some(vec!["Read".to_owned()]),
            allowed_tools: vec![],
            env: vec![],
            mcp_config: Some("/etc/reprise/mcp.json".into()),
        }
    }

    #[test]
    fn a_fingerprint_follows_the_rules_and_not_words_or_places() {
        let print = |profile: &Profile| fingerprint(&AgentCli::default(), "untrusted", profile, "scratch");
        let first = print(&profile());
        assert_eq!(first, print(&Profile { description: "other words".to_owned(), ..profile() }));
        assert_eq!(first, print(&Profile { mcp_config: Some("/srv/mcp.json".into()), ..profile() }));
        for changed in [
            Profile { restricted: false, ..profile() },
            Profile { tools: None, ..profile() },
            Profile { allowed_tools: vec!["Bash".to_owned()], ..profile() },
            Profile { env: vec!["GH_TOKEN".to_owned()], ..profile() },
            Profile { mcp_config: None, ..profile() },
            Profile { permission_mode: "plan".to_owned(), ..profile() },
        ] {
            assert_ne!(first, print(&changed), "{changed:?}");
        }
        assert_ne!(first, fingerprint(&AgentCli::default(), "untrusted", &profile(), "named"));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
