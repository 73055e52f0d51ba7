//! The scripted reviewer: what the model answers, computed from the request alone.

use std::time::Duration;

use serde_json::Value;

use crate::conversation::{Conversation, system_text};
use crate::directive::{self, Directive};

/// What stands before the code word in a review. It is looked for again in the history.
const MARK: &str = "The code word for this review is ";
/// The two ideas of every review.
const IDEAS: &str = "a fixed delay, and retrying on 4xx";
/// The text of a slow or repeated answer that says nothing else.
const FILLER: &str = "Still reading the change, line by line. ";

/// A block of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Thinking.
    Thinking(String),
    /// Text.
    Text(String),
    /// A call of a tool.
    Tool {
        /// The tool's name.
        name: String,
        /// Its input.
        input: Value,
    },
}

/// How the stream of the answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Whole,
    /// The connection breaks in the middle.
    Cut,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its blocks.
    pub(crate) parts: Vec<Part>,
    /// Why the model stopped.
    pub(crate) stop_reason: String,
    /// How long the text takes to stream.
    pub(crate) pace: Duration,
    /// In how many pieces the text comes at least.
    pub(crate) pieces: usize,
    /// How long nothing comes at all.
    pub(crate) wait: Duration,
    /// How it ends.
    pub(crate) end: End,
    /// Reported instead of what was counted: input and output tokens.
    pub(crate) usage: Option<(u64, u64)>,
}

/// An answer, or the number of an API error.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The model answers.
    Answer(Answer),
    /// The API refuses with this status.
    Status(u16),
}

/// Answers a request. `word` is the code word that a first review gives.
pub(crate) fn answer(body: &Value, talk: &Conversation, word: &str) -> Outcome {
    if is_summary_request(&talk.prompt) {
        return Outcome::Answer(plain(vec![Part::Text(summary(talk))]));
    }
    let marks = directive::parse(&talk.prompt);
    if let Some(status) = number::<u16>(&marks, "status") {
        return Outcome::Status(status);
    }
    let mut answer = plain(parts(body, talk, &marks, word));
    if matches!(answer.parts.last(), Some(Part::Tool { .. })) {
        answer.stop_reason = "tool_use".to_owned();
    } else {
        // Slow is the final answer, not the step to a tool.
        answer.pace = seconds(&marks, "slow");
        answer.pieces = number(&marks, "repeat").unwrap_or(1);
        if let Some(reason) = last(&marks, "stop") {
            reason.clone_into(&mut answer.stop_reason);
        }
    }
    answer.wait = seconds(&marks, "wait");
    if last(&marks, "cut").is_some() {
        answer.end = End::Cut;
    }
    answer.usage = last(&marks, "usage").and_then(|v| {
        let mut numbers = v.split_whitespace().map_while(|n| n.parse().ok());
        Some((numbers.next()?, numbers.next()?))
    });
    Outcome::Answer(answer)
}

fn plain(parts: Vec<Part>) -> Answer {
    Answer {
        parts,
        stop_reason: "end_turn".to_owned(),
        pace: Duration::ZERO,
        pieces: 1,
        wait: Duration::ZERO,
        end: End::Whole,
        usage: None,
    }
}

fn parts(body: &Value, talk: &Conversation, marks: &[Directive], word: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    if let Some(thought) = last(marks, "think") {
        parts.push(Part::Thinking(thought.to_owned()));
    }
    let results = talk.tool_results();
    let tools: Vec<(String, Value)> = marks.iter().filter(|m| m.name == "tool").filter_map(|m| tool_of(&m.value)).collect();
    let question = is_question(&talk.prompt);
    if let Some((name, input)) = tools.get(results.len()) {
        parts.push(Part::Text(format!("Calling {name}.")));
        parts.push(Part::Tool { name: name.clone(), input: input.clone() });
        return parts;
    }
    if tools.is_empty()
        && results.is_empty()
        && !question
        && let Some(path) = file_named(&talk.prompt)
    {
        let input = serde_json::json!({"file_path": absolute(&path, &system_text(body))});
        parts.push(Part::Text(format!("Reading the change in {path} …")));
        parts.push(Part::Tool { name: "Read".to_owned(), input });
        return parts;
    }
    parts.push(Part::Text(final_text(talk, marks, &results, word)));
    parts
}

fn final_text(talk: &Conversation, marks: &[Directive], results: &[(&str, bool)], word: &str) -> String {
    let repeat = number::<usize>(marks, "repeat").unwrap_or(0).min(1_000_000);
    if let Some(text) = last(marks, "say") {
        return if repeat > 1 { text.repeat(repeat) } else { text.to_owned() };
    }
    if let Some(literal) = last(marks, "recall") {
        let found = if talk.history_contains(literal) { "yes" } else { "no" };
        return format!("recall {found}: {literal}");
    }
    if repeat > 0 {
        return FILLER.repeat(repeat);
    }
    let told = marks.iter().any(|m| m.name == "tool");
    if told && let Some((text, is_error)) = results.last() {
        let how = if *is_error { "failed" } else { "answered" };
        return format!("The tool {how}: {}", text.chars().take(400).collect::<String>());
    }
    review_or_recall(talk, word)
}

/// The reviewer proper. The word of an earlier review is taken from what was said, never from `word`.
fn review_or_recall(talk: &Conversation, word: &str) -> String {
    let recalled = talk.remembered().rev().find_map(word_in);
    let ideas = talk.remembered().any(|t| t.contains(IDEAS));
    if is_question(&talk.prompt) {
        return match recalled {
            Some(found) if ideas => format!("{found}. I rejected {IDEAS}."),
            Some(found) => format!("{found}. I do not remember the ideas."),
            None => match word_in(&talk.prompt) {
                Some(found) => format!("From the notes in this message: {found}. I have no conversation before it."),
                None => "I do not remember: there is no earlier review in this conversation.".to_owned(),
            },
        };
    }
    match recalled {
        Some(found) => format!("I looked again. {MARK}still {found}; the ideas I rejected stay rejected: {IDEAS}."),
        None if is_review(&talk.prompt) => format!("I rejected two ideas: {IDEAS}. {MARK}{word}."),
        None => format!("I read {} characters; {} turns came before.", talk.prompt.chars().count(), talk.turns_before()),
    }
}

fn summary(talk: &Conversation) -> String {
    let mut words: Vec<&str> = Vec::new();
    for found in talk.remembered().filter_map(word_in) {
        if !words.contains(&found) {
            words.push(found);
        }
    }
    let mut kept: Vec<String> = words.iter().map(|w| format!("{MARK}{w}.")).collect();
    if talk.remembered().any(|t| t.contains(IDEAS)) {
        kept.push(format!("Rejected ideas: {IDEAS}."));
    }
    let turns = talk.turns_before();
    format!("<analysis>\n{turns} turns.\n</analysis>\n<summary>\n1. A conversation of {turns} turns.\n2. {}\n</summary>", kept.join(" "))
}

fn is_summary_request(prompt: &str) -> bool {
    prompt.contains("create a detailed summary of") && prompt.contains("<summary>")
}

fn is_question(prompt: &str) -> bool {
    let lower = prompt.to_lowercase();
    ["what was the code word", "which was the code word", "which ideas did you reject", "do you remember"].iter().any(|q| lower.contains(q))
}

fn is_review(prompt: &str) -> bool {
    let lower = prompt.to_lowercase();
    ["code word", "pull request", "pull_request", "merge request", "review"].iter().any(|w| lower.contains(w))
}

fn word_in(text: &str) -> Option<&str> {
    let (_, after) = text.rsplit_once(MARK)?;
    let after = after.strip_prefix("still ").unwrap_or(after);
    let end = after.find(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_')).unwrap_or(after.len());
    (end > 0).then(|| &after[..end])
}

/// The first `file: PATH` of the prompt, which may stand in a JSON string.
fn file_named(prompt: &str) -> Option<String> {
    let stops: &[char] = &[' ', '\t', '\n', '\r', '"', '\'', '`', '\\', ',', ';', ')', '>', '<'];
    for (at, _) in prompt.match_indices("file: ") {
        let before = &prompt[..at];
        let starts = before.ends_with("\\n") || !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-');
        let path = prompt[at + 6..].split(stops).next().unwrap_or("").trim_end_matches('.');
        if starts && !path.is_empty() {
            return Some(path.to_owned());
        }
    }
    None
}

/// The CLI's Read tool wants absolute paths; the working directory is in its system prompt.
fn absolute(path: &str, system: &str) -> String {
    let cwd = system.split_once("orking directory: ").and_then(|(_, after)| after.lines().next()).map(str::trim);
    match cwd {
        Some(cwd) if !path.starts_with('/') => format!("{}/{path}", cwd.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

fn tool_of(value: &str) -> Option<(String, Value)> {
    let (name, input) = value.split_once(char::is_whitespace).unwrap_or((value, "{}"));
    let input: Value = serde_json::from_str(input.trim()).ok()?;
    (!name.is_empty() && input.is_object()).then(|| (name.to_owned(), input))
}

fn last<'a>(marks: &'a [Directive], name: &str) -> Option<&'a str> {
    marks.iter().rev().find(|m| m.name == name).map(|m| m.value.as_str())
}

fn number<T: std::str::FromStr>(marks: &[Directive], name: &str) -> Option<T> {
    last(marks, name)?.parse().ok()
}

fn seconds(marks: &[Directive], name: &str) -> Duration {
    let given = number::<f64>(marks, name).unwrap_or(0.0);
    Duration::try_from_secs_f64(given.clamp(0.0, 3600.0)).unwrap_or_default()
}
