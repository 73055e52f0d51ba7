//! What a trigger says of an event: who may cause it, whether it counts, whether it may start a conversation, and to
//! which thread it belongs.

use std::sync::Arc;

use super::expression::{self, Expression, Scope};
use super::source::{self, Raw, SourceInfo};
use super::walk::Walk;
use crate::domain::{
    Actor, ActorKind, AuthorRule, BusyPolicy, DeliveryOutcome, DeliveryReason, Error, Header, Requester, Result, RunKind, SessionId,
    SessionMode, Source, Stage, Trigger, TriggerSpec, UnixMicros, Verdict,
};
use crate::queue::{Disposition, RunRequest, RunThread};

/// What a trigger without a thread key of its own reads.
pub(super) const DEFAULT_KEY: &str = "event.thread_key";
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
    /// What filter and start rule read together, and what the thread key reads.
    filter_reads: Arc<[String]>,
    key_reads: Arc<[String]>,
}

/// What is asked of the rules beside the event.
#[derive(Debug)]
pub(super) struct Asked {
    /// A person fires: who caused the event does not matter.
    pub(super) by_hand: bool,
    /// Nor whether the trigger is enabled: that is asked elsewhere.
    pub(super) even_disabled: bool,
    pub(super) skip_filter: bool,
    /// Instead of the thread key that the rules give; empty: no thread.
    pub(super) thread_key: Option<String>,
    /// Instead of the session that the thread finds.
    pub(super) session: Option<SessionId>,
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
        let (filter, start, thread_key) = (rule(&spec.filter_expression), rule(&spec.start_expression), rule(&spec.thread_key_expression));
        let reads = |rule: &Rule| match rule {
            Some(Ok(expression)) => expression.reads.to_vec(),
            _ => Vec::new(),
        };
        let mut filter_reads = reads(&filter);
        filter_reads.extend(reads(&start).into_iter().filter(|name| !reads(&filter).contains(name)));
        let key_reads = if thread_key.is_none() { vec![DEFAULT_KEY.to_owned()] } else { reads(&thread_key) };
        Self { filter_reads: filter_reads.into(), key_reads: key_reads.into(), filter, start, thread_key }
    }

    /// Walks the rules in their order; the first that stops the event is its reason.
    pub(super) fn judge(&self, trigger: &Trigger, scope: Scope<'_>, asked: Asked, walk: &mut Walk) -> Judgement {
        let default_key = || scope.event.thread_key.clone();
        match self.decide(trigger, scope, asked, walk) {
            Ok((thread_key, request)) => Judgement { thread_key, disposition: Disposition::Run(Box::new(request)) },
            Err(stop) => Judgement { thread_key: default_key(), disposition: stop },
        }
    }

    fn decide(
        &self,
        trigger: &Trigger,
        scope: Scope<'_>,
        asked: Asked,
        walk: &mut Walk,
    ) -> Result<(Option<String>, RunRequest), Disposition> {
        let spec = &trigger.spec;
        match author(&spec.author_rule, &scope.event.actor) {
            Ok(()) => walk.note(Stage::Author, Verdict::Pass),
            Err(_) if asked.by_hand => walk.note(Stage::Author, Verdict::Skipped),
            Err(stop) => {
                walk.note(Stage::Author, Verdict::Stop);
                return Err(stop);
            }
        }
        if !asked.even_disabled && !spec.enabled {
            return Err(stop(DeliveryOutcome::Dropped, DeliveryReason::TriggerDisabled, "the trigger is disabled"));
        }
        let may_start = self.passes(scope, asked.skip_filter, walk)?;
        let key = match asked.thread_key {
            Some(key) => {
                walk.note(Stage::ThreadKey, Verdict::Skipped);
                Some(key).filter(|key| !key.is_empty())
            }
            None => {
                let key = self.key(scope);
                let verdict = if key.is_ok() { Verdict::Pass } else { Verdict::Failed };
                walk.note_reading(Stage::ThreadKey, verdict, &self.key_reads);
                key?
            }
        };
        let thread = match asked.session {
            Some(session) => RunThread::Session(session),
            None => key.clone().filter(|_| spec.resume_sessions).map_or(RunThread::Once, RunThread::Key),
        };
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

    /// Asks filter and start rule: whether the event may start a conversation, if it may do anything.
    fn passes(&self, scope: Scope<'_>, skip: bool, walk: &mut Walk) -> Result<bool, Disposition> {
        if skip || (self.filter.is_none() && self.start.is_none()) {
            walk.note(Stage::Filter, Verdict::Skipped);
            return Ok(true);
        }
        let asked = test(&self.filter, "filter_expression", scope).and_then(|passes| {
            let false_for_it =
                || stop(DeliveryOutcome::Filtered, DeliveryReason::FilterFalse, "`filter_expression` is false for this event");
            if passes { test(&self.start, "start_expression", scope) } else { Err(false_for_it()) }
        });
        let verdict = match &asked {
            Ok(_) => Verdict::Pass,
            Err(Disposition::Stop { reason: DeliveryReason::FilterFailed, .. }) => Verdict::Failed,
            Err(_) => Verdict::Stop,
        };
        walk.note_reading(Stage::Filter, verdict, &self.filter_reads);
        asked
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
