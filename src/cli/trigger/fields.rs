//! A trigger on the command line.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::super::failure::Failure;
use super::super::words::{choice, parse_span, to_wire};
use crate::proto::v1::agent_options::Cli;
use crate::proto::v1::busy_policy::Policy;
use crate::proto::v1::trigger::Action;
use crate::proto::v1::workspace::Kind as WorkspaceKind;
use crate::proto::v1::{
    AgentOptions, AuthorRule, BusyPolicy, Caps, ClaudeOptions, CoalescePolicy, DropPolicy, HmacAlgorithm, HmacEncoding, HmacProfile,
    NamedWorkspace, OnInterrupt, PromptAction, QueuePolicy, RetryPolicy, RunLimits, ScratchWorkspace, SkillAction, Source, Trigger,
    Workspace,
};

/// A source by its name.
pub(super) fn source(text: &str) -> Result<Source, String> {
    choice(text, "SOURCE_", Source::as_str_name)
}

/// What happens to an event whose conversation has a run already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Busy {
    /// Each event becomes a run, one after the other.
    Queue,
    /// Events that arrive close together become one run.
    Coalesce,
    /// The event does nothing.
    Drop,
}

/// What can be said of a trigger when it is made and when it is changed.
#[derive(Debug, Default, Args)]
pub(crate) struct Fields {
    /// Text for people.
    #[arg(long)]
    display_name: Option<String>,
    /// Whether webhooks are acted on.
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// Continue one conversation for all events of a thread.
    #[arg(long, overrides_with = "no_resume")]
    resume: bool,
    /// Make each event a run of its own that remembers nothing.
    #[arg(long)]
    no_resume: bool,

    /// What the agent is told, as a template.
    #[arg(long, value_name = "TEXT", group = "first", help_heading = "What the agent is told")]
    prompt: Option<String>,
    /// The same from a file; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "first", help_heading = "What the agent is told")]
    prompt_file: Option<PathBuf>,
    /// A skill of the server in place of a prompt.
    #[arg(long, value_name = "NAME", group = "first", help_heading = "What the agent is told")]
    skill: Option<String>,
    /// What stands for `$ARGUMENTS` in the skill, as a template.
    #[arg(long, value_name = "TEXT", requires = "skill", help_heading = "What the agent is told")]
    arguments: Option<String>,
    /// The same for every later turn.
    #[arg(long, value_name = "TEXT", requires = "skill", help_heading = "What the agent is told")]
    follow_up_arguments: Option<String>,
    /// The prompt of every later turn, as a template.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["follow_up_file", "skill"], help_heading = "What the agent is told")]
    follow_up: Option<String>,
    /// The same from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "skill", help_heading = "What the agent is told")]
    follow_up_file: Option<PathBuf>,

    /// Which events count (CEL, bool).
    #[arg(long, value_name = "CEL", help_heading = "Which events")]
    filter: Option<String>,
    /// Which events may start a conversation (CEL, bool).
    #[arg(long, value_name = "CEL", help_heading = "Which events")]
    start: Option<String>,
    /// Which thread an event belongs to (CEL, string or int).
    #[arg(long, value_name = "CEL", help_heading = "Which events")]
    thread_key: Option<String>,
    /// Only events of this author count; may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Which events")]
    allow: Vec<String>,
    /// Events of this author never count; may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Which events")]
    deny: Vec<String>,
    /// Events of this bot count; may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Which events")]
    allow_bot: Vec<String>,
    /// A name under which the agent itself writes, so that it never answers itself; may be repeated.
    #[arg(long, value_name = "NAME", help_heading = "Which events")]
    own_identity: Vec<String>,
    /// What happens to an event whose conversation has a run already.
    #[arg(long, value_enum, help_heading = "Which events")]
    busy: Option<Busy>,
    /// With --busy coalesce: how long a run waits after the last event.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "busy", help_heading = "Which events")]
    quiet_period: Option<Duration>,
    /// With --busy coalesce: how long a run waits in all.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, requires = "busy", help_heading = "Which events")]
    max_wait: Option<Duration>,
    /// With --busy coalesce: most events in one run.
    #[arg(long, value_name = "COUNT", requires = "busy", help_heading = "Which events")]
    max_batch: Option<i32>,

    /// Model name or alias.
    #[arg(long, help_heading = "How the agent runs")]
    model: Option<String>,
    /// Effort level of the model.
    #[arg(long, help_heading = "How the agent runs")]
    effort: Option<String>,
    /// Profile of the server's configuration: tools, permissions, environment.
    #[arg(long, help_heading = "How the agent runs")]
    profile: Option<String>,
    /// Directory of the server's configuration to work in; `scratch` is an empty one for each session.
    #[arg(long, value_name = "NAME", help_heading = "How the agent runs")]
    workspace: Option<String>,
    /// Most US dollars of one run; 0 is no limit.
    #[arg(long, value_name = "USD", help_heading = "How the agent runs")]
    max_cost: Option<f64>,
    /// Most turns of the agent's inner loop; 0 is no limit.
    #[arg(long, value_name = "COUNT", help_heading = "How the agent runs")]
    max_turns: Option<i32>,
    /// Longest time of one run.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, help_heading = "How the agent runs")]
    timeout: Option<Duration>,
    /// Longest time without any output.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, help_heading = "How the agent runs")]
    silence_timeout: Option<Duration>,
    /// Most runs of this trigger at a time; 0 is no cap.
    #[arg(long, value_name = "COUNT", help_heading = "How the agent runs")]
    concurrent_runs: Option<i32>,
    /// Most runs that one session starts within an hour; 0 is no cap.
    #[arg(long, value_name = "COUNT", help_heading = "How the agent runs")]
    runs_per_hour: Option<i32>,
    /// How an interrupted run goes on: resume, restart, never.
    #[arg(long, value_parser = |text: &str| choice::<OnInterrupt>(text, "ON_INTERRUPT_", OnInterrupt::as_str_name), help_heading = "How the agent runs")]
    on_interrupt: Option<OnInterrupt>,
    /// Most attempts of one run.
    #[arg(long, value_name = "COUNT", help_heading = "How the agent runs")]
    max_attempts: Option<i32>,

    #[command(flatten)]
    hmac: HmacArgs,
}

/// How a generic sender signs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "How a generic-hmac sender signs")]
struct HmacArgs {
    /// Header with the signature.
    #[arg(long, value_name = "NAME")]
    hmac_header: Option<String>,
    /// Hash: sha256, sha1, sha512.
    #[arg(long, value_parser = |text: &str| choice::<HmacAlgorithm>(text, "HMAC_ALGORITHM_", HmacAlgorithm::as_str_name))]
    hmac_algorithm: Option<HmacAlgorithm>,
    /// How the signature is written: hex, base64.
    #[arg(long, value_parser = |text: &str| choice::<HmacEncoding>(text, "HMAC_ENCODING_", HmacEncoding::as_str_name))]
    hmac_encoding: Option<HmacEncoding>,
    /// Text before the signature, such as `sha256=`.
    #[arg(long, value_name = "TEXT")]
    hmac_prefix: Option<String>,
    /// What is signed, such as `{timestamp}.{body}`.
    #[arg(long, value_name = "TEMPLATE")]
    hmac_signed_template: Option<String>,
    /// Header with the time of sending.
    #[arg(long, value_name = "NAME")]
    hmac_timestamp_header: Option<String>,
    /// How far that time may be off.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    hmac_tolerance: Option<Duration>,
    /// Header with the sender's delivery id.
    #[arg(long, value_name = "NAME")]
    hmac_id_header: Option<String>,
}

/// A signing secret that the sender issued. It is never an argument, where other users could see it.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Signing secret, if the sender issued it")]
pub(crate) struct SecretArgs {
    /// Read it from standard input.
    #[arg(long, group = "given_secret")]
    secret_stdin: bool,
    /// Read it from this file.
    #[arg(long, value_name = "FILE", group = "given_secret")]
    secret_file: Option<PathBuf>,
    /// Read it from this environment variable.
    #[arg(long, value_name = "NAME", group = "given_secret")]
    secret_env: Option<String>,
}

impl SecretArgs {
    /// The secret, if there is one.
    pub(super) fn read(&self) -> Result<Option<String>, Failure> {
        let secret = match (&self.secret_env, &self.secret_file, self.secret_stdin) {
            (Some(name), ..) => environment(name)?,
            (_, Some(path), _) => text_of(path)?,
            (.., true) => text_of(Path::new("-"))?,
            _ => return Ok(None),
        };
        let secret = secret.trim().to_owned();
        if secret.is_empty() { Err(Failure::Usage("the secret is empty".into())) } else { Ok(Some(secret)) }
    }
}

/// The value of an environment variable that the command line names.
pub(crate) fn environment(name: &str) -> Result<String, Failure> {
    let value = std::env::var_os(name).ok_or_else(|| Failure::Usage(format!("the environment has no {name}")))?;
    value.into_string().map_err(|_| Failure::Usage(format!("{name} is not text")))
}

/// A file's bytes; `-` is standard input.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    std::fs::read(path).map_err(|error| Failure::file(path, &error))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    String::from_utf8(bytes_of(path)?).map_err(|_| Failure::Usage(format!("{} is not UTF-8 text", path.display())))
}

impl Fields {
    /// The trigger with exactly what was given.
    pub(super) fn into_trigger(self) -> Result<Trigger, Failure> {
        let action = self.action()?;
        let busy = self.busy()?;
        let author_rule =
            AuthorRule { allow: self.allow, deny: self.deny, allowed_bots: self.allow_bot, own_identities: self.own_identity };
        let claude = ClaudeOptions { model: self.model, effort: self.effort };
        let cli = (claude != ClaudeOptions::default()).then_some(Cli::Claude(claude));
        Ok(Trigger {
            display_name: self.display_name,
            enabled: self.enabled,
            resume_sessions: if self.resume { Some(true) } else { self.no_resume.then_some(false) },
            hmac: given(self.hmac.into_profile()),
            author_rule: given(author_rule),
            filter_expression: self.filter,
            start_expression: self.start,
            thread_key_expression: self.thread_key,
            action,
            workspace: self.workspace.map(workspace),
            agent: given(AgentOptions { cli, profile: self.profile }),
            run_limits: given(RunLimits {
                max_turns: self.max_turns,
                max_cost_usd: self.max_cost,
                timeout: self.timeout.map(to_wire),
                silence_timeout: self.silence_timeout.map(to_wire),
            }),
            caps: given(Caps { concurrent_runs: self.concurrent_runs, runs_per_session_per_hour: self.runs_per_hour }),
            busy,
            retry: given(RetryPolicy { on_interrupt: self.on_interrupt.map(Into::into), max_attempts: self.max_attempts }),
            ..Trigger::default()
        })
    }

    fn action(&self) -> Result<Option<Action>, Failure> {
        if let Some(name) = &self.skill {
            let arguments = self.arguments.clone().unwrap_or_default();
            return Ok(Some(Action::Skill(SkillAction {
                name: name.clone(),
                arguments,
                follow_up_arguments: self.follow_up_arguments.clone(),
            })));
        }
        let from = |text: &Option<String>, file: &Option<PathBuf>| match (text, file) {
            (Some(text), _) => Ok(Some(text.clone())),
            (None, Some(path)) => text_of(path).map(Some),
            (None, None) => Ok(None),
        };
        let follow_up_template = from(&self.follow_up, &self.follow_up_file)?;
        match from(&self.prompt, &self.prompt_file)? {
            Some(template) => Ok(Some(Action::Prompt(PromptAction { template, follow_up_template }))),
            // Within one branch the server merges field by field, so the first prompt stays.
            None => {
                Ok(follow_up_template.map(|text| Action::Prompt(PromptAction { follow_up_template: Some(text), ..Default::default() })))
            }
        }
    }

    fn busy(&self) -> Result<Option<BusyPolicy>, Failure> {
        let coalesce = CoalescePolicy {
            quiet_period: self.quiet_period.map(to_wire),
            max_wait: self.max_wait.map(to_wire),
            max_batch: self.max_batch,
        };
        let policy = match self.busy {
            Some(Busy::Coalesce) => Policy::Coalesce(coalesce),
            Some(_) if coalesce != CoalescePolicy::default() => {
                return Err(Failure::Usage("--quiet-period, --max-wait and --max-batch belong to --busy coalesce".into()));
            }
            Some(Busy::Queue) => Policy::Queue(QueuePolicy {}),
            Some(Busy::Drop) => Policy::Drop(DropPolicy {}),
            None => return Ok(None),
        };
        Ok(Some(BusyPolicy { policy: Some(policy) }))
    }
}

impl HmacArgs {
    fn into_profile(self) -> HmacProfile {
        HmacProfile {
            header: self.hmac_header,
            algorithm: self.hmac_algorithm.map(Into::into),
            encoding: self.hmac_encoding.map(Into::into),
            prefix: self.hmac_prefix,
            signed_template: self.hmac_signed_template,
            timestamp_header: self.hmac_timestamp_header,
            tolerance: self.hmac_tolerance.map(to_wire),
            id_header: self.hmac_id_header,
        }
    }
}

fn workspace(name: String) -> Workspace {
    let kind = if name == "scratch" { WorkspaceKind::Scratch(ScratchWorkspace {}) } else { WorkspaceKind::Named(NamedWorkspace { name }) };
    Workspace { kind: Some(kind) }
}

/// The message, if anything in it was given.
fn given<M: Default + PartialEq>(message: M) -> Option<M> {
    (message != M::default()).then_some(message)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        fields: Fields,
    }

    fn of(args: &[&str]) -> Result<Trigger, Failure> {
        let line =
            Line::try_parse_from(std::iter::once("x").chain(args.iter().copied())).map_err(|error| Failure::Usage(error.to_string()))?;
        line.fields.into_trigger()
    }

    #[test]
    fn only_what_is_given_is_present() {
        assert_eq!(of(&[]).ok(), Some(Trigger::default()));
        let one = of(&["--enabled", "false", "--model", "opus"]).expect("valid");
        let agent = AgentOptions { cli: Some(Cli::Claude(ClaudeOptions { model: Some("opus".into()), effort: None })), profile: None };
        assert_eq!(one, Trigger { enabled: Some(false), agent: Some(agent), ..Trigger::default() });
        assert_eq!(of(&["--no-resume"]).expect("valid").resume_sessions, Some(false));
    }

    #[test]
    fn policies_and_actions_have_their_own_options() {
        let busy = of(&["--busy", "coalesce", "--quiet-period", "2s"]).expect("valid").busy.expect("given");
        assert!(matches!(busy.policy, Some(Policy::Coalesce(c)) if c.quiet_period == Some(to_wire(Duration::from_secs(2)))));
        assert!(of(&["--busy", "drop", "--max-batch", "2"]).is_err());
        assert!(of(&["--prompt", "a", "--skill", "b"]).is_err());
        assert!(of(&["--arguments", "a"]).is_err());
        assert!(matches!(of(&["--skill", "review", "--arguments", "{{ event.url }}"]).expect("valid").action, Some(Action::Skill(_))));
        assert!(matches!(
            of(&["--workspace", "scratch"]).expect("valid").workspace,
            Some(Workspace { kind: Some(WorkspaceKind::Scratch(_)) })
        ));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        assert!(of(&["--prompt-file", "/nowhere/review.md"]).is_err_and(|failure| failure.to_string().contains("/nowhere/review.md")));
    }
}
