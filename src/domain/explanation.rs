//! What the rules of a trigger make of an event, step by step.

use std::sync::Arc;
use std::time::Duration;

use super::DeliveryReason;
use super::text_enum::text_enum;

text_enum! {
    /// The rules that an event passes, in order.
    Stage {
        /// The signature.
        Verify = "verify",
        /// The body as an event.
        Parse = "parse",
        /// Who caused it.
        Author = "author",
        /// Filter and start rule.
        Filter = "filter",
        /// Which thread it belongs to.
        ThreadKey = "thread_key",
        /// Whether it arrived before.
        Dedupe = "dedupe",
        /// Whether the trigger is enabled, the busy policy, the caps.
        Policy = "policy",
        /// What the agent is told.
        Prompt = "prompt",
    }
}

text_enum! {
    /// What came of a step.
    Verdict {
        /// It let the event pass.
        Pass = "pass",
        /// It stopped the event.
        Stop = "stop",
        /// It was not asked.
        Skipped = "skipped",
        /// It could not be decided.
        Failed = "failed",
    }
}

/// What is noted of a rule while a webhook is on its way: little, since every webhook is. What a rule read is kept by
/// name alone, since the values stand in the event and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Which rule.
    pub stage: Stage,
    /// What came of it.
    pub verdict: Verdict,
    /// How long it took.
    pub micros: u32,
    /// Names of what it read, such as `payload.issue.number`.
    pub reads: Arc<[String]>,
}

/// One rule, and what it found, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which rule.
    pub stage: Stage,
    /// What came of it.
    pub verdict: Verdict,
    /// Why it stopped the event, if it did.
    pub reason: Option<DeliveryReason>,
    /// The same in one sentence; may be empty.
    pub message: String,
    /// What it read, by name; each value as JSON.
    pub values: Vec<(String, String)>,
    /// How long it took, where it was measured.
    pub duration: Option<Duration>,
}
