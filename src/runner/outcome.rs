//! What one process came to, judged by what was seen of it: never by its exit code alone.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use super::watch::{Report, Stopped};
use crate::domain::{AgentResult, AgentResultKind, Failure, FailureReason};

/// What one process came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It worked, with this text.
    Worked(String),
    /// The conversation that it should continue is not there. Nothing was sent, nothing was done.
    Stale,
    /// It did not work.
    Failed(Failure),
    /// The run was cancelled.
    Cancelled,
    /// The server stops; the run goes on at its next start.
    Interrupted,
    /// The run is not ours any more.
    Lost,
}

/// The limits that a message names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) max_turns: i32,
}

/// Judges a process.
pub(super) fn judge(report: &Report, limits: Limits) -> Verdict {
    let failed = |reason, message: String| Verdict::Failed(Failure::new(reason, message));
    match (&report.stopped, &report.result) {
        (Some(Stopped::Lost), _) => Verdict::Lost,
        (Some(Stopped::Mismatch(message)), _) => failed(FailureReason::PolicyMismatch, message.clone()),
        // It was done before anybody could end it.
        (_, Some(result)) if result.kind == AgentResultKind::Success => Verdict::Worked(result.text.clone()),
        (Some(Stopped::Cancelled), _) => Verdict::Cancelled,
        (Some(Stopped::Interrupted), _) => Verdict::Interrupted,
        (Some(Stopped::TimedOut), _) => failed(FailureReason::TimedOut, format!("it was not done after {} s", limits.timeout.as_secs())),
        // Nothing, or no more than that it was interrupted for its silence.
        (Some(Stopped::Silent(span)), result) if result.as_ref().is_none_or(|result| result.kind == AgentResultKind::Aborted) => {
            failed(FailureReason::Silent, format!("it said nothing for {} s", span.as_secs()))
        }
        (_, Some(result)) if result.kind == AgentResultKind::StaleSession => Verdict::Stale,
        (_, Some(result)) => Verdict::Failed(told(result, limits)),
        (_, None) => Verdict::Failed(untold(report)),
    }
}

/// A failure that the agent tells of itself.
fn told(result: &AgentResult, limits: Limits) -> Failure {
    use FailureReason as Reason;
    let (reason, message) = match result.kind {
        AgentResultKind::MaxTurns => (Reason::MaxTurns, format!("it used its {} rounds without coming to an end", limits.max_turns)),
        AgentResultKind::MaxCost => (Reason::MaxCost, result.error.clone()),
        AgentResultKind::Refused => (Reason::ModelRefused, result.error.clone()),
        AgentResultKind::NotLoggedIn => (Reason::AgentNotLoggedIn, result.error.clone()),
        AgentResultKind::ApiError => (api(result), result.error.clone()),
        AgentResultKind::Aborted => (Reason::AgentCrashed, "the agent was interrupted, and not by this server".to_owned()),
        AgentResultKind::Success | AgentResultKind::StaleSession | AgentResultKind::Error => (Reason::AgentError, result.error.clone()),
    };
    let message = if message.is_empty() { "the agent says that it failed and gives no reason".to_owned() } else { message };
    Failure { reason, message, api_status: result.api_status }
}

fn api(result: &AgentResult) -> FailureReason {
    use FailureReason as Reason;
    let text = result.error.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match result.api_status {
        Some(401) => Reason::AgentNotLoggedIn,
        Some(404) => Reason::ModelUnknown,
        Some(413) => Reason::PromptTooLarge,
        Some(400) if says(&["prompt is too long", "too many tokens"]) => Reason::PromptTooLarge,
        Some(429 | 529) => Reason::ModelOverloaded,
        Some(_) => Reason::ModelError,
        None if says(&["529", "overloaded", "rate limit"]) => Reason::ModelOverloaded,
        None if says(&["not logged in", "/login"]) => Reason::AgentNotLoggedIn,
        None if says(&["prompt is too long"]) => Reason::PromptTooLarge,
        None if says(&[
            "connect",
            "network",
            "timed out",
            "timeout",
            "unreachable",
            "econn",
            "enotfound",
            "socket",
            "fetch failed",
            "certificate",
        ]) =>
        {
            Reason::ModelUnreachable
        }
        None => Reason::ModelError,
    }
}

/// A process that ended without a word about it.
fn untold(report: &Report) -> Failure {
    use FailureReason as Reason;
    let stderr = report.stderr.trim();
    let says = |word: &str| stderr.contains(word);
    let last = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
    let words = last.map_or(String::new(), |line| format!(": {}", line.chars().take(500).collect::<String>()));
    let exit = match report.exit {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("with code {code}"),
            (None, Some(9)) => "by signal 9 (killed; perhaps the system was out of memory)".to_owned(),
            (None, signal) => format!("by signal {}", signal.unwrap_or_default()),
        },
        None => "and could not be waited for".to_owned(),
    };
    let worked = report.exit.is_some_and(|status| status.success());
    let (reason, what) = if report.exit.is_some_and(|status| status.signal().is_some()) || (report.init.is_some() && !worked) {
        (Reason::AgentCrashed, "the agent died without a result,")
    } else if says("unknown option") || says("unknown argument") {
        (Reason::AgentUnsupported, "the agent does not know one of the flags it was given; it ended")
    } else if says("stdin input exceeds") {
        (Reason::PromptTooLarge, "the prompt is larger than the agent takes; it ended")
    } else if says("/login") || says("Not logged in") {
        (Reason::AgentNotLoggedIn, "the agent has no credential; it ended")
    } else if report.strange_lines > 0 {
        (Reason::AgentOutputInvalid, "the agent printed what is none of its messages and ended")
    } else if worked {
        (Reason::AgentOutputInvalid, "the agent printed no result and ended")
    } else {
        (Reason::AgentStartFailed, "the agent did not start its work; it ended")
    };
    Failure::new(reason, format!("{what} {exit}{words}"))
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;
    use crate::domain::InitLine;

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), max_turns: 3 };

    fn result(kind: AgentResultKind, error: &str, api_status: Option<i32>) -> AgentResult {
        AgentResult {
            kind,
            text: "text".to_owned(),
            error: error.to_owned(),
            api_status,
            agent_session_id: None,
            num_turns: 1,
            turn_usage: None,
            by_model: Vec::new(),
            total_cost_usd: None,
            context_tokens: 0,
            context_window_tokens: 0,
            denied_tools: Vec::new(),
            duration_ms: 0,
            api_duration_ms: 0,
        }
    }

    fn ended(raw: i32, stderr: &str) -> Report {
        Report { exit: Some(ExitStatus::from_raw(raw)), stderr: stderr.to_owned(), ..Report::default() }
    }

    fn reason(report: &Report) -> FailureReason {
        match judge(report, LIMITS) {
            Verdict::Failed(failure) => {
                assert!(!failure.message.is_empty());
                failure.reason
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_result_that_worked_wins_over_a_late_end_but_not_over_broken_rules() {
        let done = |stopped| Report { result: Some(result(AgentResultKind::Success, "", None)), stopped, ..ended(256, "noise") };
        for late in [None, Some(Stopped::Cancelled), Some(Stopped::Interrupted), Some(Stopped::TimedOut), Some(Stopped::Lingered)] {
            assert_eq!(judge(&done(late), LIMITS), Verdict::Worked("text".to_owned()));
        }
        assert_eq!(judge(&done(Some(Stopped::Lost)), LIMITS), Verdict::Lost);
        assert_eq!(reason(&done(Some(Stopped::Mismatch("mode".to_owned())))), FailureReason::PolicyMismatch);
    }

    #[test]
    fn an_end_that_was_wanted_is_no_failure_of_the_agent() {
        let aborted = |stopped| Report { result: Some(result(AgentResultKind::Aborted, "", None)), stopped, ..ended(0, "") };
        assert_eq!(judge(&aborted(Some(Stopped::Cancelled)), LIMITS), Verdict::Cancelled);
        assert_eq!(judge(&aborted(Some(Stopped::Interrupted)), LIMITS), Verdict::Interrupted);
        assert_eq!(reason(&aborted(Some(Stopped::TimedOut))), FailureReason::TimedOut);
        assert_eq!(reason(&aborted(Some(Stopped::Silent(Duration::from_secs(9))))), FailureReason::Silent);
        assert_eq!(reason(&aborted(None)), FailureReason::AgentCrashed);
    }

    #[test]
    fn the_models_answers_have_their_own_names() {
        let of = |text: &str, status| api(&result(AgentResultKind::ApiError, text, status));
        assert_eq!(of("Failed to authenticate. API Error: 401", Some(401)), FailureReason::AgentNotLoggedIn);
        assert_eq!(of("Not logged in · Please run /login", None), FailureReason::AgentNotLoggedIn);
        assert_eq!(of("model: nope", Some(404)), FailureReason::ModelUnknown);
        assert_eq!(of("", Some(429)), FailureReason::ModelOverloaded);
        assert_eq!(of("API Error: Repeated 529 Overloaded errors", None), FailureReason::ModelOverloaded);
        assert_eq!(of("API Error: Unable to connect to API (ECONNREFUSED)", None), FailureReason::ModelUnreachable);
        assert_eq!(of("API Error: 500", Some(500)), FailureReason::ModelError);
    }

    #[test]
    fn an_end_without_a_word_is_told_by_what_was_seen() {
        assert_eq!(reason(&ended(256, "error: unknown option '--restricted'\n")), FailureReason::AgentUnsupported);
        assert_eq!(reason(&ended(256, "Error: piped stdin input exceeds 10MB")), FailureReason::PromptTooLarge);
        assert_eq!(reason(&ended(256, "Not logged in · Please run /login")), FailureReason::AgentNotLoggedIn);
        assert_eq!(reason(&ended(256, "Error: Session ID X is already in use.")), FailureReason::AgentStartFailed);
        assert_eq!(reason(&ended(0, "")), FailureReason::AgentOutputInvalid);
        assert_eq!(reason(&Report { strange_lines: 2, ..ended(256, "") }), FailureReason::AgentOutputInvalid);
        assert_eq!(reason(&ended(9, "")), FailureReason::AgentCrashed);
        assert_eq!(reason(&Report { init: Some(InitLine::default()), ..ended(256, "") }), FailureReason::AgentCrashed);
        let Verdict::Failed(failure) = judge(&ended(256, "first\nlast words\n"), LIMITS) else { panic!() };
        assert_eq!(failure.message, "the agent did not start its work; it ended with code 1: last words");
    }
}
