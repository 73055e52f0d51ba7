//! What is fixed when the server starts, as far as callers ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::sync::watch;

use crate::agent::{self, Profile};
use crate::domain::{Action, FieldError, Settings, Source, TriggerSpec, UnixMicros, Workspace};
use crate::proto::v1;
use crate::rpc::convert::timestamp;

/// What is fixed when the server starts.
#[derive(Debug, Clone)]
pub struct Facts {
    /// How senders reach the server.
    pub public_url: String,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// Whether it stores in PostgreSQL.
    pub postgres: bool,
    /// The model of triggers and settings that name none.
    pub default_model: String,
    /// What runs may do, by name.
    pub profiles: BTreeMap<String, Profile>,
    /// Names of directories that triggers may name.
    pub workspaces: BTreeSet<String>,
    /// Where skills are.
    pub skills_dir: Option<PathBuf>,
    /// Whether runs have a credential for the model.
    pub has_credential: bool,
    /// The agents as they were last looked for.
    pub agents: watch::Receiver<Vec<AgentFound>>,
    /// What is wrong or unsafe in the configuration, one sentence each.
    pub warnings: Vec<String>,
    /// When this process started.
    pub start_time: UnixMicros,
}

/// Claude Code as the server found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentFound {
    /// Path of the program; empty: not found.
    pub path: String,
    /// Its version; empty: not known.
    pub version: String,
    /// Whether runs can use it.
    pub usable: bool,
    /// What is wrong; empty: nothing.
    pub problem: String,
    /// What to do about it; empty: nothing.
    pub remedy: String,
}

impl Facts {
    /// Every name of a trigger that the server's configuration does not have. One that the trigger had `before` is left
    /// alone: it may have been configured once, and such a trigger can still be disabled.
    pub(super) fn unknown_names(&self, spec: &TriggerSpec, before: Option<&TriggerSpec>) -> Vec<FieldError> {
        let mut problems = Vec::new();
        let mut unknown = |field: &str, name: &str, known: Vec<&str>| {
            let known = if known.is_empty() { "there are none".to_owned() } else { format!("known are {}", known.join(", ")) };
            problems.push(FieldError::new(field, format!("`{name}` is not in the server's configuration; {known}")));
        };
        if let Some(name) = spec.agent.profile.as_deref().filter(|name| !self.profiles.contains_key(*name))
            && before.is_none_or(|before| before.agent.profile != spec.agent.profile)
        {
            unknown("trigger.agent.profile", name, self.profiles.keys().map(String::as_str).collect());
        }
        if let Workspace::Named(name) = &spec.workspace
            && !self.workspaces.contains(name)
            && before.is_none_or(|before| before.workspace != spec.workspace)
        {
            unknown("trigger.workspace.named.name", name, self.workspaces.iter().map(String::as_str).collect());
        }
        if let Action::Skill { name, .. } = &spec.action
            && !self.has_skill(name)
            && before.is_none_or(|before| !matches!(&before.action, Action::Skill { name: known, .. } if known == name))
        {
            problems.push(FieldError::new("trigger.skill.name", format!("there is no skill `{name}` in the server's skills directory")));
        }
        problems
    }

    /// The name was checked to be a plain one, so this does not leave the directory.
    fn has_skill(&self, name: &str) -> bool {
        self.skills_dir.as_ref().is_some_and(|dir| dir.join(name).join("SKILL.md").is_file())
    }

    /// What a conversation of such a trigger must fit to be continued; none when its profile is not configured any more.
    pub(super) fn fingerprint(&self, spec: &TriggerSpec, settings: &Settings) -> Option<String> {
        let name = spec.agent.profile.as_deref().unwrap_or(&settings.agent.default_profile);
        let profile = self.profiles.get(name)?;
        Some(agent::fingerprint(&spec.agent.cli, name, profile, spec.workspace.kind()))
    }

    /// What keeps a new trigger from working as it is.
    pub(super) fn warnings_for(&self, source: Source, has_secret: bool) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.has_credential {
            warnings.push(
                "no model credential is configured: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN under [agent.claude.env]".to_owned(),
            );
        }
        warnings
            .extend(self.agents.borrow().iter().filter(|agent| !agent.usable).map(|agent| format!("{}: {}", agent.problem, agent.remedy)));
        if source != Source::Manual {
            if !has_secret {
                warnings.push(
                    "its sender issues the signing secret: add it with RotateTriggerSecret, until then deliveries are refused".to_owned(),
                );
            }
            if ["//127.", "//localhost", "//[::1]", "//0.0.0.0"].iter().any(|local| self.public_url.contains(local)) {
                warnings.push(format!("senders on other machines cannot reach {}: set server.public_url", self.public_url));
            }
        }
        warnings
    }

    pub(super) fn info(&self) -> v1::GetServerInfoResponse {
        let database = if self.postgres { v1::DatabaseKind::Postgres } else { v1::DatabaseKind::Sqlite };
        v1::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            public_url: self.public_url.clone(),
            database: database as i32,
            role: "all".to_owned(),
            sandbox: v1::SandboxLevel::Off as i32,
            agents: self.agents.borrow().iter().map(agent_info).collect(),
            warnings: self.warnings.clone(),
            start_time: Some(timestamp(self.start_time)),
        }
    }
}

fn agent_info(found: &AgentFound) -> v1::AgentInfo {
    v1::AgentInfo {
        kind: v1::AgentKind::Claude as i32,
        path: found.path.clone(),
        version: found.version.clone(),
        usable: found.usable,
        problem: found.problem.clone(),
        remedy: found.remedy.clone(),
    }
}
