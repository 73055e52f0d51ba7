//! What the rules found, and what a run would be.

use super::{WireEnum, duration, text, wire};
use crate::domain::{Lineage, NanoUsd, SessionId, Step};
use crate::proto::v1;

/// Text in one answer; what is longer is cut.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// What would come of an event.
#[derive(Debug, Clone, Default)]
pub struct Foresight {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// Its thread.
    pub thread_key: Option<String>,
    /// The session that its run would use; none: a new one, or no run.
    pub session: Option<SessionId>,
    /// How its run would get its memory.
    pub lineage: Option<Lineage>,
    /// What the busy policy would do, in words.
    pub busy_effect: String,
    /// What the agent would be told.
    pub prompt: String,
    /// How it would be started.
    pub argv: Vec<String>,
    /// Most that the run might cost; 0: no limit.
    pub max_cost: NanoUsd,
}

/// One rule, and what it found.
#[must_use]
pub fn step(step: &Step) -> v1::ExplanationStep {
    v1::ExplanationStep {
        stage: step.stage.to_wire(),
        verdict: step.verdict.to_wire(),
        reason: wire(step.reason),
        message: step.message.clone(),
        values: step.values.iter().cloned().collect(),
        duration: step.duration.map(duration),
    }
}

/// What would come of an event.
#[must_use]
pub fn explanation(foresight: Foresight) -> v1::Explanation {
    let mut prompt = foresight.prompt;
    prompt.truncate(prompt.floor_char_boundary(MAX_TEXT_BYTES));
    v1::Explanation {
        steps: foresight.steps.iter().map(step).collect(),
        thread_key: foresight.thread_key.unwrap_or_default(),
        session_id: text(foresight.session),
        lineage: wire(foresight.lineage),
        busy_effect: foresight.busy_effect,
        prompt,
        argv: foresight.argv,
        max_cost_usd: foresight.max_cost.usd(),
    }
}
