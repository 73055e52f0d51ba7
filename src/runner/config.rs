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
    /// Of it, kept on disk while the database is away, compressed; then the agent waits.
    pub spool_limit_bytes: u64,
    /// How often the transcript of a live run is taken into custody.
    pub checkpoint_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: None,
            kill_grace_seconds: 5,
            output_limit_bytes: 256 * 1024 * 1024,
            spool_limit_bytes: 64 * 1024 * 1024,
            checkpoint_seconds: 30,
        }
    }
}

/// Section `[worker]`: how servers that share a database know which of them are alive.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerConfig {
    /// How long a worker is taken for alive after a sign of life.
    pub lease_seconds: f64,
    /// How often it gives one.
    pub heartbeat_seconds: f64,
    /// How long after the last one it ends its agents by itself.
    pub fence_seconds: f64,
    /// How long after the end of a lease others wait until they take over.
    pub grace_seconds: f64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { lease_seconds: 30.0, heartbeat_seconds: 5.0, fence_seconds: 20.0, grace_seconds: 5.0 }
    }
}

impl WorkerConfig {
    /// How long a worker is taken for alive after a sign of life.
    #[must_use]
    pub fn lease(&self) -> Duration {
        span(self.lease_seconds)
    }

    /// How often it gives one.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        span(self.heartbeat_seconds)
    }

    /// How long after the last one it ends its agents by itself.
    #[must_use]
    pub fn fence(&self) -> Duration {
        span(self.fence_seconds)
    }

    /// How long after the end of a lease others wait until they take over.
    #[must_use]
    pub fn grace(&self) -> Duration {
        span(self.grace_seconds)
    }

    /// What is wrong with it: agents must be gone before anybody takes over, and one lost sign of life must not end them.
    ///
    /// # Errors
    /// One sentence that names the keys.
    pub fn check(&self) -> Result<(), String> {
        let all = [self.lease_seconds, self.heartbeat_seconds, self.fence_seconds, self.grace_seconds];
        if !all.iter().all(|seconds| seconds.is_finite() && (0.05..=86_400.0).contains(seconds)) {
            return Err("`worker`: every time is between 0.05 and 86400 seconds".to_owned());
        }
        if self.heartbeat_seconds * 2.0 > self.fence_seconds || self.fence_seconds >= self.lease_seconds {
            return Err(format!(
                "`worker`: twice `heartbeat_seconds` ({}) is at most `fence_seconds` ({}), which is less than `lease_seconds` ({})",
                self.heartbeat_seconds, self.fence_seconds, self.lease_seconds
            ));
        }
        Ok(())
    }
}

fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
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
    /// Section `[worker]`.
    pub worker: WorkerConfig,
    /// The machine's name.
    pub host: String,
    /// What no other living server can hold: the lock of the data directory.
    pub place: String,
    /// The executable of the watchdog; none: there is none, as in tests.
    pub watchdog: Option<PathBuf>,
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
