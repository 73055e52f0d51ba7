//! Intake: verify on raw bytes → parse to an event → author rule → filter → thread key → one transaction.
//!
//! Pure until its last step. The HTTP route and the gateway rpc are two thin faces of [`Intake::take`].

mod examine;
mod expression;
mod hook;
mod refusals;
mod reply;
mod rules;
mod source;
mod tell;
mod walk;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

pub use expression::{MAX_SOURCE as MAX_EXPRESSION_BYTES, VARIABLES};
pub use source::{Sample, SourceInfo, sources};

use crate::domain::{
    Delivery, DeliveryOrigin, DeliveryOutcome, DeliveryPayload, DeliveryReason, Error, Header, Requester, RequesterKind, Result, SecretId,
    SessionId, SessionMode, Source, Step, Trigger, TriggerId, TriggerSpec, UnixMicros,
};
use crate::metrics;
use crate::queue::{Accepted, Disposition, Foreseen, NewDelivery, Queue};
use crate::secrets::Cipher;
use crate::store::Store;
use examine::{Examined, examine};
use hook::{Hook, Hooks};
use refusals::Refusals;
use rules::Rules;
use source::Refusal;

/// Larger bodies are looked at beside the server's own threads, few at a time.
const LARGE_BODY: usize = 64 * 1024;
const LARGE_AT_ONCE: usize = 2;

/// The front door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    store: Arc<Store>,
    queue: Queue,
    hooks: Arc<Hooks>,
    refusals: Arc<Refusals>,
    large: Arc<Semaphore>,
}

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Which trigger, by slug.
    pub slug: String,
    /// The token of the URL; none for the gateway rpc, whose key stands for it.
    pub token: Option<String>,
    /// In order of arrival, names in lower case.
    pub headers: Vec<Header>,
    /// Raw.
    pub body: Bytes,
    /// The sender's address, for the log.
    pub remote_address: String,
    /// Through which door.
    pub origin: DeliveryOrigin,
    /// When the last byte was read.
    pub receive_time: UnixMicros,
}

/// What became of it, and what the sender must get.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Committed; none when nothing is stored (a rejected one past the rate at which they are listed).
    pub accepted: Option<Accepted>,
    /// What became of it, stored or not.
    pub outcome: DeliveryOutcome,
    /// Why.
    pub reason: Option<DeliveryReason>,
    /// One sentence.
    pub message: String,
    /// What the sender must get.
    pub reply: Reply,
}

/// What the sender must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

/// A firing by hand.
#[derive(Debug, Clone)]
pub struct Fire {
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
    /// The largest body that this source may send, in bytes.
    #[must_use]
    pub const fn body_limit(source: Source) -> usize {
        if matches!(source, Source::Github) { 25 * 1024 * 1024 } else { 1024 * 1024 }
    }

    /// The front door over these.
    #[must_use]
    pub fn new(store: Arc<Store>, queue: Queue, cipher: Cipher) -> Self {
        let hooks = Arc::new(Hooks::new(Arc::clone(&store), cipher));
        Self { store, queue, hooks, refusals: Arc::default(), large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) }
    }

    /// Whether a webhook could be stored now; asked before its body is read. Errors: `QueueFull`, `Draining`, `StoreUnavailable`.
    pub async fn room(&self) -> Result<()> {
        self.queue.room().await
    }

    /// How large a body may come through this address. One that nobody has tells nothing, so it has the widest limit.
    pub async fn limit_of(&self, slug: &str, token: Option<&str>) -> Result<usize> {
        let hook = self.hooks.get(slug).await?.filter(|hook| token.is_none_or(|token| hook.has_token(token)));
        Ok(Self::body_limit(hook.map_or(Source::Github, |hook| hook.trigger.source)))
    }

    /// Takes a webhook. Errors only when this server is at fault (`QueueFull`, `StoreUnavailable`, `Draining`): nothing is stored then.
    pub async fn take(&self, inbound: Inbound) -> Result<Taken> {
        let receive_time = inbound.receive_time;
        let (found, admitted) = self.find(&inbound).await?;
        let hook = found.clone().filter(|_| admitted);
        let examined = if inbound.body.len() > LARGE_BODY {
            let _turn = self.large.acquire().await.map_err(Error::internal)?;
            tokio::task::spawn_blocking(move || examine(hook.as_deref(), inbound)).await.map_err(Error::internal)?
        } else {
            examine(hook.as_deref(), inbound)
        };
        let taken = match examined {
            Examined::Refused(refusal, inbound) => self.refuse(found.as_deref(), inbound, &refusal).await,
            Examined::Judged(delivery, secret) => {
                let accepted = match self.queue.accept(*delivery).await {
                    Ok(accepted) => accepted,
                    Err(Error::NotFound { .. }) => return Ok(self.gone(found.as_deref())),
                    Err(error) => return Err(error),
                };
                self.note(found.as_deref(), secret, receive_time).await;
                Taken {
                    outcome: accepted.outcome,
                    reason: accepted.reason,
                    message: accepted.message.clone(),
                    reply: reply::accepted(&accepted),
                    accepted: Some(accepted),
                }
            }
        };
        let source = found.map_or("unknown", |hook| hook.trigger.source.as_str());
        metrics::delivery(source, taken.outcome.as_str(), UnixMicros::now().since(receive_time));
        Ok(taken)
    }

    /// Takes a webhook whose body was not read, since its size (`BodyTooLarge`) or encoding (`MediaTypeRefused`) told enough.
    pub async fn take_unread(&self, inbound: Inbound, reason: DeliveryReason, message: &str) -> Result<Taken> {
        let (found, admitted) = self.find(&inbound).await?;
        let found = found.filter(|_| admitted);
        let taken = self.refuse(found.as_deref(), inbound, &Refusal::new(reason, message)).await;
        let source = found.map_or("unknown", |hook| hook.trigger.source.as_str());
        metrics::delivery(source, taken.outcome.as_str(), std::time::Duration::ZERO);
        Ok(taken)
    }

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
    #[must_use]
    pub fn steps(delivery: &Delivery, payload: Option<&DeliveryPayload>) -> Vec<Step> {
        tell::stored(delivery, payload)
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

    /// Checks what can be checked of a trigger when it is saved: expressions compile, have the right type on a sample. Errors: `ExpressionInvalid`.
    pub fn check(source: Source, spec: &TriggerSpec) -> Result<()> {
        rules::check(source, spec)
    }

    /// A trigger was written (changed, deleted, a secret added or ended): the next webhook sees it as it is now.
    pub fn invalidate(&self, trigger: TriggerId) {
        self.hooks.forget(|_, known| known == Some(trigger));
    }

    /// A trigger of this slug was made: the next webhook finds it.
    pub fn invalidate_slug(&self, slug: &str) {
        self.hooks.forget(|known, _| known == slug);
    }

    /// The trigger of a webhook's address, and whether its token lets it in. The gateway rpc has a key instead of a token.
    async fn find(&self, inbound: &Inbound) -> Result<(Option<Arc<Hook>>, bool)> {
        let found = self.hooks.get(&inbound.slug).await?;
        let admitted = match &inbound.token {
            Some(token) => found.as_ref().is_some_and(|hook| hook.has_token(token)),
            None => inbound.origin == DeliveryOrigin::Gateway,
        };
        Ok((found, admitted))
    }

    /// The trigger was deleted while its webhook was looked at: from now on nobody has that address.
    fn gone(&self, hook: Option<&Hook>) -> Taken {
        if let Some(hook) = hook {
            self.invalidate(hook.trigger.id);
        }
        unlisted(&Refusal::unknown_hook())
    }

    /// Lists a refused webhook, if there is still room for such in this minute. The sender's answer does not depend on that.
    async fn refuse(&self, hook: Option<&Hook>, inbound: Inbound, refusal: &Refusal) -> Taken {
        let trigger = hook.map(|hook| &hook.trigger);
        let mut accepted = None;
        if self.refusals.admit(trigger.map(|trigger| trigger.id), inbound.receive_time) {
            tracing::info!(
                trigger.slug = trigger.map(|trigger| trigger.slug.as_str()),
                delivery.reason = %refusal.reason,
                remote.address = %inbound.remote_address,
                "a webhook was refused: {}", refusal.message
            );
            let listed = self.queue.accept(examine::refused(trigger, inbound, refusal)).await;
            accepted = listed.inspect_err(|error| tracing::warn!(%error, "a refused webhook could not be listed")).ok();
        }
        Taken { accepted, ..unlisted(refusal) }
    }

    /// Writes down, once a minute, that a secret is in use, so that people see when an old one may go.
    async fn note(&self, hook: Option<&Hook>, secret: SecretId, now: UnixMicros) {
        if hook.is_some_and(|hook| hook.is_due(secret, now))
            && let Err(error) = self.store.touch_secret(secret, now).await
        {
            tracing::warn!(secret.id = %secret, %error, "the use of a secret could not be noted");
        }
    }
}

fn unlisted(refusal: &Refusal) -> Taken {
    Taken {
        accepted: None,
        outcome: DeliveryOutcome::Rejected,
        reason: Some(refusal.reason),
        message: refusal.message.clone(),
        reply: reply::refused(refusal),
    }
}

#[cfg(test)]
pub(crate) mod tests;
