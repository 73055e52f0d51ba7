//! Where and how an attempt's agents run: directories, profile, executable, environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::config::Setup;
use super::kill::{MARK, Mark};
use super::version::Probe;
use super::workspace::{self, Dirs};
use crate::agent::{self, Profile};
use crate::domain::{AgentCli, Failure, FailureReason};
use crate::queue::Assignment;

/// Where and how an attempt's agents run.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) profile: Profile,
    pub(super) dirs: Dirs,
    /// Where the agent keeps this session's conversations.
    pub(super) project_dir: PathBuf,
    pub(super) executable: PathBuf,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) model: String,
    pub(super) effort: Option<String>,
    /// What a conversation must have begun with to be continued here.
    pub(super) fingerprint: String,
}

impl Place {
    /// Makes everything ready.
    pub(super) async fn prepare(setup: &Setup, probe: &Probe, assignment: &Assignment, mark: &Mark) -> Result<Self, Failure> {
        let spec = &assignment.trigger.spec;
        let name = spec.agent.profile.as_deref().unwrap_or(&assignment.settings.agent.default_profile);
        let unknown = || Failure::new(FailureReason::PolicyMismatch, format!("the server's config has no profile `{name}`"));
        let profile = setup.profiles.get(name).cloned().ok_or_else(unknown)?;
        let dirs = workspace::prepare(&setup.data_dir, assignment.session.id, &spec.workspace, &setup.workspaces)
            .map_err(|error| Failure::new(FailureReason::WorkspaceFailed, error.to_string()))?;
        let executable = probe.check(setup).await?.path;
        let project_dir = dirs.config_dir.join(agent::transcript_dir(&spec.agent.cli, &dirs.cwd.to_string_lossy()));
        let AgentCli::Claude(options) = &spec.agent.cli;
        let default = Some(&assignment.settings.agent.default_model).filter(|model| !model.is_empty());
        let model = options.model.as_ref().or(default).unwrap_or(&setup.claude.model).clone();
        let fingerprint = agent::fingerprint(&spec.agent.cli, name, &profile, spec.workspace.kind());
        let environment = environment(setup, &spec.agent.cli, &profile, &dirs, mark);
        Ok(Self { effort: options.effort.clone(), profile, dirs, project_dir, executable, environment, model, fingerprint })
    }
}

/// All that the agent gets, and nothing else. What stands later wins.
fn environment(setup: &Setup, cli: &AgentCli, profile: &Profile, dirs: &Dirs, mark: &Mark) -> BTreeMap<String, String> {
    let named = profile.env.iter().filter_map(|name| Some((name.clone(), setup.environment.get(name)?.clone())));
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let fixed = [
        ("PATH", setup.path().to_owned()),
        ("HOME", text(&dirs.home)),
        ("CLAUDE_CONFIG_DIR", text(&dirs.config_dir)),
        ("TMPDIR", text(&dirs.tmp)),
        (MARK, mark.value().to_owned()),
    ];
    let mut all: BTreeMap<String, String> = named.collect();
    all.extend(setup.claude.env.clone());
    all.extend(agent::environment(cli, setup.claude.max_retries, None));
    all.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    all
}
