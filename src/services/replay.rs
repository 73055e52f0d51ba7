//! Stored deliveries, again: through the rules of now as new ones, or through those of a draft as a question.

use bytes::Bytes;

use super::fire::by_hand_text;
use super::once::Making;
use super::run::session_mode;
use super::{Services, not_found, requester};
use crate::access::Principal;
use crate::domain::{
    Delivery, DeliveryFilter, DeliveryId, DeliveryOutcome, DeliveryReason, Error, Requester, Result, SessionId, SessionMode, Trigger,
    TriggerId, UnixMicros,
};
use crate::intake::{ByHand, Draft, Judged, Replay};
use crate::proto::v1;
use crate::rpc::convert::{TRIGGER_FIXED, WireEnum, count, delivery_filter, parse_spec, slug_and_source};
use crate::rpc::{Fields, merge};

/// Deliveries that one call replays at most.
const MOST_REPLAYED: u32 = 1_000;
/// Deliveries that a draft is tried on, when the caller does not say, and at most.
const TRIED: i32 = 50;
const MOST_TRIED: i32 = 500;
/// Bytes of bodies that a draft is tried on at most: what lies further back is left out.
const MOST_TRIED_BYTES: i64 = 128 * 1024 * 1024;

/// What is asked of a replay.
#[derive(Debug, Clone, Default)]
struct Asked {
    edited_body: Option<Bytes>,
    session_mode: Option<SessionMode>,
    session: Option<SessionId>,
    prompt: Option<String>,
}

impl Services {
    /// Replays a delivery, or only explains what that would do.
    pub(super) async fn replay(
        &self,
        principal: &Principal,
        request: v1::ReplayDeliveryRequest,
        making: Making,
    ) -> Result<v1::ReplayDeliveryResponse> {
        let new = DeliveryId(making.id);
        if let Some((delivery, run)) = self.taken_before(new, making).await? {
            return Ok(v1::ReplayDeliveryResponse { delivery: Some(delivery), run, explanation: None });
        }
        let id: DeliveryId = Fields::id("delivery_id", &request.delivery_id)?;
        let (prompt, session) = by_hand_text(request.prompt, &request.session_id)?;
        let asked = Asked { edited_body: request.edited_body, session_mode: Some(session_mode(request.session_mode)?), session, prompt };
        let then = self.find_delivery(id).await?;
        let trigger = self.trigger_of(&then).await?;
        let replay = self.to_replay(new, then, asked, requester(principal)).await?;
        if request.validate_only {
            let body = replay.body.clone();
            let (delivery, explanation) = self.explain(&trigger, ByHand::Replay(Box::new(replay)), &body).await?;
            return Ok(v1::ReplayDeliveryResponse { delivery: Some(delivery), run: None, explanation: Some(explanation) });
        }
        let accepted = self.take(&trigger, ByHand::Replay(Box::new(replay))).await?;
        let (delivery, run) = self.taken(accepted.delivery_id).await?;
        Ok(v1::ReplayDeliveryResponse { delivery: Some(delivery), run, explanation: None })
    }

    /// Replays all that the filters find, oldest first. One that cannot be replayed does not keep the others.
    pub(super) async fn replay_all(
        &self,
        principal: &Principal,
        request: v1::ReplayDeliveriesRequest,
        making: Making,
    ) -> Result<v1::ReplayDeliveriesResponse> {
        let trigger = self.find_trigger("trigger_id", &request.trigger_id).await?;
        let session_mode = session_mode(request.session_mode)?;
        let mut filter = replay_filter(&request, trigger.id)?;
        // What this very call makes is not among what it replays, also when it is tried again.
        let began = making.time().unwrap_or_else(UnixMicros::now);
        filter.end_time = Some(filter.end_time.map_or(began, |end| end.min(began)));
        let found = self.rooms.store.oldest_deliveries(&filter, MOST_REPLAYED).await?;
        let matched_count = count(found.len());
        let mut queued_count = 0;
        for then in found {
            let asked = Asked { session_mode: Some(session_mode), ..Asked::default() };
            let new = DeliveryId(making.part(then.id.0));
            if let Some((_, run)) = self.taken_before(new, making).await? {
                queued_count += i32::from(run.is_some());
                continue;
            }
            let replay = match self.to_replay(new, then, asked, requester(principal)).await {
                Ok(replay) => replay,
                Err(Error::BodyNotKept) => continue,
                Err(error) => return Err(error),
            };
            if request.validate_only {
                let explained = self.rooms.intake.explain(&trigger, ByHand::Replay(Box::new(replay))).await;
                queued_count += i32::from(explained.is_ok_and(|explained| explained.foreseen.accepted.run_id.is_some()));
                continue;
            }
            match self.take(&trigger, ByHand::Replay(Box::new(replay))).await {
                Ok(accepted) => queued_count += i32::from(accepted.run_id.is_some()),
                // Those that are queued are; the caller sees how many.
                Err(Error::QueueFull { .. }) if queued_count > 0 => break,
                Err(Error::BodyNotKept | Error::SessionModeImpossible { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(v1::ReplayDeliveriesResponse { matched_count, queued_count })
    }

    /// Takes the last deliveries through the rules of a draft.
    pub(super) async fn evaluate(&self, request: v1::EvaluateTriggerRequest) -> Result<v1::EvaluateTriggerResponse> {
        let mut fields = Fields::new();
        fields.check(request.delivery_count >= 0, "delivery_count", || "is negative".to_owned());
        let wanted = if request.delivery_count == 0 { TRIED } else { request.delivery_count.min(MOST_TRIED) };
        let wanted = fields.finish(wanted.unsigned_abs())?;
        let given = request.trigger.ok_or_else(|| Error::field("trigger", "is required"))?;
        let (draft, present) = self.draft(&given).await?;
        let recent = self.rooms.store.recent_deliveries(present, draft.source, wanted).await?;
        let draft = self.rooms.intake.draft(draft);
        let mut evaluations = Vec::with_capacity(recent.len());
        let mut bytes = 0;
        for then in recent {
            bytes += then.body_bytes;
            if bytes > MOST_TRIED_BYTES {
                break;
            }
            evaluations.push(self.evaluation(&draft, &then).await?);
        }
        let changed_count = count(evaluations.iter().filter(|evaluation| evaluation.changed).count());
        Ok(v1::EvaluateTriggerResponse { evaluations, changed_count })
    }

    /// The draft as a trigger, and the id of the one that it would change. A draft of none is tried on what came from its source.
    async fn draft(&self, given: &v1::Trigger) -> Result<(Trigger, Option<TriggerId>)> {
        let resume = self.rooms.settings.get().sessions.default_resume_for_new_triggers;
        if given.id.is_empty() {
            let (slug, source) = slug_and_source(given)?;
            let spec = parse_spec(source, given, resume)?;
            self.check(source, &spec, None)?;
            let now = UnixMicros::now();
            let (hook_token, secrets) = (String::new(), Vec::new());
            let draft =
                Trigger { id: TriggerId::new(), slug, source, hook_token, secrets, spec, version: 0, create_time: now, update_time: now };
            return Ok((draft, None));
        }
        let present = self.find_trigger("trigger.id", &given.id).await?;
        let merged = merge("Trigger", &TRIGGER_FIXED, &self.trigger_message(&present), given, None)?;
        let spec = parse_spec(present.source, &merged, resume)?;
        self.check(present.source, &spec, Some(&present.spec))?;
        let id = present.id;
        // The rules of the draft are not those that are known under this version.
        Ok((Trigger { spec, version: -1, ..present }, Some(id)))
    }

    async fn evaluation(&self, draft: &Draft, then: &Delivery) -> Result<v1::Evaluation> {
        // A repeat has no body of its own: that of the first stands for it.
        let payload = self.rooms.store.delivery_payload(then.duplicate_of.unwrap_or(then.id)).await?;
        let judged = match payload.filter(|payload| !payload.body.is_empty()) {
            Some(payload) => self.rooms.intake.evaluate(draft, then.clone(), payload).await,
            None => None,
        };
        let mut told = v1::Evaluation {
            delivery_id: then.id.to_string(),
            outcome_then: then.outcome.to_wire(),
            reason_then: then.reason.map_or(0, WireEnum::to_wire),
            thread_key_then: then.event.thread_key.clone().unwrap_or_default(),
            ..Default::default()
        };
        let Some(Judged { stopped, thread_key, may_start }) = judged else {
            "its body is not kept".clone_into(&mut told.message);
            return Ok(told);
        };
        told.thread_key_now = thread_key.clone().unwrap_or_default();
        let stopped = match (stopped, thread_key) {
            (None, Some(key)) if !may_start && !self.had_session(draft, then, &key).await? => {
                let message = "`start_expression` is false, and the thread had no conversation".to_owned();
                Some((DeliveryOutcome::Filtered, DeliveryReason::NoSessionToContinue, message))
            }
            (stopped, _) => stopped,
        };
        let same = match &stopped {
            Some((outcome, reason, message)) => {
                (told.outcome_now, told.reason_now) = (outcome.to_wire(), reason.to_wire());
                message.clone_into(&mut told.message);
                then.outcome == *outcome && then.reason == Some(*reason)
            }
            // Whether it joined, waited or was dropped depended on what else went on; the rules let it pass.
            None if let_pass(then) => {
                (told.outcome_now, told.reason_now) = (told.outcome_then, told.reason_then);
                true
            }
            None => {
                told.outcome_now = DeliveryOutcome::Queued.to_wire();
                false
            }
        };
        told.changed = !same || told.thread_key_now != told.thread_key_then;
        Ok(told)
    }

    /// Whether the thread had a session before this delivery came.
    async fn had_session(&self, draft: &Draft, then: &Delivery, key: &str) -> Result<bool> {
        let found = self.rooms.store.session_by_key(draft.trigger_id(), key).await?;
        Ok(found.is_some_and(|session| session.create_time < then.receive_time))
    }

    async fn trigger_of(&self, delivery: &Delivery) -> Result<Trigger> {
        let found = match delivery.trigger_id {
            Some(id) => self.rooms.store.trigger(id).await?,
            None => None,
        };
        found.ok_or_else(|| not_found("trigger", &delivery.trigger_slug))
    }

    async fn to_replay(&self, id: DeliveryId, delivery: Delivery, asked: Asked, requested_by: Requester) -> Result<Replay> {
        // A repeat has no body of its own: that of the first stands for it.
        let payload = self.rooms.store.delivery_payload(delivery.duplicate_of.unwrap_or(delivery.id)).await?;
        let (headers, stored) = payload.map(|payload| (payload.headers, payload.body)).unwrap_or_default();
        let edited = asked.edited_body.is_some();
        let body = asked.edited_body.unwrap_or_else(|| stored.into());
        if body.is_empty() && !edited {
            return Err(Error::BodyNotKept);
        }
        Ok(Replay {
            id,
            delivery,
            headers,
            body,
            edited,
            session_mode: asked.session_mode.unwrap_or(SessionMode::Default),
            session: asked.session,
            prompt: asked.prompt,
            requested_by,
        })
    }
}

/// Whether the rules of then let it pass, whatever came of it afterwards.
fn let_pass(then: &Delivery) -> bool {
    match then.outcome {
        DeliveryOutcome::Queued | DeliveryOutcome::Coalesced => true,
        DeliveryOutcome::Duplicate => then.run_id.is_some(),
        DeliveryOutcome::Dropped => then.reason == Some(DeliveryReason::SessionBusy),
        _ => false,
    }
}

/// The filters of a replay are those of a list.
fn replay_filter(request: &v1::ReplayDeliveriesRequest, trigger: TriggerId) -> Result<DeliveryFilter> {
    let listed = v1::ListDeliveriesRequest {
        session_id: request.session_id.clone(),
        outcomes: request.outcomes.clone(),
        origins: request.origins.clone(),
        event_kind: request.event_kind.clone(),
        actor: request.actor.clone(),
        start_time: request.start_time,
        end_time: request.end_time,
        ..Default::default()
    };
    delivery_filter(&listed, Some(trigger))
}
