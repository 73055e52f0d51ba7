//! proto ↔ domain, by hand: requests are parsed into types here and never checked again.

mod explanation;
mod journal;
mod run;
mod session;
mod settings;
mod trigger;
mod usage;
mod webhook;

use std::time::Duration;

pub use explanation::{Foresight, explanation, step};
pub use journal::{delta, entry, entry_filter};
pub use run::{run, run_filter, run_listed, watched_runs};
pub use session::{SessionRef, session, session_filter, session_ref, storage};
pub use settings::{SETTINGS_FIXED, parse_settings, setting_rule_messages, settings};
pub use trigger::{
    TRIGGER_FIXED, TriggerRef, etag, etag_version, is_slug, parse_spec, slug_and_source, trigger, trigger_filter, trigger_ref,
};
pub use usage::{usage_query, usage_row};
pub use webhook::{delivery, delivery_filter, fire_headers, header, raw_header, struct_json, watched_deliveries};

use crate::domain::{self, UnixMicros};
use crate::proto::v1;

/// One of a closed set, as its proto enum. UNSPECIFIED and numbers that are not known are none.
pub trait WireEnum: Sized {
    /// The proto enum's name, for messages.
    const NAME: &'static str;
    /// Its number.
    fn to_wire(self) -> i32;
    /// The value with this number.
    fn from_wire(number: i32) -> Option<Self>;
}

/// Both directions from one list. Domain values after `;` have no value of their own on the wire and become UNSPECIFIED.
macro_rules! wire_enums {
    ($($name:ident { $($domain:ident $(= $wire:ident)?),+ $(; $($silent:ident),+)? })+) => {$(
        impl WireEnum for domain::$name {
            const NAME: &'static str = stringify!($name);
            fn to_wire(self) -> i32 {
                match self {
                    $(Self::$domain => wire_enums!(@wire $name $domain $($wire)?) as i32,)+
                    $($(Self::$silent => 0,)+)?
                }
            }
            fn from_wire(number: i32) -> Option<Self> {
                let value = v1::$name::try_from(number).ok()?;
                $(if value == wire_enums!(@wire $name $domain $($wire)?) { return Some(Self::$domain); })+
                None
            }
        }
    )+};
    (@wire $name:ident $domain:ident) => { v1::$name::$domain };
    (@wire $name:ident $domain:ident $wire:ident) => { v1::$name::$wire };
}

wire_enums! {
    Source { Manual, Github, Linear, Clickup, StandardWebhooks, GenericHmac }
    HmacAlgorithm { Sha1, Sha256, Sha512 }
    HmacEncoding { Hex, Base64 }
    OnInterrupt { Resume, Restart, Never }
    DeliveryOrigin { Webhook, Gateway, Manual, Replay }
    DeliveryOutcome { Queued, Coalesced, Duplicate, Filtered, SelfAuthored, Dropped, Rejected, Handshake }
    DeliveryReason {
        FilterFalse, FilterFailed, NoSessionToContinue, StartFalse, ThreadKeyFailed, AuthorNotAllowed, AuthorIsSelf, AuthorIsBot,
        SameDeliveryId, SameBody, SessionBusy, TriggerDisabled, EventNeverRuns, MergedIntoWaiting, SignatureMissing, SignatureMismatch,
        TimestampStale, HookUnknown, BodyUnparseable, BodyTooLarge, MediaTypeRefused
    }
    ActorKind { User = Person, Bot; Unknown }
    RunKind { Turn, Compaction }
    CancelMode { Now, AfterStep }
    RunState { Queued, Waiting, Running, Cancelling, Succeeded, Failed, Cancelled }
    WaitReason { QuietPeriod, Breaker, TriggerDisabled, RunCap }
    Lineage { Fresh, Continued, Restored, Recovered, Renewed, Forked }
    SessionMode { Fresh, Resume, Fork; Default }
    Stage { Verify, Parse, Author, Filter, ThreadKey, Dedupe, Policy, Prompt }
    Verdict { Pass, Stop, Skipped, Failed }
    RequesterKind { Sender, Key; System }
    Billing { Api, Subscription }
    CostBasis { Reported, Derived, Metered, Unknown }
    RunWarning {
        CacheCold, ToolsDenied, BackgroundWorkStopped, SessionRestored, SessionRecovered, CompactionFailed, ModelFallback, OutputTruncated,
        NearMaxCost, TranscriptNotSaved, NotSandboxed
    }
    FailureReason {
        AgentMissing, AgentUnsupported, AgentNotLoggedIn, AgentStartFailed, AgentCrashed, AgentOutputInvalid, AgentError, ModelError,
        ModelUnreachable, ModelOverloaded, ModelRefused, ModelUnknown, MaxTurns, MaxCost, TimedOut, Silent, OutputLimit, SessionLost,
        PromptFailed, PromptTooLarge, WorkspaceFailed, PolicyMismatch, WorkerLost, Poisoned, Internal
    }
    PromptKind { First, FollowUp, Summary, Compact, Retry }
    SpawnPurpose { Fresh, Resume, Compact }
    NoticeCode {
        SessionLost, TranscriptRestored, TranscriptNotSaved, Compacted, CompactionFailed, SessionRenewed, Interrupted, TakenOver,
        AttemptEnded, CancelRequested, ModelFallback, AgentVersionChanged, OutputTruncated, BackgroundWorkStopped; Gap
    }
    SessionState { Idle, Queued, Running }
    SessionOrigin { First, Reset, Expired, Changed, Lost, Fork }
    SessionOrder { LastUse, Cost, Size }
    UsageBucket { None, Hour, Day }
    UsageGroup { Trigger, Session, Model, Lineage }
}

fn wire<T: WireEnum>(value: Option<T>) -> i32 {
    value.map_or(0, WireEnum::to_wire)
}

/// An id as text; empty when there is none.
fn text<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn none_if_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A point in time as its message.
#[must_use]
pub fn timestamp(time: UnixMicros) -> prost_types::Timestamp {
    let nanos = i32::try_from(time.0.rem_euclid(1_000_000)).unwrap_or(0) * 1000;
    prost_types::Timestamp { seconds: time.0.div_euclid(1_000_000), nanos }
}

/// A span as its message.
#[must_use]
pub fn duration(span: Duration) -> prost_types::Duration {
    let nanos = i32::try_from(span.subsec_nanos()).unwrap_or(0);
    prost_types::Duration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos }
}

/// Milliseconds that were reported; 0 is not reported.
fn millis(ms: i64) -> Option<prost_types::Duration> {
    u64::try_from(ms).ok().filter(|ms| *ms > 0).map(|ms| duration(Duration::from_millis(ms)))
}

/// A count, at most what the wire's 32 bits hold.
#[must_use]
pub fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: WireEnum + Copy + PartialEq + std::fmt::Debug>(all: &[T], silent: &[T]) {
        for value in all {
            let known = !silent.contains(value);
            assert_eq!(T::from_wire(value.to_wire()), known.then_some(*value), "{}", T::NAME);
        }
        assert_eq!((T::from_wire(0), T::from_wire(9999), T::from_wire(-1)), (None, None, None), "{}", T::NAME);
    }

    #[test]
    fn closed_sets_read_back() {
        round_trip(domain::Source::ALL, &[]);
        round_trip(domain::DeliveryReason::ALL, &[]);
        round_trip(domain::DeliveryOutcome::ALL, &[]);
        round_trip(domain::FailureReason::ALL, &[]);
        round_trip(domain::RunState::ALL, &[]);
        round_trip(domain::RunWarning::ALL, &[]);
        round_trip(domain::SessionOrigin::ALL, &[]);
        round_trip(domain::ActorKind::ALL, &[domain::ActorKind::Unknown]);
        round_trip(domain::SessionMode::ALL, &[domain::SessionMode::Default]);
        round_trip(domain::RequesterKind::ALL, &[domain::RequesterKind::System]);
        round_trip(domain::NoticeCode::ALL, &[domain::NoticeCode::Gap]);
    }

    #[test]
    fn names_on_the_wire_are_the_stored_ones() {
        for state in domain::SessionOrigin::ALL {
            let wire = v1::SessionOrigin::try_from(state.to_wire()).expect("known").as_str_name();
            assert_eq!(wire, format!("SESSION_ORIGIN_{}", state.as_str().to_uppercase()));
        }
        for reason in domain::FailureReason::ALL {
            let wire = v1::FailureReason::try_from(reason.to_wire()).expect("known").as_str_name();
            assert_eq!(wire, format!("FAILURE_REASON_{}", reason.as_str().to_uppercase()));
        }
    }

    #[test]
    fn times_before_1970_keep_their_fraction() {
        assert_eq!(timestamp(UnixMicros(-500_000)), prost_types::Timestamp { seconds: -1, nanos: 500_000_000 });
        assert_eq!(timestamp(UnixMicros(1_500_001)), prost_types::Timestamp { seconds: 1, nanos: 500_001_000 });
    }
}
