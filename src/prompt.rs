//! Prompts from templates and events: pure text, minijinja with strict undefined values and bounded fuel.

use crate::domain::{DeliveryId, Event, Result, RunId};

/// One event as a template sees it.
#[derive(Debug, Clone)]
pub struct PromptEvent {
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// Normalised.
    pub event: Event,
    /// The payload, raw JSON.
    pub payload_json: String,
    /// Set when the payload is too large to stand in the prompt: the file in the workspace that holds it.
    pub payload_file: Option<String>,
}

/// What a prompt is made of.
#[derive(Debug, Clone)]
pub struct PromptInput<'a> {
    /// The run: its id stands in the label line.
    pub run_id: RunId,
    /// The trigger's slug.
    pub trigger_slug: &'a str,
    /// The thread key, if any.
    pub thread_key: Option<&'a str>,
    /// Oldest first; never empty but for prompts that were given.
    pub events: &'a [PromptEvent],
}

/// Checks a template when it is saved. `field` names it in the error. Errors: `TemplateInvalid`.
pub fn check(field: &str, template: &str) -> Result<()> {
    let _ = (field, template);
    todo!()
}

/// The first prompt of a conversation, or a follow-up with its own template: label line, instructions, fenced events.
pub fn render(template: &str, input: &PromptInput<'_>) -> Result<String> {
    let _ = (template, input);
    todo!()
}

/// The built-in follow-up: label line and the new events only.
pub fn follow_up(input: &PromptInput<'_>) -> Result<String> {
    let _ = input;
    todo!()
}

/// A skill's body with `$ARGUMENTS` replaced by the rendered arguments (from the trigger's template, never the payload), then the fenced events.
pub fn skill(body: &str, arguments_template: &str, input: &PromptInput<'_>) -> Result<String> {
    let _ = (body, arguments_template, input);
    todo!()
}

/// A prompt that a person gave, with the label line.
pub fn given(text: &str, run_id: RunId) -> String {
    let _ = (text, run_id);
    todo!()
}

/// The first prompt after the conversation was lost: `summary` fenced before the prompt.
pub fn with_summary(prompt: &str, summary: &str) -> String {
    let _ = (prompt, summary);
    todo!()
}

/// The note that lets an interrupted run go on.
pub fn continuation(run_id: RunId) -> String {
    let _ = run_id;
    todo!()
}

/// The text by which a transcript shows that it holds this run's prompt.
pub fn label(run_id: RunId) -> String {
    let _ = run_id;
    todo!()
}
