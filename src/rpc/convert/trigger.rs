//! Triggers: shown in full, parsed with every wrong field named.

use std::time::Duration;

use super::{WireEnum, duration, none_if_empty, timestamp};
use crate::domain::{
    Action, AgentCli, AgentOptions, AuthorRule, BusyPolicy, Caps, ClaudeOptions, Error, HmacAlgorithm, HmacEncoding, HmacProfile, NanoUsd,
    OnInterrupt, Result, RetryPolicy, RunLimits, Source, Trigger, TriggerFilter, TriggerId, TriggerSpec, Workspace,
};
use crate::proto::v1::{self, agent_options::Cli, busy_policy::Policy, workspace};
use crate::rpc::{Fields, MAX_TEXT};

/// Fields of a trigger that no update writes.
pub const TRIGGER_FIXED: [&str; 8] = ["id", "slug", "source", "webhook_url", "secrets", "create_time", "update_time", "etag"];

const MAX_EXPRESSION: usize = 4 * 1024;
const MAX_TEMPLATE: usize = 256 * 1024;
const MAX_NAMES: usize = 500;
const MAX_COST_USD: f64 = 10_000.0;
const TOLERANCE: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A trigger, with the address that its sender needs.
#[must_use]
pub fn trigger(trigger: &Trigger, public_url: &str) -> v1::Trigger {
    let webhook_url = match trigger.source {
        Source::Manual => String::new(),
        _ => format!("{}/hooks/{}/{}", public_url.trim_end_matches('/'), trigger.slug, trigger.hook_token),
    };
    v1::Trigger {
        id: trigger.id.to_string(),
        slug: trigger.slug.clone(),
        source: trigger.source.to_wire(),
        webhook_url,
        secrets: trigger.secrets.iter().map(secret).collect(),
        create_time: Some(timestamp(trigger.create_time)),
        update_time: Some(timestamp(trigger.update_time)),
        etag: etag(trigger.version),
        ..spec(&trigger.spec)
    }
}

/// The etag of a version.
#[must_use]
pub fn etag(version: i64) -> String {
    version.to_string()
}

/// The version that an etag stands for; none for an empty one. A text that is no etag of ours matches no version.
#[must_use]
pub fn etag_version(etag: &str) -> Option<i64> {
    (!etag.is_empty()).then(|| etag.parse().unwrap_or(-1))
}

fn secret(secret: &crate::domain::Secret) -> v1::SecretInfo {
    v1::SecretInfo {
        id: secret.id.to_string(),
        hint: secret.hint.clone(),
        create_time: Some(timestamp(secret.create_time)),
        expire_time: secret.expire_time.map(timestamp),
        last_match_time: secret.last_match_time.map(timestamp),
    }
}

fn spec(spec: &TriggerSpec) -> v1::Trigger {
    let AgentCli::Claude(claude) = &spec.agent.cli;
    let claude = v1::ClaudeOptions { model: claude.model.clone(), effort: claude.effort.clone() };
    let named = |name: &String| workspace::Kind::Named(v1::NamedWorkspace { name: name.clone() });
    let workspace = match &spec.workspace {
        Workspace::Scratch => workspace::Kind::Scratch(v1::ScratchWorkspace {}),
        Workspace::Named(name) => named(name),
    };
    v1::Trigger {
        display_name: Some(spec.display_name.clone()),
        enabled: Some(spec.enabled),
        resume_sessions: Some(spec.resume_sessions),
        hmac: spec.hmac.as_ref().map(hmac),
        author_rule: Some(v1::AuthorRule {
            allow: spec.author_rule.allow.clone(),
            deny: spec.author_rule.deny.clone(),
            allowed_bots: spec.author_rule.allowed_bots.clone(),
            own_identities: spec.author_rule.own_identities.clone(),
        }),
        filter_expression: Some(spec.filter_expression.clone()),
        start_expression: Some(spec.start_expression.clone()),
        thread_key_expression: Some(spec.thread_key_expression.clone()),
        action: Some(action(&spec.action)),
        workspace: Some(v1::Workspace { kind: Some(workspace) }),
        agent: Some(v1::AgentOptions { cli: Some(Cli::Claude(claude)), profile: spec.agent.profile.clone() }),
        run_limits: Some(v1::RunLimits {
            max_turns: spec.run_limits.max_turns,
            max_cost_usd: spec.run_limits.max_cost.map(NanoUsd::usd),
            timeout: spec.run_limits.timeout.map(duration),
            silence_timeout: spec.run_limits.silence_timeout.map(duration),
        }),
        caps: Some(v1::Caps {
            concurrent_runs: Some(spec.caps.concurrent_runs.unwrap_or(0)),
            runs_per_session_per_hour: Some(spec.caps.runs_per_session_per_hour),
        }),
        busy: spec.busy.map(busy),
        retry: Some(v1::RetryPolicy { on_interrupt: Some(spec.retry.on_interrupt.to_wire()), max_attempts: Some(spec.retry.max_attempts) }),
        ..Default::default()
    }
}

fn hmac(hmac: &HmacProfile) -> v1::HmacProfile {
    v1::HmacProfile {
        header: Some(hmac.header.clone()),
        algorithm: Some(hmac.algorithm.to_wire()),
        encoding: Some(hmac.encoding.to_wire()),
        prefix: Some(hmac.prefix.clone()),
        signed_template: Some(hmac.signed_template.clone()),
        timestamp_header: Some(hmac.timestamp_header.clone()),
        tolerance: (!hmac.timestamp_header.is_empty()).then(|| duration(hmac.tolerance)),
        id_header: Some(hmac.id_header.clone()),
    }
}

fn action(action: &Action) -> v1::trigger::Action {
    match action {
        Action::Prompt { template, follow_up_template } => {
            v1::trigger::Action::Prompt(v1::PromptAction { template: template.clone(), follow_up_template: follow_up_template.clone() })
        }
        Action::Skill { name, arguments, follow_up_arguments } => v1::trigger::Action::Skill(v1::SkillAction {
            name: name.clone(),
            arguments: arguments.clone(),
            follow_up_arguments: follow_up_arguments.clone(),
        }),
    }
}

fn busy(busy: BusyPolicy) -> v1::BusyPolicy {
    let policy = match busy {
        BusyPolicy::Queue => Policy::Queue(v1::QueuePolicy {}),
        BusyPolicy::Drop => Policy::Drop(v1::DropPolicy {}),
        BusyPolicy::Coalesce { quiet_period, max_wait, max_batch } => Policy::Coalesce(v1::CoalescePolicy {
            quiet_period: Some(duration(quiet_period)),
            max_wait: Some(duration(max_wait)),
            max_batch: Some(max_batch),
        }),
    };
    v1::BusyPolicy { policy: Some(policy) }
}

/// How a request names a trigger: an id has a `_`, a slug never.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TriggerRef {
    /// By its id.
    Id(TriggerId),
    /// By its slug.
    Slug(String),
}

/// Reads an id or a slug.
pub fn trigger_ref(field: &str, text: &str) -> Result<TriggerRef> {
    if text.contains('_') || text.is_empty() {
        return Fields::id(field, text).map(TriggerRef::Id);
    }
    if !is_slug(text) {
        return Err(Error::field(field, "is neither an id (`trg_…`) nor a slug"));
    }
    Ok(TriggerRef::Slug(text.to_owned()))
}

/// Whether a text can be a slug: `[a-z0-9][a-z0-9-]{0,47}`.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=48).contains(&text.len()) && text.bytes().all(|b| plain(b) || b == b'-') && !text.starts_with('-')
}

/// Which triggers a request lists.
pub fn trigger_filter(request: &v1::ListTriggersRequest) -> Result<TriggerFilter> {
    let mut fields = Fields::new();
    let filter = TriggerFilter { source: fields.choice("source", request.source), enabled: request.enabled };
    fields.finish(filter)
}

/// What a new trigger fixes for good.
pub fn slug_and_source(trigger: &v1::Trigger) -> Result<(String, Source)> {
    let mut fields = Fields::new();
    fields.check(is_slug(&trigger.slug), "trigger.slug", || {
        let allowed = "must be 1 to 48 of a-z, 0-9 and -, and not begin with -";
        if trigger.slug.is_empty() { format!("is required; it {allowed}") } else { allowed.to_owned() }
    });
    let source = fields.choice("trigger.source", trigger.source);
    fields.check(source.is_some() || trigger.source != 0, "trigger.source", || "is required".to_owned());
    // A wrong source is among the problems by now, so the stand-in is never given.
    fields.finish((trigger.slug.clone(), source.unwrap_or(Source::Manual)))
}

/// What a caller may set of a trigger, with the default of what is absent. `resume` is that of `resume_sessions`.
pub fn parse_spec(source: Source, trigger: &v1::Trigger, resume: bool) -> Result<TriggerSpec> {
    let mut fields = Fields::new();
    let expression = |fields: &mut Fields, field: &str, text: &Option<String>| {
        fields.text(field, text.as_deref().unwrap_or_default().trim().to_owned(), MAX_EXPRESSION)
    };
    let resume_sessions = trigger.resume_sessions.unwrap_or(resume);
    let busy = trigger.busy.as_ref().and_then(|busy| parse_busy(&mut fields, busy));
    let alone = matches!(busy, Some(BusyPolicy::Coalesce { .. } | BusyPolicy::Drop)) && !resume_sessions;
    fields.check(!alone, "trigger.busy", || "needs `resume_sessions`: without it every event is a run of its own".to_owned());
    let action = parse_action(&mut fields, trigger.action.as_ref());
    let spec = TriggerSpec {
        display_name: fields.text("trigger.display_name", trigger.display_name.clone().unwrap_or_default(), MAX_TEXT),
        enabled: trigger.enabled.unwrap_or(true),
        resume_sessions,
        hmac: parse_hmac(&mut fields, source, trigger.hmac.as_ref()),
        author_rule: parse_authors(&mut fields, trigger.author_rule.as_ref()),
        filter_expression: expression(&mut fields, "trigger.filter_expression", &trigger.filter_expression),
        start_expression: expression(&mut fields, "trigger.start_expression", &trigger.start_expression),
        thread_key_expression: expression(&mut fields, "trigger.thread_key_expression", &trigger.thread_key_expression),
        action,
        workspace: parse_workspace(&mut fields, trigger.workspace.as_ref()),
        agent: parse_agent(&mut fields, trigger.agent.as_ref()),
        run_limits: parse_limits(&mut fields, trigger.run_limits.as_ref()),
        caps: parse_caps(&mut fields, trigger.caps.as_ref()),
        busy,
        retry: parse_retry(&mut fields, trigger.retry.as_ref()),
    };
    fields.finish(spec)
}

fn parse_hmac(fields: &mut Fields, source: Source, given: Option<&v1::HmacProfile>) -> Option<HmacProfile> {
    if source != Source::GenericHmac {
        fields.check(given.is_none(), "trigger.hmac", || "is only for SOURCE_GENERIC_HMAC".to_owned());
        return None;
    }
    let given = given.cloned().unwrap_or_default();
    let mut header = |field: &str, name: Option<String>, default: &str| {
        let name = name.unwrap_or_else(|| default.to_owned()).to_ascii_lowercase();
        let valid = name.is_empty() || http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        fields.check(valid, field, || "is not the name of an HTTP header".to_owned());
        name
    };
    let signature = header("trigger.hmac.header", given.header.filter(|name| !name.is_empty()), "x-signature");
    let timestamp_header = header("trigger.hmac.timestamp_header", given.timestamp_header, "");
    let id_header = header("trigger.hmac.id_header", given.id_header, "");
    let signed_template = given.signed_template.filter(|template| !template.is_empty()).unwrap_or_else(|| "{body}".to_owned());
    let field = "trigger.hmac.signed_template";
    fields.check(signed_template.contains("{body}"), field, || "must contain `{body}`".to_owned());
    let needs = |place: &str, header: &String| signed_template.contains(place) && header.is_empty();
    fields.check(!needs("{timestamp}", &timestamp_header), "trigger.hmac.timestamp_header", || "is required for `{timestamp}`".to_owned());
    fields.check(!needs("{id}", &id_header), "trigger.hmac.id_header", || "is required for `{id}`".to_owned());
    let tolerance = fields.duration("trigger.hmac.tolerance", given.tolerance).unwrap_or(TOLERANCE);
    Some(HmacProfile {
        header: signature,
        algorithm: fields.choice("trigger.hmac.algorithm", given.algorithm.unwrap_or(0)).unwrap_or(HmacAlgorithm::Sha256),
        encoding: fields.choice("trigger.hmac.encoding", given.encoding.unwrap_or(0)).unwrap_or(HmacEncoding::Hex),
        prefix: fields.text("trigger.hmac.prefix", given.prefix.unwrap_or_default(), MAX_TEXT),
        signed_template: fields.text(field, signed_template, MAX_TEXT),
        tolerance: if timestamp_header.is_empty() { Duration::ZERO } else { tolerance },
        timestamp_header,
        id_header,
    })
}

fn parse_authors(fields: &mut Fields, given: Option<&v1::AuthorRule>) -> AuthorRule {
    let Some(given) = given else { return AuthorRule::default() };
    let mut names = |list: &str, names: &[String]| {
        let field = format!("trigger.author_rule.{list}");
        fields.check(names.len() <= MAX_NAMES, &field, || format!("has {} names; allowed are {MAX_NAMES}", names.len()));
        for (i, name) in names.iter().enumerate().take(MAX_NAMES) {
            let good = !name.trim().is_empty() && name.len() <= MAX_TEXT;
            fields.check(good, &format!("{field}[{i}]"), || "must be a login or an id".to_owned());
        }
        names.iter().map(|name| name.trim().to_owned()).collect()
    };
    AuthorRule {
        allow: names("allow", &given.allow),
        deny: names("deny", &given.deny),
        allowed_bots: names("allowed_bots", &given.allowed_bots),
        own_identities: names("own_identities", &given.own_identities),
    }
}

fn parse_action(fields: &mut Fields, given: Option<&v1::trigger::Action>) -> Action {
    let mut template = |field: &str, text: &str| fields.text(field, text.to_owned(), MAX_TEMPLATE);
    match given {
        Some(v1::trigger::Action::Prompt(prompt)) => {
            let action = Action::Prompt {
                template: template("trigger.prompt.template", &prompt.template),
                follow_up_template: prompt.follow_up_template.as_deref().map(|text| template("trigger.prompt.follow_up_template", text)),
            };
            fields.check(!prompt.template.trim().is_empty(), "trigger.prompt.template", || "is required".to_owned());
            action
        }
        Some(v1::trigger::Action::Skill(skill)) => {
            let action = Action::Skill {
                name: skill.name.clone(),
                arguments: template("trigger.skill.arguments", &skill.arguments),
                follow_up_arguments: skill.follow_up_arguments.as_deref().map(|text| template("trigger.skill.follow_up_arguments", text)),
            };
            // The name becomes a path: nothing that could lead out of the skills directory.
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            let good = (1..=64).contains(&skill.name.len()) && skill.name.bytes().all(plain);
            fields.check(good, "trigger.skill.name", || "must be 1 to 64 letters, digits, - or _".to_owned());
            action
        }
        None => {
            fields.wrong("trigger.prompt", "is required, or else `skill`");
            Action::Prompt { template: String::new(), follow_up_template: None }
        }
    }
}

fn parse_workspace(fields: &mut Fields, given: Option<&v1::Workspace>) -> Workspace {
    match given.and_then(|workspace| workspace.kind.as_ref()) {
        None | Some(workspace::Kind::Scratch(_)) => Workspace::Scratch,
        Some(workspace::Kind::Named(named)) => {
            fields.check(!named.name.is_empty(), "trigger.workspace.named.name", || "is required".to_owned());
            Workspace::Named(named.name.clone())
        }
    }
}

fn parse_agent(fields: &mut Fields, given: Option<&v1::AgentOptions>) -> AgentOptions {
    let Some(given) = given else { return AgentOptions::default() };
    let claude = match &given.cli {
        Some(Cli::Claude(claude)) => claude.clone(),
        None => v1::ClaudeOptions::default(),
    };
    // These become arguments of a program: one word each that cannot be taken for an option.
    let mut word = |field: &str, text: Option<String>| {
        let text = text.filter(|text| !text.is_empty())?;
        let good = text.len() <= 128 && !text.starts_with('-') && text.bytes().all(|b| b.is_ascii_graphic());
        fields.check(good, field, || "must be one word of at most 128 characters that does not begin with -".to_owned());
        Some(text)
    };
    let model = word("trigger.agent.claude.model", claude.model);
    let effort = word("trigger.agent.claude.effort", claude.effort);
    AgentOptions { cli: AgentCli::Claude(ClaudeOptions { model, effort }), profile: given.profile.as_deref().and_then(none_if_empty) }
}

fn parse_limits(fields: &mut Fields, given: Option<&v1::RunLimits>) -> RunLimits {
    let Some(given) = given else { return RunLimits::default() };
    if let Some(usd) = given.max_cost_usd {
        let field = "trigger.run_limits.max_cost_usd";
        fields.check((0.0..=MAX_COST_USD).contains(&usd), field, || format!("is {usd}; allowed is 0 (no limit) to {MAX_COST_USD}"));
    }
    let mut span = |field: &str, given: Option<prost_types::Duration>| {
        let span = fields.duration(field, given);
        fields.check(span != Some(Duration::ZERO), field, || "must be longer than 0s".to_owned());
        span
    };
    let timeout = span("trigger.run_limits.timeout", given.timeout);
    let silence_timeout = span("trigger.run_limits.silence_timeout", given.silence_timeout);
    let max_turns = given.max_turns.map(|turns| fields.number("trigger.run_limits.max_turns", turns, 0, 1_000_000));
    RunLimits { max_turns, max_cost: given.max_cost_usd.map(NanoUsd::from_usd), timeout, silence_timeout }
}

fn parse_caps(fields: &mut Fields, given: Option<&v1::Caps>) -> Caps {
    let (given, default) = (given.copied().unwrap_or_default(), Caps::default());
    let runs = fields.number("trigger.caps.concurrent_runs", given.concurrent_runs.unwrap_or(0), 0, 1_000_000);
    let hourly = given.runs_per_session_per_hour.unwrap_or(default.runs_per_session_per_hour);
    Caps {
        concurrent_runs: (runs > 0).then_some(runs),
        runs_per_session_per_hour: fields.number("trigger.caps.runs_per_session_per_hour", hourly, 0, 1_000_000),
    }
}

fn parse_busy(fields: &mut Fields, given: &v1::BusyPolicy) -> Option<BusyPolicy> {
    match given.policy.as_ref()? {
        Policy::Queue(_) => Some(BusyPolicy::Queue),
        Policy::Drop(_) => Some(BusyPolicy::Drop),
        Policy::Coalesce(coalesce) => {
            let mut span = |field: &str, given, default: u64, most: Duration| {
                let span = fields.duration(field, given).unwrap_or(Duration::from_secs(default));
                fields.check(span <= most, field, || format!("must be at most {}s", most.as_secs()));
                span
            };
            let quiet_period = span("trigger.busy.coalesce.quiet_period", coalesce.quiet_period, 3, HOUR);
            let max_wait = span("trigger.busy.coalesce.max_wait", coalesce.max_wait, 30.max(quiet_period.as_secs() + 1), DAY);
            let field = "trigger.busy.coalesce.max_wait";
            fields.check(max_wait >= quiet_period, field, || "must not be shorter than `quiet_period`".to_owned());
            let max_batch = fields.number("trigger.busy.coalesce.max_batch", coalesce.max_batch.unwrap_or(50), 1, 500);
            Some(BusyPolicy::Coalesce { quiet_period, max_wait, max_batch })
        }
    }
}

fn parse_retry(fields: &mut Fields, given: Option<&v1::RetryPolicy>) -> RetryPolicy {
    let (given, default) = (given.copied().unwrap_or_default(), RetryPolicy::default());
    let on_interrupt: Option<OnInterrupt> = fields.choice("trigger.retry.on_interrupt", given.on_interrupt.unwrap_or(0));
    let attempts = given.max_attempts.unwrap_or(default.max_attempts);
    RetryPolicy {
        on_interrupt: on_interrupt.unwrap_or(default.on_interrupt),
        max_attempts: fields.number("trigger.retry.max_attempts", attempts, 1, 10),
    }
}

#[cfg(test)]
#[path = "trigger_tests.rs"]
mod tests;
