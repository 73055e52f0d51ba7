//! Agent CLIs, one file each: how to start one and what its lines mean. Pure: no process is started here.

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
    /// A short hash of its rules: part of a session's fingerprint.
    #[must_use]
    pub fn rules_hash(&self) -> String {
        todo!()
    }
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

/// Arguments of the CLI for a plan, without the executable.
#[must_use]
pub fn arguments(cli: &AgentCli, plan: &SpawnPlan) -> Vec<String> {
    let _ = (cli, plan);
    todo!()
}

/// Environment that every spawn of this CLI gets beside what the config gives.
#[must_use]
pub fn environment(cli: &AgentCli, max_retries: u32, api_timeout: Option<Duration>) -> BTreeMap<String, String> {
    let _ = (cli, max_retries, api_timeout);
    todo!()
}

/// Reads the lines of one spawn's standard output.
#[derive(Debug)]
pub struct LineParser {}

impl LineParser {
    /// A parser for a new spawn.
    #[must_use]
    pub fn new(cli: &AgentCli, purpose: SpawnPurpose) -> Self {
        let _ = (cli, purpose);
        todo!()
    }

    /// What this line means; a line that is not known becomes `EntryKind::Other`, never nothing (an empty line apart).
    /// Lines come as bytes: invalid UTF-8 is replaced. `truncated` lines (past the cap) become `Other`.
    pub fn line(&mut self, line: &[u8], truncated: bool) -> Vec<AgentEvent> {
        let _ = (line, truncated);
        todo!()
    }
}

/// Where the CLI keeps a conversation, relative to its config directory: `projects/<slug of cwd>`.
#[must_use]
pub fn transcript_dir(cli: &AgentCli, canonical_cwd: &str) -> PathBuf {
    let _ = (cli, canonical_cwd);
    todo!()
}
