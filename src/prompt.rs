//! Prompts from templates and events: pure text, minijinja with strict undefined values and bounded fuel.
//!
//! A prompt is the label line, then the trigger's words, then what came from outside, fenced. It never begins with `/`,
//! which the agent would take for a command of its own.

mod fence;
mod template;

use crate::domain::{Action, DeliveryId, Error, Event, PromptKind, Result, RunId};

/// The largest prompt that is given to an agent: Claude Code refuses more than 10 MB.
pub const MAX_PROMPT_BYTES: usize = 8 * 1024 * 1024;

/// A payload larger than this goes into a file of the workspace instead of the prompt.
pub const MAX_INLINE_PAYLOAD_BYTES: usize = 64 * 1024;

/// What a label line begins with.
const LABEL: &str = "[reprise ";

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

/// The prompt of this kind: the action's own words, or the built-in ones where it has none. `skill_body` gives the text of a skill.
pub fn of(action: &Action, kind: PromptKind, input: &PromptInput<'_>, skill_body: impl FnOnce(&str) -> Result<String>) -> Result<String> {
    let follows = kind == PromptKind::FollowUp;
    match action {
        Action::Prompt { follow_up_template: Some(template), .. } if follows => render(template, input),
        Action::Prompt { template, .. } if !follows => render(template, input),
        Action::Skill { name, follow_up_arguments: Some(arguments), .. } if follows => skill(&skill_body(name)?, arguments, input),
        Action::Skill { name, arguments, .. } if !follows => skill(&skill_body(name)?, arguments, input),
        Action::Prompt { .. } | Action::Skill { .. } => follow_up(input),
    }
}

/// Checks a template when it is saved. `field` names it in the error. Errors: `TemplateInvalid`.
pub fn check(field: &str, template: &str) -> Result<()> {
    template::check(template).map_err(|fault| fault.error(field))
}

/// The first prompt of a conversation, or a follow-up with its own template: label line, instructions, fenced events.
///
/// Errors: `TemplateInvalid` when the template fails on these events, `MessageTooLarge` past [`MAX_PROMPT_BYTES`].
pub fn render(template: &str, input: &PromptInput<'_>) -> Result<String> {
    let words = rendered("template", template, input)?;
    compose(&words, input)
}

/// The built-in follow-up: label line and the new events only.
pub fn follow_up(input: &PromptInput<'_>) -> Result<String> {
    compose("There is news in this thread. Go on with the work that you were given, in the light of it.", input)
}

/// A skill's body with `$ARGUMENTS` replaced by the rendered arguments (from the trigger's template, never the payload), then the fenced events.
pub fn skill(body: &str, arguments_template: &str, input: &PromptInput<'_>) -> Result<String> {
    let arguments = rendered("arguments", arguments_template, input)?;
    let body = without_front_matter(body);
    let words = match (body.contains("$ARGUMENTS"), arguments.trim()) {
        (true, arguments) => body.replace("$ARGUMENTS", arguments),
        (false, "") => body.to_owned(),
        (false, arguments) => format!("{}\n\nARGUMENTS: {arguments}", body.trim_end()),
    };
    compose(&words, input)
}

/// A prompt that a person gave, with the label line; one that it has already (of the run it was first given to) is replaced.
#[must_use]
pub fn given(text: &str, run_id: RunId) -> String {
    let text = match text.split_once('\n') {
        Some((first, rest)) if first.starts_with(LABEL) => rest.trim_start_matches('\n'),
        _ => text,
    };
    format!("{}\n\n{text}", label(run_id))
}

/// The first prompt after the conversation was lost: `summary` fenced before the prompt.
#[must_use]
pub fn with_summary(prompt: &str, summary: &str) -> String {
    let account = fence::summary(prompt, summary);
    match prompt.split_once('\n') {
        Some((label, rest)) if label.starts_with(LABEL) => format!("{label}\n\n{account}\n{rest}"),
        _ => format!("{account}\n\n{prompt}"),
    }
}

/// The note that lets an interrupted run go on.
#[must_use]
pub fn continuation(run_id: RunId) -> String {
    format!(
        "{}\n\nYou were interrupted while you worked on this: the process that ran you ended. What you did before stands above in this \
         conversation. See what is done already, do not do again what had its effect outside, and go on to the end.",
        label(run_id)
    )
}

/// The text by which a transcript shows that it holds this run's prompt.
#[must_use]
pub fn label(run_id: RunId) -> String {
    format!("{LABEL}{run_id}]")
}

fn rendered(field: &str, template: &str, input: &PromptInput<'_>) -> Result<String> {
    template::render(template, input, &placeholder(input)).map_err(|fault| fault.error(field))
}

/// Stands for the fenced events while the rest is made: they may be larger than a template may write.
fn placeholder(input: &PromptInput<'_>) -> String {
    fence::mark("EVENTS", &input.run_id.to_string(), "")
}

/// Label, words, and the events where the words have their place, else after them.
fn compose(words: &str, input: &PromptInput<'_>) -> Result<String> {
    let events = fence::events(input);
    let place = placeholder(input);
    let words = words.trim();
    let (words, after) =
        if words.contains(&place) { (words.replacen(&place, &events, 1), "") } else { (words.to_owned(), events.as_str()) };
    let parts = [label(input.run_id), words, after.to_owned()];
    let prompt = parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    if prompt.len() > MAX_PROMPT_BYTES {
        return Err(Error::MessageTooLarge { limit_bytes: MAX_PROMPT_BYTES as u64 });
    }
    Ok(prompt)
}

/// A skill's file without the block of settings that may stand before its text.
fn without_front_matter(body: &str) -> &str {
    let body = body.trim_start_matches('\u{feff}');
    let Some(rest) = body.strip_prefix("---\n").or_else(|| body.strip_prefix("---\r\n")) else { return body };
    let mut end = 0;
    for line in rest.split_inclusive('\n') {
        end += line.len();
        if line.trim_end() == "---" {
            return rest[end..].trim_start();
        }
    }
    body
}

#[cfg(test)]
mod tests;
