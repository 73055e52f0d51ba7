//! Webhooks: what came in, what it means, and what became of it.

use std::time::Duration;

use super::text_enum::text_enum;
use super::{DeliveryId, Mark, RunId, SessionId, TriggerId, UnixMicros};

text_enum! {
    /// Which provider sends.
    Source {
        /// Nobody: fired by hand only.
        Manual = "manual",
        /// GitHub repositories and organisations.
        Github = "github",
        /// Linear workspaces.
        Linear = "linear",
        /// ClickUp workspaces.
        Clickup = "clickup",
        /// Any sender that follows the Standard Webhooks specification.
        StandardWebhooks = "standard_webhooks",
        /// Any sender that signs with an HMAC.
        GenericHmac = "generic_hmac",
    }
}

text_enum! {
    /// Through which door a delivery came.
    DeliveryOrigin {
        /// The HTTP route.
        Webhook = "webhook",
        /// The gateway rpc.
        Gateway = "gateway",
        /// Fired by hand.
        Manual = "manual",
        /// A stored one, taken through the rules again.
        Replay = "replay",
    }
}

text_enum! {
    /// What became of a delivery.
    DeliveryOutcome {
        /// It made a run.
        Queued = "queued",
        /// It joined a run that waited.
        Coalesced = "coalesced",
        /// It had been here before.
        Duplicate = "duplicate",
        /// A rule of the trigger let it not pass.
        Filtered = "filtered",
        /// We caused it ourselves.
        SelfAuthored = "self_authored",
        /// The trigger could not take it.
        Dropped = "dropped",
        /// It was not acceptable, or a rule failed on it.
        Rejected = "rejected",
        /// The provider only said hello.
        Handshake = "handshake",
    }
}

text_enum! {
    /// Why a delivery had its outcome.
    DeliveryReason {
        /// The filter said no.
        FilterFalse = "filter_false",
        /// The filter failed on this payload.
        FilterFailed = "filter_failed",
        /// The start rule said no, and its thread has no conversation.
        NoSessionToContinue = "no_session_to_continue",
        /// The start rule said no, and the event has no thread.
        StartFalse = "start_false",
        /// The thread key failed on this payload.
        ThreadKeyFailed = "thread_key_failed",
        /// The author is denied, or not among the allowed.
        AuthorNotAllowed = "author_not_allowed",
        /// The author is one of our own identities.
        AuthorIsSelf = "author_is_self",
        /// The author is a bot that is not listed.
        AuthorIsBot = "author_is_bot",
        /// The same delivery id was accepted before.
        SameDeliveryId = "same_delivery_id",
        /// The same body was accepted within the last ten minutes, and the sender gives no id.
        SameBody = "same_body",
        /// The thread was busy, and the trigger drops then.
        SessionBusy = "session_busy",
        /// The trigger is disabled.
        TriggerDisabled = "trigger_disabled",
        /// An event that never runs, such as GitHub's `ping`.
        EventNeverRuns = "event_never_runs",
        /// It joined a run that waited.
        MergedIntoWaiting = "merged_into_waiting",
        /// No signature.
        SignatureMissing = "signature_missing",
        /// A signature that none of the active secrets gives.
        SignatureMismatch = "signature_mismatch",
        /// Signed too long ago, or in the future.
        TimestampStale = "timestamp_stale",
        /// No such slug, or not its token.
        HookUnknown = "hook_unknown",
        /// Not the JSON object it should be.
        BodyUnparseable = "body_unparseable",
        /// Larger than allowed.
        BodyTooLarge = "body_too_large",
        /// A content type that this provider does not send.
        MediaTypeRefused = "media_type_refused",
    }
}

/// One header as it came, its name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Lower case.
    pub name: String,
    /// Raw bytes; secrets are replaced before it is stored.
    pub value: Vec<u8>,
}

text_enum! {
    /// What kind of author an event has.
    ActorKind {
        /// A person, as far as the provider tells.
        User = "user",
        /// A bot, by the provider's own flag.
        Bot = "bot",
        /// The provider does not tell.
        Unknown = "unknown",
    }
}

/// Who caused an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The provider's stable id; empty when it sends none.
    pub id: String,
    /// The name people know; empty when it sends none.
    pub login: String,
    /// Person or bot.
    pub kind: ActorKind,
}

impl Default for Actor {
    fn default() -> Self {
        Self { id: String::new(), login: String::new(), kind: ActorKind::Unknown }
    }
}

/// A delivery, normalised: what rules and prompts see beside the payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// The provider's event name, such as `issue_comment`.
    pub kind: String,
    /// Its action, such as `created`; empty when it has none.
    pub action: String,
    /// Who caused it.
    pub actor: Actor,
    /// What ties deliveries together, by the source's default; none: nothing does.
    pub thread_key: Option<String>,
    /// The title of the pull request, issue or task, if the payload has it.
    pub title: String,
    /// Its link, if the payload has it.
    pub url: String,
    /// The text a person wrote (comment, body), if any.
    pub text: String,
}

/// One inbound webhook, as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Ours.
    pub id: DeliveryId,
    /// The trigger; none for an unknown hook.
    pub trigger_id: Option<TriggerId>,
    /// Its slug at that time; the asked one for an unknown hook.
    pub trigger_slug: String,
    /// Through which door.
    pub origin: DeliveryOrigin,
    /// Which provider.
    pub source: Source,
    /// The provider's id of this delivery; empty when it gives none.
    pub provider_delivery_id: String,
    /// What it means; fields are empty when it was not read that far.
    pub event: Event,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// Why, where there is more to say.
    pub reason: Option<DeliveryReason>,
    /// One sentence for people; may be empty.
    pub message: String,
    /// The session it went to.
    pub session_id: Option<SessionId>,
    /// The run it made or joined; for a duplicate the first one's.
    pub run_id: Option<RunId>,
    /// For a duplicate: the first.
    pub duplicate_of: Option<DeliveryId>,
    /// For a replay: the delivery that it repeats.
    pub replay_of: Option<DeliveryId>,
    /// Its latest replays, newest first, at most 20.
    pub replayed_by: Vec<DeliveryId>,
    /// When its last byte was read.
    pub receive_time: UnixMicros,
    /// From there to the committed answer.
    pub ack_duration: Duration,
    /// Size of its body, whole.
    pub body_bytes: i64,
    /// How many further duplicates of it were only counted.
    pub uncounted_duplicates: i32,
}

/// The bulky part of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryPayload {
    /// In order of arrival, secrets replaced.
    pub headers: Vec<Header>,
    /// Raw; empty when it was not kept.
    pub body: Vec<u8>,
    /// What the rules found when it arrived; empty: not kept.
    pub walk: Vec<Mark>,
}

/// Which deliveries a list holds. Fields combine with AND, repeated values with OR.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// Only this trigger's.
    pub trigger_id: Option<TriggerId>,
    /// Only this session's.
    pub session_id: Option<SessionId>,
    /// Only this run's, merged ones included.
    pub run_id: Option<RunId>,
    /// Only these outcomes.
    pub outcomes: Vec<DeliveryOutcome>,
    /// Only these doors.
    pub origins: Vec<DeliveryOrigin>,
    /// Only this event name.
    pub event_kind: Option<String>,
    /// Only this actor, by login or id.
    pub actor: Option<String>,
    /// Received at or after.
    pub start_time: Option<UnixMicros>,
    /// Received before.
    pub end_time: Option<UnixMicros>,
}
