//! Intake: verify on raw bytes → parse to an event → author rule → filter → thread key → one transaction.
//!
//! Pure until its last step. The HTTP route and the gateway rpc are two thin faces of [`Intake::take`].

mod by_hand;
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

pub use by_hand::{ByHand, Draft, Explained, Fire, Judged, Replay};
pub use expression::{MAX_SOURCE as MAX_EXPRESSION_BYTES, VARIABLES};
pub use source::{Sample, SourceInfo, sources};

use crate::domain::{
    DeliveryOrigin, DeliveryOutcome, DeliveryReason, Error, Header, Result, SecretId, Source, TriggerId, TriggerSpec, UnixMicros,
};
use crate::metrics;
use crate::queue::{Accepted, Queue};
use crate::secrets::Cipher;
use crate::store::Store;
use examine::{Examined, examine};
use hook::{Hook, Hooks};
use refusals::Refusals;
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
