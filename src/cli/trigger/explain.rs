//! What the rules of a trigger make of an event, as lines.

use std::path::Path;

use super::super::failure::Failure;
use super::super::plain::plain;
use super::super::screen::{Screen, Tint};
use super::super::words::word;
use crate::proto::v1::{Explanation, ExplanationStep, Stage, Verdict};

/// Width of the columns before the last one.
const STAGE: usize = 12;
const VERDICT: usize = 10;
const MESSAGE: usize = 27;

/// Prints the walk, one rule a line, and that nothing came of it.
pub(crate) fn explain(explanation: &Explanation, screen: &mut Screen) -> Result<(), Failure> {
    for step in explanation.steps.iter().filter(|step| is_told(step)) {
        let note = match step.stage() {
            Stage::Prompt if step.verdict() == Verdict::Pass => format!("argv: {}", command(&explanation.argv)),
            _ => values(step),
        };
        let verdict = word(step.verdict().as_str_name(), "VERDICT_");
        let tint = match step.verdict() {
            Verdict::Pass => Tint::Green,
            Verdict::Stop | Verdict::Failed => Tint::Red,
            _ => Tint::Dim,
        };
        let padding = " ".repeat(VERDICT.saturating_sub(verdict.len()));
        let line = format!("{:STAGE$}{}{padding}{:MESSAGE$}", name(step.stage()), screen.paint(tint, &verdict), plain(&step.message));
        let note = if note.is_empty() { note } else { format!("  {}", screen.paint(Tint::Dim, &plain(&note))) };
        screen.line(format!("{line}{note}").trim_end())?;
    }
    screen.line("nothing was run")
}

/// Rules that let everything by for everybody are told only when they decide.
fn is_told(step: &ExplanationStep) -> bool {
    !matches!(step.stage(), Stage::Parse | Stage::Dedupe) || matches!(step.verdict(), Verdict::Stop | Verdict::Failed)
}

fn name(stage: Stage) -> &'static str {
    match stage {
        Stage::Verify => "verify",
        Stage::Parse => "parse",
        Stage::Author => "author",
        Stage::Filter => "filter",
        Stage::ThreadKey => "thread key",
        Stage::Dedupe => "repeat",
        Stage::Policy => "busy",
        Stage::Prompt => "prompt",
        Stage::Unspecified => "",
    }
}

/// What a rule read, where its message does not say it already.
fn values(step: &ExplanationStep) -> String {
    let decided = matches!(step.verdict(), Verdict::Stop | Verdict::Failed);
    if !decided && !matches!(step.stage(), Stage::Filter | Stage::ThreadKey) {
        return String::new();
    }
    let mut told: Vec<(&str, &str)> = step.values.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    told.sort_unstable();
    if step.stage() == Stage::ThreadKey && told.len() > 1 {
        told.retain(|(name, _)| *name != "event.thread_key");
    }
    let short = |name: &str| name.strip_prefix("payload.").or_else(|| name.strip_prefix("event.")).unwrap_or(name).to_owned();
    told.iter().map(|(name, value)| format!("{} = {value}", short(name))).collect::<Vec<_>>().join(", ")
}

/// The command line as people recognise it: the program, and which conversation it begins or continues.
fn command(argv: &[String]) -> String {
    let Some((program, rest)) = argv.split_first() else { return String::new() };
    let program = Path::new(program).file_name().map_or_else(|| program.clone(), |name| name.to_string_lossy().into_owned());
    let first = rest.first().map(|first| format!(" {first} …")).unwrap_or_default();
    let at = rest.iter().position(|argument| matches!(argument.as_str(), "--resume" | "--session-id"));
    let conversation = at.and_then(|at| Some((&rest[at], rest.get(at + 1)?)));
    let conversation = conversation.map(|(flag, id)| match id.split_once('-') {
        Some((head, _)) => format!(" {flag} {head}…"),
        None => format!(" {flag} {id}"),
    });
    format!("{program}{first}{}", conversation.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_shows_its_conversation() {
        let argv = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let resumed = argv(&["/usr/bin/claude", "--print", "--verbose", "--resume", "7c0e1234-0000", "--restricted"]);
        assert_eq!(command(&resumed), "claude --print … --resume 7c0e1234…");
        assert_eq!(command(&argv(&["claude", "--print", "--session-id", "<new id>"])), "claude --print … --session-id <new id>");
        assert_eq!(command(&[]), "");
    }

    #[test]
    fn values_are_told_where_they_help() {
        let step = |stage: Stage, verdict: Verdict, values: &[(&str, &str)]| ExplanationStep {
            stage: stage.into(),
            verdict: verdict.into(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..Default::default()
        };
        assert_eq!(values(&step(Stage::Filter, Verdict::Pass, &[("event.action", "\"created\"")])), "action = \"created\"");
        let key = step(Stage::ThreadKey, Verdict::Pass, &[("event.thread_key", "\"x\""), ("payload.issue.number", "412")]);
        assert_eq!(values(&key), "issue.number = 412");
        assert_eq!(values(&step(Stage::Author, Verdict::Pass, &[("event.actor.login", "\"m\"")])), "");
        assert_eq!(values(&step(Stage::Author, Verdict::Stop, &[("event.actor.login", "\"m\"")])), "actor.login = \"m\"");
    }
}
