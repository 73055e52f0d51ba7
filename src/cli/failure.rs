//! Why a command did not do what was asked, how that is said, and the exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::plain::plain;

/// How a command ended that did what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Success,
    /// The command did its work, and what it reports on is not well.
    Unwell,
    /// The run that was watched failed.
    RunFailed,
    /// The run that was watched was cancelled.
    RunCancelled,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Success => Self::SUCCESS,
            Exit::Unwell => Self::from(1),
            Exit::RunFailed => Self::from(3),
            Exit::RunCancelled => Self::from(4),
        }
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server refused or could not be reached.
    #[error("{}", .0.message())]
    Rpc(#[from] Box<Status>),
    /// The command line makes no sense, as found after it was parsed.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing.
    #[error("{0}")]
    Missing(String),
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Rpc(Box::new(status))
    }
}

impl Failure {
    /// A file that could not be read or written, with its name.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::Other(format!("{}: {error}", path.display()))
    }

    /// Whether the reader of the output went away, which is no failure of the command.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Rpc(status) => match status.code() {
                Code::NotFound => 5,
                Code::Unavailable | Code::Unauthenticated | Code::PermissionDenied => 6,
                _ => 1,
            },
            Self::Usage(_) => 2,
            Self::Missing(_) => 5,
            Self::Io(_) | Self::Other(_) => 1,
        }
    }

    /// What to print: the message with its reason, each wrong field, what else is known, and the trace id.
    pub(crate) fn lines(&self, address: &str) -> Vec<String> {
        let Self::Rpc(status) = self else { return vec![format!("error: {}", plain(&self.to_string()))] };
        let details = status.get_error_details();
        let Some(info) = details.error_info() else { return vec![format!("error: {}", foreign(status, address))] };
        let mut lines = vec![format!("error: {} ({})", plain(status.message()), plain(&info.reason))];
        for field in details.bad_request().map_or(&[][..], |bad| &bad.field_violations) {
            // A single field is often the whole message already.
            if !status.message().contains(&field.description) || !status.message().contains(&field.field) {
                lines.push(format!("  {}: {}", plain(&field.field), plain(&field.description)));
            }
        }
        // What the message says already is not said again.
        let said = |key: &str, value: &str| {
            let short = value.len() < 4 && !status.message().contains(&format!("`{value}`"));
            key == "trace_id" || key == "kind" || (!short && status.message().contains(value))
        };
        let mut metadata: Vec<_> = info.metadata.iter().filter(|(key, value)| !said(key, value)).collect();
        metadata.sort();
        lines.extend(metadata.into_iter().map(|(key, value)| format!("  {}: {}", plain(&key.replace('_', " ")), plain(value))));
        if let Some(delay) = details.retry_info().and_then(|retry| retry.retry_delay) {
            lines.push(format!("  try again in {}", super::words::span(delay)));
        }
        if let Some(advice) = advice(&info.reason) {
            lines.push(format!("  {advice}"));
        }
        if let Some(trace) = info.metadata.get("trace_id") {
            lines.push(format!("  trace {}", plain(trace)));
        }
        lines
    }
}

/// An error that the server did not make itself: mostly nobody is there.
fn foreign(status: &Status, address: &str) -> String {
    let mut causes = Vec::new();
    let mut source = status.source();
    while let Some(error) = source {
        causes.push(error.to_string());
        source = error.source();
    }
    let cause = causes.last().cloned().unwrap_or_else(|| status.message().to_owned());
    match status.code() {
        Code::Unavailable => {
            format!("cannot reach {address}: {}. Is `reprise serve` running there? --address says where to look.", plain(&cause))
        }
        _ if !causes.is_empty() => format!("{address}: {}", plain(&causes.join(": "))),
        code => format!("{} ({code:?})", plain(status.message())),
    }
}

fn advice(reason: &str) -> Option<&'static str> {
    match reason {
        "KEY_MISSING" => Some("give the API key with REPRISE_KEY in the environment, or with --api-key"),
        "KEY_INVALID" => Some("REPRISE_KEY is not a key of this server; `reprise key reset-admin` on its machine makes a new one"),
        "ETAG_MISMATCH" => Some("someone changed it meanwhile: read it again, then repeat"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    fn status(code: Code, message: &str, reason: &str, fields: &[(&str, &str)]) -> Failure {
        let metadata = [("trace_id".to_owned(), "4bf92f35".to_owned()), ("known_names".to_owned(), "event, payload".to_owned())];
        let mut details = ErrorDetails::with_error_info(reason, "reprise", metadata);
        if !fields.is_empty() {
            details.set_bad_request(fields.iter().map(|(field, text)| FieldViolation::new(*field, *text)).collect::<Vec<_>>());
        }
        Status::with_error_details(code, message, details).into()
    }

    #[test]
    fn every_part_of_an_error_has_its_line() {
        let failure = status(
            Code::InvalidArgument,
            "2 fields are wrong",
            "FIELD_INVALID",
            &[("trigger.slug", "is empty"), ("trigger.source", "is missing")],
        );
        let lines = failure.lines("http://here");
        assert_eq!(
            lines,
            [
                "error: 2 fields are wrong (FIELD_INVALID)",
                "  trigger.slug: is empty",
                "  trigger.source: is missing",
                "  known names: event, payload",
                "  trace 4bf92f35"
            ]
        );
        assert_eq!(failure.code(), 1);
    }

    #[test]
    fn a_field_that_the_message_names_already_is_not_repeated() {
        let failure =
            status(Code::InvalidArgument, "`a.b` is 24; allowed is 0 to 23", "FIELD_INVALID", &[("a.b", "is 24; allowed is 0 to 23")]);
        assert_eq!(failure.lines("")[1], "  known names: event, payload");
    }

    #[test]
    fn codes_tell_apart_what_a_script_wants_to_know() {
        assert_eq!(status(Code::NotFound, "no run", "RESOURCE_NOT_FOUND", &[]).code(), 5);
        assert_eq!(status(Code::Unauthenticated, "no key", "KEY_MISSING", &[]).code(), 6);
        assert_eq!(Failure::Usage("x".into()).code(), 2);
        let nobody: Failure = Status::unavailable("tcp connect error").into();
        assert_eq!(nobody.code(), 6);
        assert!(nobody.lines("http://127.0.0.1:1")[0].contains("cannot reach http://127.0.0.1:1"));
    }

    #[test]
    fn a_server_cannot_smuggle_escapes_into_the_terminal() {
        let failure = status(Code::NotFound, "no \u{1b}[2Jrun", "X\u{1b}]0;t\u{7}", &[]);
        assert!(failure.lines("").iter().all(|line| !line.contains('\u{1b}')));
    }
}
