//! Events that people bring: fired by hand, stored and replayed, or only asked about.

use std::sync::Arc;

use bytes::Bytes;

use super::rules::Rules;
use super::{Intake, LARGE_BODY, examine, tell};
use crate::domain::{
    Delivery, DeliveryId, DeliveryOutcome, DeliveryPayload, DeliveryReason, Error, Header, Requester, RequesterKind, Result, SessionId,
    SessionMode, Step, Trigger, TriggerId,
};
use crate::metrics;
use crate::queue::{Accepted, Disposition, Foreseen, NewDelivery};

/// A firing by hand.
#[derive(Debug, Clone)]
pub struct Fire {
    /// Its id.
    pub id: DeliveryId,
    /// Raw JSON body.
    pub body: Bytes,
    /// Headers a provider would send (such as `x-github-event`).
    pub headers: Vec<Header>,
    /// Go past filter and start rule.
    pub skip_filter: bool,
    /// Instead of what the rules give.
    pub thread_key: Option<String>,
    /// Instead of the session that the thread finds.
    pub session: Option<SessionId>,
    /// Which conversation.
    pub session_mode: SessionMode,
    /// Instead of the trigger's templates.
    pub prompt: Option<String>,
    /// Who fires.
    pub requested_by: Requester,
}

/// A stored delivery that is taken through the rules again.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Its id.
    pub id: DeliveryId,
    /// As it was stored.
    pub delivery: Delivery,
    /// Its headers.
    pub headers: Vec<Header>,
    /// Its body, or another.
    pub body: Bytes,
    /// Whether the body is another.
    pub edited: bool,
    /// Which conversation.
    pub session_mode: SessionMode,
    /// Instead of the session that the thread finds.
    pub session: Option<SessionId>,
    /// Instead of the trigger's templates.
    pub prompt: Option<String>,
    /// Who asks for it.
    pub requested_by: Requester,
}

/// An event by hand, or again.
#[derive(Debug, Clone)]
pub enum ByHand {
    /// A new one.
    Fire(Box<Fire>),
    /// A stored one.
    Replay(Box<Replay>),
}

impl ByHand {
    /// Which conversation is wanted.
    #[must_use]
    pub fn session_mode(&self) -> SessionMode {
        match self {
            Self::Fire(fire) => fire.session_mode,
            Self::Replay(replay) => replay.session_mode,
        }
    }

    /// Directs it to the conversation of this session.
    pub fn aim(&mut self, at: SessionId) {
        let (session, mode) = match self {
            Self::Fire(fire) => (&mut fire.session, &mut fire.session_mode),
            Self::Replay(replay) => (&mut replay.session, &mut replay.session_mode),
        };
        (*session, *mode) = (Some(at), SessionMode::Resume);
    }
}

/// A trigger that is not stored, with its rules compiled.
#[derive(Debug, Clone)]
pub struct Draft {
    trigger: Arc<Trigger>,
    rules: Arc<Rules>,
}

impl Draft {
    /// The trigger that it would change, or would be.
    #[must_use]
    pub fn trigger_id(&self) -> TriggerId {
        self.trigger.id
    }
}

/// What the rules of a draft say of a delivery.
#[derive(Debug)]
pub struct Judged {
    /// What would stop it, if anything: outcome, reason and the reason in words.
    pub stopped: Option<(DeliveryOutcome, DeliveryReason, String)>,
    /// Its thread.
    pub thread_key: Option<String>,
    /// Whether it may begin a conversation, and not only continue one.
    pub may_start: bool,
}

/// What the rules would make of an event: nothing of it is stored.
#[derive(Debug)]
pub struct Explained {
    /// The event as judged; it has no row.
    pub delivery: NewDelivery,
    /// What would become of it.
    pub foreseen: Foreseen,
    /// What each rule found. The last step, the prompt, is the caller's.
    pub steps: Vec<Step>,
}

impl Intake {
    /// Takes an event by hand; it is never a duplicate. Errors: `TriggerDisabled` for a new one, `BodyNotKept` for a stored one,
    /// `SessionModeImpossible`, `QueueFull`, `FieldInvalid`.
    pub async fn take_by_hand(&self, trigger: &Trigger, by_hand: ByHand) -> Result<Accepted> {
        if matches!(by_hand, ByHand::Fire(_)) && !trigger.spec.enabled {
            return Err(Error::TriggerDisabled { slug: trigger.slug.clone() });
        }
        let (delivery, _) = self.judge(trigger, by_hand).await?;
        let accepted = self.queue.accept(delivery).await?;
        metrics::delivery(trigger.source.as_str(), accepted.outcome.as_str(), std::time::Duration::ZERO);
        Ok(accepted)
    }

    /// Says what the rules would make of an event by hand. Nothing is stored and nothing runs. Errors: as of what is explained, but a
    /// disabled trigger is none.
    pub async fn explain(&self, trigger: &Trigger, by_hand: ByHand) -> Result<Explained> {
        let (delivery, payload) = self.judge(trigger, by_hand).await?;
        let mut foreseen = self.queue.foresee(&delivery).await?;
        if !trigger.spec.enabled && foreseen.accepted.run_id.is_some() {
            let accepted = &mut foreseen.accepted;
            (accepted.outcome, accepted.reason, accepted.run_id) = (DeliveryOutcome::Dropped, Some(DeliveryReason::TriggerDisabled), None);
            "the trigger is disabled; it must be enabled before it is fired".clone_into(&mut accepted.message);
        }
        let steps = tell::foreseen(&delivery, &payload, &foreseen.accepted);
        Ok(Explained { delivery, foreseen, steps })
    }

    /// What each rule found in a stored delivery, as far as it is kept.
    pub async fn steps(&self, delivery: Delivery, payload: Option<DeliveryPayload>) -> Result<Vec<Step>> {
        if payload.as_ref().is_none_or(|payload| payload.body.len() <= LARGE_BODY) {
            return Ok(tell::stored(&delivery, payload.as_ref()));
        }
        let _turn = self.large.acquire().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(move || tell::stored(&delivery, payload.as_ref())).await.map_err(Error::internal)
    }

    /// Judges an event by hand; a large body beside the server's own threads.
    async fn judge(&self, trigger: &Trigger, by_hand: ByHand) -> Result<(NewDelivery, serde_json::Value)> {
        fn judge(trigger: &Trigger, rules: &Rules, by_hand: ByHand) -> Result<(NewDelivery, serde_json::Value)> {
            match by_hand {
                ByHand::Fire(fire) => examine::fired(trigger, rules, *fire),
                ByHand::Replay(replay) => examine::replayed(trigger, rules, *replay),
            }
        }
        let rules = self.hooks.rules(trigger);
        let size = match &by_hand {
            ByHand::Fire(fire) => fire.body.len(),
            ByHand::Replay(replay) => replay.body.len(),
        };
        if size <= LARGE_BODY {
            return judge(trigger, &rules, by_hand);
        }
        let _turn = self.large.acquire().await.map_err(Error::internal)?;
        let trigger = trigger.clone();
        tokio::task::spawn_blocking(move || judge(&trigger, &rules, by_hand)).await.map_err(Error::internal)?
    }

    /// A trigger that is not stored, with its rules compiled.
    #[must_use]
    pub fn draft(&self, trigger: Trigger) -> Draft {
        Draft { rules: Arc::new(Rules::compile(&trigger.spec)), trigger: Arc::new(trigger) }
    }

    /// What the rules of a draft say of a stored delivery; none when its body cannot be read. What was refused before any rule saw
    /// it is refused still.
    pub async fn evaluate(&self, draft: &Draft, then: Delivery, payload: DeliveryPayload) -> Option<Judged> {
        let DeliveryPayload { headers, body, .. } = payload;
        let large = body.len() > LARGE_BODY;
        let replay = Replay {
            id: DeliveryId::new(),
            delivery: then,
            headers,
            body: body.into(),
            edited: false,
            session_mode: SessionMode::Default,
            session: None,
            prompt: None,
            requested_by: Requester { kind: RequesterKind::System, id: String::new(), display_name: String::new() },
        };
        let Draft { trigger, rules } = draft.clone();
        let delivery = if large {
            let _turn = self.large.acquire().await.ok()?;
            tokio::task::spawn_blocking(move || examine::replayed(&trigger, &rules, replay)).await.ok()?
        } else {
            examine::replayed(&trigger, &rules, replay)
        };
        let (delivery, _) = delivery.ok()?;
        let (stopped, may_start) = match delivery.disposition {
            Disposition::Run(request) => (None, request.may_start),
            Disposition::Stop { outcome, reason, message } => (Some((outcome, reason, message)), true),
        };
        Some(Judged { stopped, thread_key: delivery.thread_key, may_start })
    }
}
