//! What a trigger says of an event: who may cause it, whether it counts, whether it may start a conversation, and to
//! which thread it belongs.

use super::expression::{self, Expression, Scope};
use super::source::{self, Raw, SourceInfo};
use crate::domain::{
    Actor, ActorKind, AuthorRule, BusyPolicy, DeliveryOutcome, DeliveryReason, Error, Header, Requester, Result, RunKind, SessionMode,
    Source, Trigger, TriggerSpec, UnixMicros,
};
use crate::queue::{Disposition, RunRequest, RunThread};

/// Bytes that a thread key may have.
const MAX_THREAD_KEY: usize = 1024;

/// One expression; none when it is empty. One that does not compile was saved by another version: it fails on every
/// event, visibly.
type Rule = Option<Result<Expression, String>>;

/// The compiled expressions of a trigger.
#[derive(Debug)]
pub(super) struct Rules {
    filter: Rule,
    start: Rule,
    thread_key: Rule,
}

/// What is asked of the rules beside the event.
#[derive(Debug)]
pub(super) struct Asked {
    /// A person fires: authors, filter and start rule are as this says.
    pub(super) by_hand: bool,
    pub(super) skip_filter: bool,
    /// Instead of the thread key that the rules give; empty: no thread.
    pub(super) thread_key: Option<String>,
    pub(super) session_mode: SessionMode,
    pub(super) prompt: Option<String>,
    pub(super) requested_by: Requester,
}

/// What the rules say: the thread key in force, and what is to happen.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) thread_key: Option<String>,
    pub(super) disposition: Disposition,
}

impl Rules {
    pub(super) fn compile(spec: &TriggerSpec) -> Self {
        let rule = |source: &str| (!source.is_empty()).then(|| Expression::compile(source).map_err(|invalid| invalid.problem));
        Self { filter: rule(&spec.filter_expression), start: rule(&spec.start_expression), thread_key: rule(&spec.thread_key_expression) }
    }

    /// Walks the rules in their order; the first that stops the event is its reason.
    pub(super) fn judge(&self, trigger: &Trigger, scope: Scope<'_>, asked: Asked) -> Judgement {
        let default_key = || scope.event.thread_key.clone();
        match self.decide(trigger, scope, asked) {
            Ok((thread_key, request)) => Judgement { thread_key, disposition: Disposition::Run(Box::new(request)) },
            Err(stop) => Judgement { thread_key: default_key(), disposition: stop },
        }
    }

    fn decide(&self, trigger: &Trigger, scope: Scope<'_>, asked: Asked) -> Result<(Option<String>, RunRequest), Disposition> {
        let spec = &trigger.spec;
        if !asked.by_hand {
            author(&spec.author_rule, &scope.event.actor)?;
            if !spec.enabled {
                return Err(stop(DeliveryOutcome::Dropped, DeliveryReason::TriggerDisabled, "the trigger is disabled"));
            }
        }
        let mut may_start = true;
        if !asked.skip_filter {
            if !test(&self.filter, "filter_expression", scope)? {
                return Err(stop(DeliveryOutcome::Filtered, DeliveryReason::FilterFalse, "`filter_expression` is false for this event"));
            }
            may_start = test(&self.start, "start_expression", scope)?;
        }
        let key = match asked.thread_key {
            Some(key) => Some(key).filter(|key| !key.is_empty()),
            None => self.key(scope)?,
        };
        let thread = key.clone().filter(|_| spec.resume_sessions).map_or(RunThread::Once, RunThread::Key);
        if !may_start && thread == RunThread::Once {
            let message = "`start_expression` is false for this event, and it has no thread that it could continue";
            return Err(stop(DeliveryOutcome::Filtered, DeliveryReason::StartFalse, message));
        }
        let default = if asked.by_hand { BusyPolicy::Queue } else { BusyPolicy::default_for(trigger.source) };
        let request = RunRequest {
            busy: if thread == RunThread::Once { BusyPolicy::Queue } else { spec.busy.unwrap_or(default) },
            thread,
            may_start,
            runs_per_session_per_hour: spec.caps.runs_per_session_per_hour,
            kind: RunKind::Turn,
            session_mode: asked.session_mode,
            prompt_override: asked.prompt,
            requested_by: asked.requested_by,
        };
        Ok((key, request))
    }

    fn key(&self, scope: Scope<'_>) -> Result<Option<String>, Disposition> {
        let failed = |problem: &str| {
            let message = format!("`thread_key_expression` {problem}");
            stop(DeliveryOutcome::Rejected, DeliveryReason::ThreadKeyFailed, &message)
        };
        let key = match &self.thread_key {
            None => scope.event.thread_key.clone(),
            Some(Err(problem)) => return Err(failed(problem)),
            Some(Ok(expression)) => expression.key(scope).map_err(|problem| failed(&problem))?,
        };
        match key {
            Some(key) if key.len() > MAX_THREAD_KEY => {
                Err(failed(&format!("gives {} bytes; at most {MAX_THREAD_KEY} are allowed", key.len())))
            }
            Some(key) if key.contains('\0') => Err(failed("gives a text with a zero byte")),
            key => Ok(key),
        }
    }
}

fn test(rule: &Rule, name: &str, scope: Scope<'_>) -> Result<bool, Disposition> {
    let verdict = match rule {
        None => return Ok(true),
        Some(Ok(expression)) => expression.test(scope),
        Some(Err(problem)) => Err(problem.clone()),
    };
    verdict.map_err(|problem| stop(DeliveryOutcome::Rejected, DeliveryReason::FilterFailed, &format!("`{name}` {problem}")))
}

/// Own identities first, so that the agent's own words are told apart from a stranger's; then who is denied, bots, and
/// who is allowed.
fn author(rule: &AuthorRule, actor: &Actor) -> Result<(), Disposition> {
    let is_in = |names: &[String]| {
        let same = |name: &String| {
            (!actor.id.is_empty() && *name == actor.id) || (!actor.login.is_empty() && name.eq_ignore_ascii_case(&actor.login))
        };
        names.iter().any(same)
    };
    let name = if actor.login.is_empty() { &actor.id } else { &actor.login };
    let filtered = |reason, message: String| Err(stop(DeliveryOutcome::Filtered, reason, &message));
    if is_in(&rule.own_identities) {
        let message = format!("`{name}` is one of our own identities");
        return Err(stop(DeliveryOutcome::SelfAuthored, DeliveryReason::AuthorIsSelf, &message));
    }
    if is_in(&rule.deny) {
        return filtered(DeliveryReason::AuthorNotAllowed, format!("`{name}` is denied"));
    }
    if actor.kind == ActorKind::Bot && !is_in(&rule.allowed_bots) {
        return filtered(DeliveryReason::AuthorIsBot, format!("`{name}` is a bot that is not among `allowed_bots`"));
    }
    if !rule.allow.is_empty() && !is_in(&rule.allow) {
        let message = if name.is_empty() { "the event names no author".to_owned() } else { format!("`{name}` is not among `allow`") };
        return filtered(DeliveryReason::AuthorNotAllowed, message);
    }
    Ok(())
}

pub(super) fn stop(outcome: DeliveryOutcome, reason: DeliveryReason, message: &str) -> Disposition {
    Disposition::Stop { outcome, reason, message: message.to_owned() }
}

/// What can be checked when a trigger is saved: every expression compiles, and gives the right type on the samples that
/// it can be evaluated on.
pub(super) fn check(source: Source, spec: &TriggerSpec) -> Result<()> {
    let bool_of = |expression: &Expression, scope: Scope<'_>| expression.test(scope).map(|_| ());
    let key_of = |expression: &Expression, scope: Scope<'_>| expression.key(scope).map(|_| ());
    check_one(source, "trigger.filter_expression", &spec.filter_expression, bool_of)?;
    check_one(source, "trigger.start_expression", &spec.start_expression, bool_of)?;
    check_one(source, "trigger.thread_key_expression", &spec.thread_key_expression, key_of)
}

fn check_one(source: Source, field: &str, text: &str, ask: impl Fn(&Expression, Scope<'_>) -> Result<(), String>) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let invalid = |problem: String, line, column| {
        Err(Error::ExpressionInvalid { field: field.to_owned(), problem, line, column, known_names: expression::known_names() })
    };
    let expression = match Expression::compile(text) {
        Ok(expression) => expression,
        Err(wrong) => return invalid(wrong.problem, wrong.line, wrong.column),
    };
    for sample in SourceInfo::of(source).samples {
        let headers: Vec<Header> =
            sample.headers.iter().map(|(name, value)| Header { name: (*name).to_owned(), value: value.as_bytes().to_vec() }).collect();
        let raw = Raw { headers: &headers, body: sample.body.as_bytes(), now: UnixMicros(0) };
        let Ok(payload) = source::object(raw.body) else { continue };
        let event = source::read_by_hand(source, None, &raw, &payload).event;
        // A sample may lack what other events have; only a wrong type is wrong on all of them.
        match ask(&expression, Scope { event: &event, payload: &payload, headers: &headers }) {
            Err(problem) if problem.starts_with("gives ") => {
                return invalid(format!("{problem} (on the sample `{}`)", sample.name), None, None);
            }
            _ => {}
        }
    }
    Ok(())
}
