//! Intake: verify on raw bytes → parse to an event → author rule → filter → thread key → one transaction.
//!
//! Pure until its last step. The HTTP route and the gateway rpc are two thin faces of [`Intake::take`].

mod expression;
mod source;

use std::sync::Arc;

use bytes::Bytes;

pub use expression::{MAX_SOURCE as MAX_EXPRESSION_BYTES, VARIABLES};
pub use source::{Sample, SourceInfo, sources};

use crate::domain::{DeliveryOrigin, Header, Result, Source, Trigger, TriggerSpec, UnixMicros};
use crate::queue::{Accepted, Queue};
use crate::secrets::Cipher;
use crate::store::Store;

/// The front door. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    store: Arc<Store>,
    queue: Queue,
    cipher: Cipher,
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
    pub outcome: crate::domain::DeliveryOutcome,
    /// Why.
    pub reason: Option<crate::domain::DeliveryReason>,
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
    /// Which conversation.
    pub session_mode: crate::domain::SessionMode,
    /// Instead of the trigger's templates.
    pub prompt: Option<String>,
    /// Who fires.
    pub requested_by: crate::domain::Requester,
}

impl Intake {
    /// The largest body that this source may send, in bytes.
    #[must_use]
    pub fn body_limit(source: Source) -> usize {
        if source == Source::Github { 25 * 1024 * 1024 } else { 1024 * 1024 }
    }

    /// The front door over these.
    pub fn new(store: Arc<Store>, queue: Queue, cipher: Cipher) -> Self {
        Self { store, queue, cipher }
    }

    /// Takes a webhook. Errors only when this server is at fault (`QueueFull`, `StoreUnavailable`, `Draining`): nothing is stored then.
    pub async fn take(&self, inbound: Inbound) -> Result<Taken> {
        let _ = (&self.store, &self.queue, &self.cipher, inbound);
        todo!()
    }

    /// Takes a firing by hand: no signature, no author rule, no duplicate check. Errors: `TriggerDisabled`, `QueueFull`, `FieldInvalid`.
    pub async fn fire(&self, trigger: &Trigger, fire: Fire) -> Result<Accepted> {
        let _ = (trigger, fire);
        todo!()
    }

    /// Checks what can be checked of a trigger when it is saved: expressions compile, have the right type on a sample. Errors: `ExpressionInvalid`.
    pub fn check(source: Source, spec: &TriggerSpec) -> Result<()> {
        let _ = (source, spec);
        todo!()
    }
}
