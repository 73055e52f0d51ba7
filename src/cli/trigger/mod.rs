//! `reprise trigger …`.

mod evaluate;
pub(crate) mod explain;
mod fields;
mod fire;
mod setup;

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use self::fields::{Fields, SecretArgs, source};
pub(crate) use self::fields::{bytes_of, environment};
use super::connection::Api;
use super::failure::{Exit, Failure};
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::table::{Column, Table, tinted};
use super::words::{ago, dotted, labelled, parse_span, plural, size, time, to_wire, word};
use crate::proto::v1::agent_options::Cli;
use crate::proto::v1::busy_policy::Policy;
use crate::proto::v1::trigger::Action;
use crate::proto::v1::workspace::Kind as WorkspaceKind;
use crate::proto::v1::{
    CreateTriggerRequest, DeleteTriggerRequest, GetTriggerRequest, ListSourcesRequest, ListTriggersRequest, RotateTriggerSecretRequest,
    SecretInfo, Source, Trigger, UpdateTriggerRequest,
};

/// The commands about triggers.
#[derive(Debug, Subcommand)]
pub enum TriggerCommand {
    /// Make a trigger, and show what to do at the sender
    Create(Box<CreateArgs>),
    /// List triggers, newest first
    List {
        /// Only triggers of this source.
        #[arg(long, value_parser = source)]
        source: Option<Source>,
        /// Only enabled triggers (true), or only disabled ones (false).
        #[arg(long)]
        enabled: Option<bool>,
    },
    /// Show a trigger
    Get {
        /// Slug or id.
        trigger: String,
    },
    /// Change a trigger; what is not given stays as it is
    Update(Box<UpdateArgs>),
    /// Delete a trigger and its sessions for good; its runs and deliveries stay
    Delete {
        /// Slug or id.
        trigger: String,
        /// Cancel runs that are queued or live.
        #[arg(long)]
        force: bool,
    },
    /// Add a signing secret and let the old one expire
    RotateSecret(RotateArgs),
    /// Start a run by hand
    Fire(Box<fire::FireArgs>),
    /// Show what each source can do: samples, events, names for expressions
    Sources,
}

/// What a new trigger is.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Short name, part of the webhook address: lower-case letters, digits and `-`.
    slug: String,
    /// Who sends the webhooks: github, linear, clickup, standard-webhooks, generic-hmac, manual.
    #[arg(long, value_parser = source)]
    source: Source,
    #[command(flatten)]
    fields: Fields,
    #[command(flatten)]
    secret: SecretArgs,
}

/// What changes.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Slug or id.
    trigger: String,
    #[command(flatten)]
    fields: Fields,
    /// Clear a field, by its path in the contract, for example `filter_expression` or `author_rule.allow`.
    #[arg(long, value_name = "PATH")]
    clear: Vec<String>,
    /// Only if the trigger still has this version.
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
    /// Change nothing: try the change on the trigger's last deliveries, and say which conversations it would end.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: on how many deliveries.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=500), requires = "dry_run")]
    deliveries: i32,
}

/// How a secret is replaced.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Slug or id.
    trigger: String,
    #[command(flatten)]
    secret: SecretArgs,
    /// Change the webhook address too; the old one stops working at once.
    #[arg(long)]
    new_address: bool,
    /// How long the old secret is still accepted, such as `1h`; `0s` ends it now. Default: 24 h.
    #[arg(long, value_parser = parse_span)]
    overlap: Option<Duration>,
}

/// Carries out a command about triggers.
pub(crate) async fn run(command: TriggerCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        TriggerCommand::Create(args) => create(*args, api, screen).await?,
        TriggerCommand::List { source, enabled } => list(source, enabled, api, screen).await?,
        TriggerCommand::Get { trigger } => {
            let answer = api.triggers().get_trigger(GetTriggerRequest { trigger_id: trigger }).await?.into_inner();
            if !screen.document(&answer)? {
                show(&answer.trigger.unwrap_or_default(), screen)?;
            }
        }
        TriggerCommand::Update(args) => update(*args, api, screen).await?,
        TriggerCommand::Delete { trigger, force } => {
            let request = DeleteTriggerRequest { trigger_id: trigger.clone(), force, ..DeleteTriggerRequest::default() };
            let answer = api.triggers().delete_trigger(request).await?.into_inner();
            if !screen.document(&answer)? {
                let sessions = plural(answer.deleted_session_count.into(), "session");
                let runs = plural(answer.cancelled_run_count.into(), "run");
                screen.line(format!("trigger {trigger} deleted with {sessions} ({} freed), {runs} cancelled", size(answer.freed_bytes)))?;
            }
        }
        TriggerCommand::RotateSecret(args) => rotate(args, api, screen).await?,
        TriggerCommand::Fire(args) => return fire::fire(*args, api, screen).await,
        TriggerCommand::Sources => sources(api, screen).await?,
    }
    Ok(Exit::Success)
}

async fn create(args: CreateArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let trigger = Trigger { slug: args.slug, source: args.source.into(), ..args.fields.into_trigger()? };
    let given = args.secret.read()?;
    let request = CreateTriggerRequest { trigger: Some(trigger), secret: given.clone(), ..CreateTriggerRequest::default() };
    let answer = api.triggers().create_trigger(request).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let trigger = answer.trigger.unwrap_or_default();
    screen.line(screen.paint(Tint::Bold, &format!("trigger {} created", trigger.slug)))?;
    let sources = api.triggers().list_sources(ListSourcesRequest {}).await?.into_inner().sources;
    let source = sources.into_iter().find(|source| source.source() == trigger.source()).unwrap_or_default();
    let secret = setup::Secret { made: &answer.secret, given: given.is_some() };
    for line in setup::steps(&source.setup_steps, &trigger, &secret) {
        screen.line(line)?;
    }
    for warning in &answer.warnings {
        screen.line(screen.paint(Tint::Yellow, &format!("  ⚠ {}", plain(warning))))?;
    }
    let next = match trigger.source() {
        Source::Manual => format!("reprise trigger fire {} --data '{{}}' --watch", trigger.slug),
        _ => format!("reprise delivery list --trigger {}", trigger.slug),
    };
    screen.line(format!("  then: {next}"))
}

async fn list(source: Option<Source>, enabled: Option<bool>, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let request = ListTriggersRequest { source: source.unwrap_or_default().into(), enabled, page_size: 500, page_token: String::new() };
    let answer = api.triggers().list_triggers(request).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let mut table = Table::new(&[
        ("TRIGGER", Column::CutEnd),
        ("SOURCE", Column::Whole),
        ("STATE", Column::Whole),
        ("SESSIONS", Column::Whole),
        ("BUSY", Column::Whole),
        ("CHANGED", Column::Whole),
    ]);
    for trigger in &answer.triggers {
        let state = if trigger.enabled() { tinted("enabled", Some(Tint::Green)) } else { tinted("disabled", Some(Tint::Yellow)) };
        table.row([
            trigger.slug.as_str().into(),
            word(trigger.source().as_str_name(), "SOURCE_").into(),
            state,
            (if trigger.resume_sessions() { "resumed" } else { "none" }).into(),
            busy(trigger).into(),
            time(trigger.update_time.as_ref()).map(|at| ago(at, Timestamp::now())).unwrap_or_default().into(),
        ]);
    }
    table.print(screen, "no triggers yet: `reprise trigger create SLUG --source github --resume --prompt-file FILE` makes one")
}

fn busy(trigger: &Trigger) -> String {
    match trigger.busy.as_ref().and_then(|busy| busy.policy.as_ref()) {
        Some(Policy::Queue(_)) => "queue".into(),
        Some(Policy::Coalesce(_)) => "coalesce".into(),
        Some(Policy::Drop(_)) => "drop".into(),
        None => "default".into(),
    }
}

fn show(trigger: &Trigger, screen: &mut Screen) -> Result<(), Failure> {
    let state = if trigger.enabled() { "enabled" } else { "disabled" };
    screen.line(format!("{}  {state}", screen.paint(Tint::Bold, &trigger.slug)))?;
    let agent = trigger.agent.clone().unwrap_or_default();
    let model = match &agent.cli {
        Some(Cli::Claude(claude)) => claude.model().to_owned(),
        None => String::new(),
    };
    let (first, later) = match &trigger.action {
        Some(Action::Prompt(prompt)) => (prompt.template.clone(), prompt.follow_up_template().to_owned()),
        Some(Action::Skill(skill)) => (format!("/{} {}", skill.name, skill.arguments), skill.follow_up_arguments().to_owned()),
        None => Default::default(),
    };
    let workspace = match trigger.workspace.as_ref().and_then(|workspace| workspace.kind.as_ref()) {
        Some(WorkspaceKind::Named(named)) => named.name.clone(),
        _ => "scratch".into(),
    };
    let rule = trigger.author_rule.clone().unwrap_or_default();
    screen.facts(&[
        ("id", trigger.id.clone()),
        ("name", plain(trigger.display_name())),
        ("source", word(trigger.source().as_str_name(), "SOURCE_")),
        ("address", trigger.webhook_url.clone()),
        ("secrets", trigger.secrets.iter().map(secret).collect::<Vec<_>>().join("\n")),
        ("sessions", if trigger.resume_sessions() { "resumed".into() } else { "none: each event is a run of its own".into() }),
        ("busy", busy(trigger)),
        ("filter", plain(trigger.filter_expression())),
        ("start", plain(trigger.start_expression())),
        ("thread key", plain(trigger.thread_key_expression())),
        ("allowed", plain(&rule.allow.join(", "))),
        ("denied", plain(&rule.deny.join(", "))),
        ("allowed bots", plain(&rule.allowed_bots.join(", "))),
        ("own names", plain(&rule.own_identities.join(", "))),
        ("agent", plain(&dotted(&[&model, &labelled("profile", agent.profile())]))),
        ("workspace", workspace),
        ("prompt", plain(&first)),
        ("later prompts", plain(&later)),
        ("etag", trigger.etag.clone()),
    ])
}

fn secret(secret: &SecretInfo) -> String {
    let when = |stamp, text: &str| time(stamp).map(|at| format!(" · {text} {}", ago(at, Timestamp::now()))).unwrap_or_default();
    let matched = when(secret.last_match_time.as_ref(), "last used");
    let expires = time(secret.expire_time.as_ref()).map(|at| format!(" · accepted until {at:.0}")).unwrap_or_default();
    format!("…{}{}{matched}{expires}", plain(&secret.hint), when(secret.create_time.as_ref(), "added"))
}

async fn update(args: UpdateArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let changes = args.fields.into_trigger()?;
    if !args.clear.is_empty() && changes != Trigger::default() {
        return Err(Failure::Usage("--clear stands alone: make the other changes in a second call".into()));
    }
    if args.clear.is_empty() && changes == Trigger::default() {
        return Err(Failure::Usage("nothing to change was given; `reprise trigger update --help` lists what can change".into()));
    }
    let update_mask = (!args.clear.is_empty()).then_some(prost_types::FieldMask { paths: args.clear });
    let trigger = Trigger { id: args.trigger, etag: args.etag, ..changes };
    if args.dry_run {
        return evaluate::try_change(trigger, update_mask, args.deliveries, api, screen).await;
    }
    let answer = api
        .triggers()
        .update_trigger(UpdateTriggerRequest { trigger: Some(trigger), update_mask, validate_only: false })
        .await?
        .into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let ended = answer.restarted_session_count;
    screen.line(format!("trigger {} changed", answer.trigger.unwrap_or_default().slug))?;
    if ended > 0 {
        screen.line(
            screen
                .paint(Tint::Yellow, &format!("⚠ {} ended: the next event of each begins a new one", plural(ended.into(), "conversation"))),
        )?;
    }
    Ok(())
}

async fn rotate(args: RotateArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let request = RotateTriggerSecretRequest {
        trigger_id: args.trigger,
        secret: args.secret.read()?,
        hook_token: args.new_address,
        overlap: args.overlap.map(to_wire),
        request_id: String::new(),
    };
    let answer = api.triggers().rotate_trigger_secret(request).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    let trigger = answer.trigger.unwrap_or_default();
    screen.line(format!("trigger {} has a new secret", trigger.slug))?;
    screen.facts(&[
        ("  secret", if answer.secret.is_empty() { String::new() } else { format!("{}   shown once", answer.secret) }),
        ("  address", if args.new_address { trigger.webhook_url.clone() } else { String::new() }),
        ("  accepted", trigger.secrets.iter().map(secret).collect::<Vec<_>>().join("\n")),
    ])
}

async fn sources(api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let answer = api.triggers().list_sources(ListSourcesRequest {}).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(());
    }
    for source in &answer.sources {
        screen.line(screen.paint(Tint::Bold, &source.title))?;
        screen.facts(&[
            ("  --source", word(source.source().as_str_name(), "SOURCE_").replace(' ', "-")),
            ("  thread", source.default_thread_key.clone()),
            ("  events", source.event_kinds.join(", ")),
            ("  samples", source.sample_names.join(", ")),
        ])?;
    }
    let Some(source) = answer.sources.iter().find(|source| !source.variables.is_empty()) else { return Ok(()) };
    screen.line(screen.paint(Tint::Bold, "Names for expressions and templates"))?;
    let mut table = Table::new(&[("NAME", Column::Whole), ("TYPE", Column::Whole), ("", Column::CutEnd)]);
    for variable in &source.variables {
        table.row([variable.name.as_str().into(), variable.r#type.as_str().into(), variable.help.as_str().into()]);
    }
    table.print(screen, "")
}
