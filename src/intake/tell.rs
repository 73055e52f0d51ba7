//! A walk in words: which rule said what, and what it read. The same for a delivery of last week and for one that is only asked about.

use std::time::Duration;

use serde_json::Value as Json;

use super::expression::{self, Scope};
use super::rules::DEFAULT_KEY;
use super::source::{self, Raw};
use crate::domain::{
    Delivery, DeliveryOrigin, DeliveryOutcome, DeliveryPayload, DeliveryReason, Event, Header, Mark, Source, Stage, Step, Verdict,
};
use crate::queue::{Accepted, NewDelivery};

/// What is known of a delivery.
struct Seen<'a> {
    source: Source,
    origin: DeliveryOrigin,
    event: &'a Event,
    /// The thread key in force.
    thread_key: Option<&'a str>,
    /// None when the body is not kept.
    payload: Option<&'a Json>,
    headers: &'a [Header],
    walk: &'a [Mark],
    outcome: DeliveryOutcome,
    reason: Option<DeliveryReason>,
    message: &'a str,
}

/// The steps of an event that is only asked about, but for the last.
pub(super) fn foreseen(delivery: &NewDelivery, payload: &Json, accepted: &Accepted) -> Vec<Step> {
    let NewDelivery { source, origin, event, headers, walk, thread_key, .. } = delivery;
    let Accepted { outcome, reason, message, .. } = accepted;
    let (source, origin, outcome, reason) = (*source, *origin, *outcome, *reason);
    let thread_key = thread_key.as_deref();
    let mut steps = Seen { source, origin, event, thread_key, payload: Some(payload), headers, walk, outcome, reason, message }.steps();
    steps.pop();
    steps
}

/// The steps of a stored delivery, as far as they are kept.
pub(super) fn stored(delivery: &Delivery, payload: Option<&DeliveryPayload>) -> Vec<Step> {
    let headers = payload.map_or(&[][..], |payload| &payload.headers);
    let body = payload.map_or(&[][..], |payload| &payload.body);
    let raw = Raw { headers, body, now: delivery.receive_time };
    let json = source::parse(delivery.source, &raw).or_else(|_| source::object(body)).ok();
    // The row's thread key is the one in force; that of the source is read again.
    let event = match &json {
        Some(json) => source::read_by_hand(delivery.source, None, &raw, json).event,
        None => delivery.event.clone(),
    };
    Seen {
        source: delivery.source,
        origin: delivery.origin,
        event: &event,
        thread_key: delivery.event.thread_key.as_deref(),
        payload: json.as_ref(),
        headers,
        walk: payload.map_or(&[][..], |payload| &payload.walk),
        outcome: delivery.outcome,
        reason: delivery.reason,
        message: &delivery.message,
    }
    .steps()
}

/// Which rule gives this reason.
pub(super) const fn stage_of(reason: DeliveryReason) -> Stage {
    use DeliveryReason as R;
    match reason {
        R::SignatureMissing | R::SignatureMismatch | R::TimestampStale | R::HookUnknown => Stage::Verify,
        R::BodyUnparseable | R::BodyTooLarge | R::MediaTypeRefused | R::EventNeverRuns => Stage::Parse,
        R::AuthorNotAllowed | R::AuthorIsSelf | R::AuthorIsBot => Stage::Author,
        R::FilterFalse | R::FilterFailed => Stage::Filter,
        R::StartFalse | R::ThreadKeyFailed => Stage::ThreadKey,
        R::SameDeliveryId | R::SameBody => Stage::Dedupe,
        R::NoSessionToContinue | R::SessionBusy | R::TriggerDisabled | R::MergedIntoWaiting => Stage::Policy,
    }
}

impl Seen<'_> {
    fn steps(&self) -> Vec<Step> {
        let passed = matches!(self.outcome, DeliveryOutcome::Queued | DeliveryOutcome::Coalesced);
        let decided = self.reason.filter(|_| !passed).map(|reason| (stage_of(reason), reason));
        Stage::ALL.iter().map(|stage| self.step(*stage, decided)).collect()
    }

    fn step(&self, stage: Stage, decided: Option<(Stage, DeliveryReason)>) -> Step {
        let mark = self.walk.iter().find(|mark| mark.stage == stage);
        let mut step = Step {
            stage,
            verdict: mark.map_or_else(|| self.implied(stage, decided), |mark| mark.verdict),
            reason: None,
            message: String::new(),
            values: Vec::new(),
            duration: mark.map(|mark| Duration::from_micros(u64::from(mark.micros))),
        };
        match decided {
            Some((by, _)) if stage > by => (step.verdict, step.duration) = (Verdict::Skipped, None),
            Some((by, reason)) if stage == by => {
                step.verdict = if undecided(reason) { Verdict::Failed } else { Verdict::Stop };
                (step.reason, step.message) = (Some(reason), self.told(reason));
            }
            _ => step.message = self.words(stage, step.verdict),
        }
        if self.reason == Some(DeliveryReason::MergedIntoWaiting) && stage == Stage::Policy {
            step.reason = self.reason;
        }
        if step.verdict != Verdict::Skipped || stage == Stage::Author {
            step.values = self.values(stage, mark);
        }
        step
    }

    /// What must have come of a rule that left no mark.
    fn implied(&self, stage: Stage, decided: Option<(Stage, DeliveryReason)>) -> Verdict {
        let unread = matches!(decided, Some((_, DeliveryReason::BodyTooLarge)));
        match stage {
            Stage::Verify | Stage::Parse if self.origin != DeliveryOrigin::Manual && !unread => Verdict::Pass,
            Stage::Dedupe if matches!(self.origin, DeliveryOrigin::Webhook | DeliveryOrigin::Gateway) => Verdict::Pass,
            Stage::Policy => Verdict::Pass,
            _ => Verdict::Skipped,
        }
    }

    /// Why it was stopped, in the words of then where there are any.
    fn told(&self, reason: DeliveryReason) -> String {
        if !self.message.is_empty() {
            return self.message.to_owned();
        }
        match reason {
            DeliveryReason::SameDeliveryId => "the sender's delivery id was here before",
            DeliveryReason::SameBody => "the same body came within the last ten minutes, and its sender gives no ids",
            DeliveryReason::NoSessionToContinue => "`start_expression` is false for this event, and its thread has no conversation",
            DeliveryReason::SessionBusy => "the session has a run that has not ended, and the busy policy is `drop`",
            _ => "",
        }
        .to_owned()
    }

    /// What there is to say of a rule that did not decide.
    fn words(&self, stage: Stage, verdict: Verdict) -> String {
        let manual = self.origin == DeliveryOrigin::Manual;
        match (stage, verdict) {
            (Stage::Verify, Verdict::Skipped) if manual => "fired by hand".to_owned(),
            (Stage::Verify, Verdict::Skipped) => "it was fired by hand".to_owned(),
            (Stage::Verify, Verdict::Pass) if self.origin == DeliveryOrigin::Replay => "the signature fitted when it arrived".to_owned(),
            (Stage::Verify, Verdict::Pass) => "the signature fits".to_owned(),
            (Stage::Parse, Verdict::Pass) => {
                [&self.event.kind, &self.event.action].map(String::as_str).join(".").trim_matches('.').to_owned()
            }
            (Stage::Author, Verdict::Pass) => self.author(),
            (Stage::Author, Verdict::Skipped) if manual || self.origin == DeliveryOrigin::Replay => {
                format!("{} would be stopped, but whoever fires by hand may", self.author())
            }
            (Stage::Filter, Verdict::Pass) => "true".to_owned(),
            (Stage::ThreadKey, _) => self.thread_key.map_or_else(|| "no thread".to_owned(), str::to_owned),
            (Stage::Dedupe, Verdict::Pass) => "not seen before".to_owned(),
            (Stage::Dedupe, Verdict::Skipped) if manual => "fired by hand".to_owned(),
            (Stage::Dedupe, Verdict::Skipped) if self.origin == DeliveryOrigin::Replay => "a replay is never a repeat".to_owned(),
            (Stage::Policy, Verdict::Pass) if self.outcome == DeliveryOutcome::Coalesced => "joins the run that waits".to_owned(),
            _ => String::new(),
        }
    }

    fn author(&self) -> String {
        let actor = &self.event.actor;
        let name = if actor.login.is_empty() { &actor.id } else { &actor.login };
        match (name.as_str(), self.association()) {
            ("", _) => "the event names no author".to_owned(),
            (name, Some((_, association))) => format!("{name} {association}"),
            (name, None) => name.to_owned(),
        }
    }

    /// What GitHub says of the author's standing, and where.
    fn association(&self) -> Option<(String, &str)> {
        let payload = self.payload.filter(|_| self.source == Source::Github)?;
        ["comment", "review", "pull_request", "issue"].into_iter().find_map(|subject| {
            let said = payload.get(subject)?.get("author_association")?.as_str()?;
            Some((format!("payload.{subject}.author_association"), said))
        })
    }

    fn values(&self, stage: Stage, mark: Option<&Mark>) -> Vec<(String, String)> {
        let mut names: Vec<String> = mark.map(|mark| mark.reads.to_vec()).unwrap_or_default();
        match stage {
            Stage::Parse => names.extend(["event.kind", "event.action"].map(str::to_owned)),
            Stage::Author => {
                names.extend(["event.actor.id", "event.actor.login", "event.actor.kind"].map(str::to_owned));
                names.extend(self.association().map(|(name, _)| name));
            }
            Stage::ThreadKey if names == [DEFAULT_KEY] => {
                names.extend(self.payload.into_iter().flat_map(|payload| source::thread_reads(self.source, payload)));
            }
            _ => {}
        }
        let nothing = Json::Null;
        // Without a body there is nothing to read from it; what the row has is told all the same.
        let kept = names.into_iter().filter(|name| self.payload.is_some() || name.starts_with("event."));
        let scope = Scope { event: self.event, payload: self.payload.unwrap_or(&nothing), headers: self.headers };
        kept.map(|name| (expression::read(&name, scope), name)).map(|(value, name)| (name, value)).collect()
    }
}

/// Whether the rule could not decide, rather than say no.
const fn undecided(reason: DeliveryReason) -> bool {
    matches!(reason, DeliveryReason::FilterFailed | DeliveryReason::ThreadKeyFailed | DeliveryReason::BodyUnparseable)
}
