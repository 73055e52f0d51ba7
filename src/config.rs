//! The configuration: defaults < file < environment < flags, checked before anything starts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use config::{Environment, File, FileFormat};
use serde::Deserialize;

use crate::{access, agent, domain, gateway, runner, server, store, telemetry};

const DEFAULTS: &str = include_str!("../config.default.toml");
const PREFIX: &str = "REPRISE__";
/// Variable names are case-sensitive, unlike keys: this table is read apart.
const CHILD_ENV_PREFIX: &str = "REPRISE__AGENT__CLAUDE__ENV__";

/// Everything that is configured at start.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Everything that the server keeps.
    pub data_dir: PathBuf,
    /// The key of stored secrets; absent: `master.key` in the data directory.
    pub master_key_file: Option<PathBuf>,
    /// What this server does.
    pub role: Role,
    /// The listener.
    pub server: server::Config,
    /// The database.
    pub database: store::Config,
    /// Keys.
    pub auth: access::Config,
    /// Webhooks.
    pub gateway: gateway::Config,
    /// Logs.
    pub log: telemetry::Config,
    /// Agents.
    pub agent: AgentConfig,
    /// Runs.
    pub runner: runner::Config,
    /// Leases among servers that share a database.
    pub worker: runner::WorkerConfig,
    /// What runs may do, by name.
    pub profiles: BTreeMap<String, agent::Profile>,
    /// Directories that triggers may name.
    pub workspaces: BTreeMap<String, PathBuf>,
}

/// Which agents there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Only `off` in this version.
    pub sandbox: Sandbox,
    /// Claude Code.
    pub claude: runner::ClaudeConfig,
}

/// What a server does, of all that there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes calls and webhooks, and works on runs.
    All,
    /// Takes calls and webhooks; other servers work on the runs.
    Api,
    /// Works on runs; answers nothing but health and metrics.
    Worker,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Api => "api",
            Self::Worker => "worker",
        })
    }
}

/// How far runs are walled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sandbox {
    /// Not at all.
    Off,
}

/// Flags that win over everything else.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
    /// `--role`.
    pub role: Option<Role>,
}

impl Config {
    /// Reads all layers.
    ///
    /// # Errors
    /// One sentence that names the key and the file or variable it came from.
    pub fn load(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>, flags: &Overrides) -> Result<Self, String> {
        let (child, ours): (Vec<_>, Vec<_>) =
            environment.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).partition(|(name, _)| name.starts_with(CHILD_ENV_PREFIX));
        let mut layers = config::Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        if let Some(path) = file {
            layers = layers.add_source(File::from(path).format(FileFormat::Toml));
        }
        layers = layers.add_source(
            Environment::with_prefix("REPRISE")
                .prefix_separator("__")
                .separator("__")
                .try_parsing(true)
                .source(Some(ours.into_iter().collect())),
        );
        if let Some(listen) = &flags.listen {
            layers = layers.set_override("server.listen", listen.as_str()).map_err(|error| error.to_string())?;
        }
        if let Some(data_dir) = &flags.data_dir {
            layers = layers.set_override("data_dir", data_dir.display().to_string()).map_err(|error| error.to_string())?;
        }
        if let Some(role) = &flags.role {
            layers = layers.set_override("role", role.to_string()).map_err(|error| error.to_string())?;
        }
        let mut config: Self = layers.build().and_then(config::Config::try_deserialize).map_err(|error| error.to_string())?;
        for (name, value) in child {
            config.agent.claude.env.insert(name[CHILD_ENV_PREFIX.len()..].to_owned(), value);
        }
        config.check()?;
        Ok(config)
    }

    /// What can be checked without starting anything.
    fn check(&self) -> Result<(), String> {
        self.worker.check()?;
        if self.role != Role::All && self.database.is_sqlite() {
            return Err(format!("`role` is `{}`, but `database.url` is SQLite, which only one server can open: use `all`", self.role));
        }
        for (name, path) in &self.workspaces {
            if !path.is_absolute() || !path.is_dir() {
                return Err(format!("`workspaces.{name}`: {} is not the absolute path of a directory", path.display()));
            }
        }
        for (name, profile) in &self.profiles {
            const MODES: [&str; 4] = ["dontAsk", "default", "acceptEdits", "plan"];
            if !MODES.contains(&profile.permission_mode.as_str()) {
                return Err(format!("`profiles.{name}.permission_mode` is `{}`; known are {}", profile.permission_mode, MODES.join(", ")));
            }
            if let Some(path) = profile.mcp_config.as_ref().filter(|path| !path.is_file()) {
                return Err(format!("`profiles.{name}.mcp_config`: {} is not a file", path.display()));
            }
        }
        let default = domain::Settings::default().agent.default_profile;
        if !self.profiles.contains_key(&default) {
            return Err(format!("`profiles.{default}` is missing; it is the default of every trigger"));
        }
        if let Some(dir) = self.agent.claude.skills_dir.as_ref().filter(|dir| !dir.is_dir()) {
            return Err(format!("`agent.claude.skills_dir`: {} is not a directory", dir.display()));
        }
        if !self.server.public_url.is_empty() && !self.server.public_url.starts_with("http") {
            return Err(format!("`server.public_url` is `{}`; it begins with http:// or https://", self.server.public_url));
        }
        Ok(())
    }

    /// Whether a child would have a credential for the model.
    #[must_use]
    pub fn has_credential(&self) -> bool {
        ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]
            .iter()
            .any(|name| self.agent.claude.env.contains_key(*name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("reprise.toml");
        std::fs::write(&path, file).expect("written");
        Config::load(Some(&path), environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), &Overrides::default())
    }

    #[test]
    fn layers_win_in_order_and_variable_names_keep_their_case() {
        let config = load(
            "[server]\nlisten = \"127.0.0.1:1\"\n[agent.claude.env]\nANTHROPIC_BASE_URL = \"http://localhost\"\n",
            &[("REPRISE__SERVER__LISTEN", "127.0.0.1:2"), ("REPRISE__AGENT__CLAUDE__ENV__ANTHROPIC_API_KEY", "k")],
        )
        .expect("valid");
        assert_eq!(config.server.listen.port(), 2);
        assert!(config.has_credential());
        assert_eq!(config.agent.claude.env.get("ANTHROPIC_BASE_URL").map(String::as_str), Some("http://localhost"));
        assert_eq!(config.profiles["untrusted"].permission_mode, "dontAsk");
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = load("[server]\nlissten = \"127.0.0.1:1\"\n", &[]).expect_err("refused");
        assert!(error.contains("lissten"), "{error}");
        let error = load("", &[("REPRISE__SERVER__PORT", "1")]).expect_err("refused");
        assert!(error.contains("port"), "{error}");
    }

    #[test]
    fn a_profile_with_an_unknown_mode_is_refused() {
        let error = load("[profiles.mine]\npermission_mode = \"yolo\"\n", &[]).expect_err("refused");
        assert!(error.contains("profiles.mine.permission_mode") && error.contains("dontAsk"), "{error}");
    }
}
