//! What would come of an event: the walk that intake took, then what the runner would do with it. Nothing is stored.

use std::fs;

use uuid::Uuid;

use super::Services;
use crate::agent::{self, SpawnPlan};
use crate::domain::{
    AgentCli, BusyPolicy, Circumstances, Delivery, DeliveryOutcome, Error, Event, Lineage, NanoUsd, Opening, PromptKind, Result, RunId,
    Session, SessionMode, SessionState, SpawnPurpose, Stage, Step, Trigger, UnixMicros, Verdict, WaitReason, opening,
};
use crate::intake::{ByHand, Explained};
use crate::prompt::{self, PromptEvent, PromptInput};
use crate::proto::v1;
use crate::queue::{Accepted, Disposition, Foreseen, NewDelivery, RunRequest};
use crate::rpc::convert::{Foresight, delivery, explanation};

/// What stands for the id of a conversation that is not there yet.
const NEW_ID: &str = "<new id>";

/// How a run would get its memory, and how its agent would be started.
struct Beginning {
    lineage: Lineage,
    kind: PromptKind,
    argv: Vec<String>,
    max_cost: NanoUsd,
}

impl Services {
    /// Explains an event by hand: the delivery as it would be, and what each rule finds.
    pub(super) async fn explain(&self, trigger: &Trigger, by_hand: ByHand, body: &[u8]) -> Result<(v1::Delivery, v1::Explanation)> {
        let Explained { delivery: event, foreseen, mut steps } = self.rooms.intake.explain(trigger, by_hand).await?;
        let message = as_it_would_be(&event, &foreseen.accepted);
        let mut foresight = Foresight { thread_key: event.thread_key.clone(), busy_effect: busy_effect(&foreseen), ..Foresight::default() };
        if let Some(policy) = steps.iter_mut().find(|step| step.stage == Stage::Policy && step.verdict != Verdict::Skipped) {
            describe_policy(policy, &event, &foreseen, &foresight.busy_effect);
        }
        let mut last = Step {
            stage: Stage::Prompt,
            verdict: Verdict::Skipped,
            reason: None,
            message: String::new(),
            values: Vec::new(),
            duration: None,
        };
        if let (Some(_), Disposition::Run(request)) = (foreseen.accepted.run_id, &event.disposition) {
            let session = match foreseen.session {
                Some((id, _)) => self.rooms.store.session(id).await?,
                None => None,
            };
            let began = tokio::time::Instant::now();
            let beginning = self.beginning(trigger, request, session.as_ref())?;
            match self.would_say(trigger, &event, request, beginning.kind, body) {
                Ok(prompt) => {
                    last.verdict = Verdict::Pass;
                    last.message = format!("{} characters, {}", prompt.chars().count(), words(beginning.kind, request));
                    foresight.prompt = prompt;
                }
                Err(error) => (last.verdict, last.message) = (Verdict::Failed, error.to_string()),
            }
            last.duration = Some(began.elapsed());
            foresight.session = session.map(|session| session.id).filter(|_| request.session_mode != SessionMode::Fork);
            (foresight.lineage, foresight.argv, foresight.max_cost) = (Some(beginning.lineage), beginning.argv, beginning.max_cost);
        }
        steps.push(last);
        Ok((message, explanation(Foresight { steps, ..foresight })))
    }

    /// Which conversation a run would continue or begin, as the runner would decide now.
    fn beginning(&self, trigger: &Trigger, request: &RunRequest, session: Option<&Session>) -> Result<Beginning> {
        let (facts, settings) = (&self.rooms.facts, self.rooms.settings.get());
        let spec = &trigger.spec;
        let name = spec.agent.profile.as_deref().unwrap_or(&settings.agent.default_profile);
        let profile = facts.profiles.get(name).cloned();
        let fingerprint = profile.as_ref().map(|profile| agent::fingerprint(&spec.agent.cli, name, profile, spec.workspace.kind()));
        let memory = session.map(Session::memory);
        let found = memory.as_ref().map(|session| {
            opening(&Circumstances {
                session,
                // A copy is continued like the conversation it is a copy of.
                mode: if request.session_mode == SessionMode::Fork { SessionMode::Resume } else { request.session_mode },
                fingerprint: fingerprint.as_deref().unwrap_or_default(),
                cleanup_days: settings.sessions.auto_cleanup_days,
                now: UnixMicros::now(),
                earlier: None,
            })
        });
        let busy = session.is_some_and(|session| session.state != SessionState::Idle);
        let (lineage, id) = match found {
            Some(Opening::Refused(why)) => return Err(Error::SessionModeImpossible { why }),
            Some(Opening::Go(id)) if memory.as_ref().is_some_and(|memory| memory.is_unused_copy(None)) => (Lineage::Forked, Some(id)),
            Some(Opening::Go(_)) if request.session_mode == SessionMode::Fork => (Lineage::Forked, None),
            Some(Opening::Go(id)) => (Lineage::Continued, Some(id)),
            // The run before it has begun the conversation by then.
            Some(Opening::New(new)) if busy && new.lineage == Lineage::Fresh => (Lineage::Continued, None),
            Some(Opening::New(new)) => (new.lineage, None),
            None => (Lineage::Fresh, None),
        };
        let continues = matches!(lineage, Lineage::Continued | Lineage::Forked);
        let AgentCli::Claude(options) = &spec.agent.cli;
        let default = Some(&settings.agent.default_model).filter(|model| !model.is_empty());
        let max_cost = spec.run_limits.max_cost.unwrap_or(settings.agent.max_cost);
        let plan = profile.map(|profile| SpawnPlan {
            purpose: if continues { SpawnPurpose::Resume } else { SpawnPurpose::Fresh },
            agent_session_id: id.unwrap_or_default(),
            model: options.model.as_ref().or(default).unwrap_or(&facts.default_model).clone(),
            effort: options.effort.clone(),
            profile,
            max_turns: spec.run_limits.max_turns.filter(|turns| *turns > 0),
            max_cost: (max_cost.0 > 0).then_some(max_cost),
            add_dirs: Vec::new(),
        });
        let executable = facts.agents.borrow().first().map(|agent| agent.path.clone()).filter(|path| !path.is_empty());
        let arguments = plan.map(|plan| agent::arguments(&spec.agent.cli, &plan)).unwrap_or_default().into_iter();
        let nobody = Uuid::nil().to_string();
        let named = arguments.map(|argument| if argument == nobody { NEW_ID.to_owned() } else { argument });
        let argv = [executable.unwrap_or_else(|| spec.agent.cli.name().to_owned())].into_iter().chain(named).collect();
        let kind = if continues && (busy || session.is_some_and(|session| session.turn_count > 0)) {
            PromptKind::FollowUp
        } else {
            PromptKind::First
        };
        Ok(Beginning { lineage, kind, argv, max_cost })
    }

    /// The prompt of a run that had this event alone.
    fn would_say(&self, trigger: &Trigger, delivery: &NewDelivery, request: &RunRequest, kind: PromptKind, body: &[u8]) -> Result<String> {
        let run_id = RunId::new();
        if let Some(given) = &request.prompt_override {
            return Ok(prompt::given(given, run_id));
        }
        let large = body.len() > prompt::MAX_INLINE_PAYLOAD_BYTES;
        let event = PromptEvent {
            delivery_id: delivery.id,
            event: delivery.event.clone(),
            payload_json: String::from_utf8_lossy(body).into_owned(),
            payload_file: large.then(|| format!(".reprise/{}.json", delivery.id)),
        };
        let input = PromptInput {
            run_id,
            trigger_slug: &trigger.slug,
            thread_key: delivery.thread_key.as_deref(),
            events: std::slice::from_ref(&event),
        };
        let skills = self.rooms.facts.skills_dir.as_deref();
        prompt::of(&trigger.spec.action, kind, &input, |name| {
            let body = skills.and_then(|dir| fs::read_to_string(dir.join(name).join("SKILL.md")).ok());
            body.ok_or_else(|| Error::field("trigger.skill.name", format!("names `{name}`, which is not in the server's skills directory")))
        })
    }
}

/// The delivery that it would be; it has no id.
fn as_it_would_be(event: &NewDelivery, accepted: &Accepted) -> v1::Delivery {
    let seen = Delivery {
        id: event.id,
        trigger_id: event.trigger_id,
        trigger_slug: event.trigger_slug.clone(),
        origin: event.origin,
        source: event.source,
        provider_delivery_id: event.provider_delivery_id.clone(),
        event: Event { thread_key: event.thread_key.clone(), ..event.event.clone() },
        outcome: accepted.outcome,
        reason: accepted.reason,
        message: accepted.message.clone(),
        session_id: None,
        run_id: None,
        duplicate_of: None,
        replay_of: event.replay_of,
        replayed_by: Vec::new(),
        receive_time: event.receive_time,
        ack_duration: std::time::Duration::ZERO,
        body_bytes: event.body_bytes,
        uncounted_duplicates: 0,
    };
    v1::Delivery { id: String::new(), ack_duration: None, ..delivery(&seen, None) }
}

fn words(kind: PromptKind, request: &RunRequest) -> &'static str {
    match kind {
        _ if request.prompt_override.is_some() => "as given by hand",
        PromptKind::FollowUp => "follow-up",
        _ => "first of its conversation",
    }
}

/// What would happen, given where the session is.
fn busy_effect(foreseen: &Foreseen) -> String {
    let session = foreseen.session.map_or("no session yet", |(_, state)| match state {
        SessionState::Idle => "session idle",
        SessionState::Queued => "session waiting",
        SessionState::Running => "session running",
    });
    let wait = foreseen.not_before.since(UnixMicros::now());
    // The whole seconds of a quiet period; the moments that this look took are not told.
    let seconds = wait.as_millis().div_ceil(1000);
    let effect = match foreseen.accepted.outcome {
        DeliveryOutcome::Queued if foreseen.wait == Some(WaitReason::Breaker) => format!("waits {seconds} s for the loop breaker"),
        DeliveryOutcome::Queued => match (foreseen.session.map(|(_, state)| state), foreseen.queued) {
            (Some(SessionState::Running), 0) => "starts when the live run has ended".to_owned(),
            (Some(SessionState::Running | SessionState::Queued), queued) => format!("starts after {queued} waiting runs"),
            _ if seconds > 0 => format!("starts after {seconds} s"),
            _ => "starts at once".to_owned(),
        },
        DeliveryOutcome::Coalesced => format!("joins the run that waits, as its event {}", foreseen.joins),
        DeliveryOutcome::Dropped => "dropped".to_owned(),
        _ => return String::new(),
    };
    format!("{session} → {effect}")
}

fn describe_policy(step: &mut Step, delivery: &NewDelivery, foreseen: &Foreseen, effect: &str) {
    if step.verdict == Verdict::Pass {
        effect.clone_into(&mut step.message);
    }
    let Disposition::Run(request) = &delivery.disposition else { return };
    let busy = match request.busy {
        BusyPolicy::Queue => "queue",
        BusyPolicy::Coalesce { .. } => "coalesce",
        BusyPolicy::Drop => "drop",
    };
    step.values.push(("busy".to_owned(), format!("{busy:?}")));
    if let Some((_, state)) = foreseen.session {
        step.values.push(("session.state".to_owned(), format!("{:?}", state.as_str())));
        step.values.push(("session.queued_run_count".to_owned(), foreseen.queued.to_string()));
    }
    step.values.push(("caps.runs_per_session_per_hour".to_owned(), request.runs_per_session_per_hour.to_string()));
}
