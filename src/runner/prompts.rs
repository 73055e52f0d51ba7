//! What an attempt tells its agent: the trigger's words around the deliveries.

use std::path::Path;

use super::workspace::{self, Dirs};
use crate::domain::{Error, Failure, FailureReason, PromptKind, Result};
use crate::prompt::{self, PromptEvent, PromptInput};
use crate::queue::Assignment;

/// A payload larger than this is a file in the workspace instead of a part of the prompt.
const IN_PROMPT: usize = crate::prompt::MAX_INLINE_PAYLOAD_BYTES;

/// The prompt of this kind for this attempt. A prompt that was sent before is sent again to the letter.
pub(super) fn make(assignment: &Assignment, kind: PromptKind, skills: Option<&Path>, dirs: &Dirs) -> Result<String, Failure> {
    if kind == PromptKind::Retry {
        return Ok(prompt::continuation(assignment.run.id));
    }
    if let Some((stored_kind, stored)) = assignment.stored_prompt.as_ref().filter(|(stored, _)| *stored == kind) {
        tracing::debug!(run.id = %assignment.run.id, kind = %stored_kind, "sending the prompt of the attempt before");
        return Ok(stored.clone());
    }
    if let Some(given) = &assignment.prompt_override {
        return Ok(prompt::given(given, assignment.run.id));
    }
    render(assignment, kind, skills, dirs).map_err(|error| match error {
        Error::Internal(message) => Failure::new(FailureReason::Internal, message),
        too_large @ Error::MessageTooLarge { .. } => Failure::new(FailureReason::PromptTooLarge, too_large.to_string()),
        other => Failure::new(FailureReason::PromptFailed, other.to_string()),
    })
}

fn render(assignment: &Assignment, kind: PromptKind, skills: Option<&Path>, dirs: &Dirs) -> Result<String> {
    let events = assignment.deliveries.iter().map(|worked| event(worked, dirs)).collect::<Result<Vec<_>>>()?;
    let run = &assignment.run;
    let (trigger_slug, thread_key) = (run.trigger_slug.as_str(), run.thread_key.as_deref());
    let input = PromptInput { run_id: run.id, trigger_slug, thread_key, events: &events };
    prompt::of(&assignment.trigger.spec.action, kind, &input, |name| body(skills, name, dirs))
}

fn event(worked: &crate::queue::WorkedDelivery, dirs: &Dirs) -> Result<PromptEvent> {
    let body = &worked.payload.body;
    let payload_file = if body.len() > IN_PROMPT { Some(workspace::write_payload(dirs, worked.delivery.id, body)?) } else { None };
    let payload_json = String::from_utf8_lossy(body).into_owned();
    Ok(PromptEvent { delivery_id: worked.delivery.id, event: worked.delivery.event.clone(), payload_json, payload_file })
}

fn body(skills: Option<&Path>, name: &str, dirs: &Dirs) -> Result<String> {
    let missing = || Error::field("action.skill.name", format!("names `{name}`, but `agent.claude.skills_dir` is not set"));
    workspace::copy_skill(skills.ok_or_else(missing)?, name, dirs)
}
