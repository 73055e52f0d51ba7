//! What the runner is told at boot.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::agent::Profile;

/// Section `[runner]`: how much of a run is kept, and how it is ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Runs at once on this server; absent: as many as the setting `limits.max_concurrent_runs` allows.
    pub slots: Option<usize>,
    /// From asking an agent to stop until it is killed.
    pub kill_grace_seconds: u64,
    /// Output of one run that is kept; what comes after is read and left out.
    pub output_limit_bytes: u64,
    /// How often the transcript of a live run is taken into custody.
    pub checkpoint_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: None, kill_grace_seconds: 5, output_limit_bytes: 256 * 1024 * 1024, checkpoint_seconds: 30 }
    }
}

/// Section `[agent.claude]`: Claude Code on this server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaudeConfig {
    /// The executable: a path, or a name that `PATH` finds.
    pub command: String,
    /// What its process gets beside the fixed names, such as `ANTHROPIC_API_KEY` or `ANTHROPIC_BASE_URL`.
    pub env: BTreeMap<String, String>,
    /// How often it asks the model's API again before it gives up.
    pub max_retries: u32,
    /// The model where neither trigger nor settings name one.
    pub model: String,
    /// Where skills live: `NAME/SKILL.md`.
    pub skills_dir: Option<PathBuf>,
}

impl Default for ClaudeConfig {
    fn default() -> Self {
        Self { command: "claude".to_owned(), env: BTreeMap::new(), max_retries: 6, model: "claude-sonnet-4-5".to_owned(), skills_dir: None }
    }
}

/// All that a runner is told at boot.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Where sessions live.
    pub data_dir: PathBuf,
    /// The server's own environment: what profiles may name, and where `PATH` comes from.
    pub environment: BTreeMap<String, String>,
    /// Section `[runner]`.
    pub config: Config,
    /// Section `[agent.claude]`.
    pub claude: ClaudeConfig,
    /// Section `[profiles]`: what runs may do.
    pub profiles: BTreeMap<String, Profile>,
    /// Section `[workspaces]`: absolute directories by name.
    pub workspaces: BTreeMap<String, PathBuf>,
}

impl Setup {
    /// From asking an agent to stop until it is killed.
    #[must_use]
    pub const fn kill_grace(&self) -> Duration {
        Duration::from_secs(self.config.kill_grace_seconds)
    }

    /// How often the transcript of a live run is taken into custody.
    #[must_use]
    pub fn checkpoint_every(&self) -> Duration {
        Duration::from_secs(self.config.checkpoint_seconds.max(1))
    }

    /// Where executables are looked for.
    #[must_use]
    pub fn path(&self) -> &str {
        let given = self.claude.env.get("PATH").or_else(|| self.environment.get("PATH"));
        given.map_or("/usr/local/bin:/usr/bin:/bin", String::as_str)
    }
}
