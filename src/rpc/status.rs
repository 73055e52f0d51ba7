//! The only place where an error becomes a status.

use std::collections::HashMap;

use http::StatusCode;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt};

use super::TraceId;
use crate::domain::{Code, Error};

/// The domain of every `ErrorInfo`.
pub const ERROR_DOMAIN: &str = "reprise";

/// Details travel in one HTTP/2 header block, which clients limit: what is named beyond this is left out.
const MAX_VIOLATIONS: usize = 20;
const MAX_MESSAGE: usize = 1024;

impl From<Error> for Status {
    /// With the trace id of the request that is being served; see [`TraceId::current`].
    fn from(error: Error) -> Self {
        status(&error, &TraceId::current())
    }
}

/// The status of an error, with everything a caller may know. A fault of ours is logged here, and only here.
#[must_use]
pub fn status(error: &Error, trace: &TraceId) -> Status {
    let mut metadata: HashMap<String, String> = error.metadata().into_iter().map(|(key, value)| (key.to_owned(), cut(&value))).collect();
    metadata.insert("trace_id".to_owned(), trace.to_string());
    let mut details = ErrorDetails::with_error_info(error.reason(), ERROR_DOMAIN, metadata);
    for violation in error.fields().into_iter().take(MAX_VIOLATIONS) {
        details.add_bad_request_violation(cut(&violation.field), cut(&violation.problem));
    }
    if let Some(wait) = error.retry_after() {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(grpc_code(error.code()), message(error, trace), details)
}

/// What the caller reads: a fault of ours tells only the trace id under which the log has the rest.
fn message(error: &Error, trace: &TraceId) -> String {
    match error {
        Error::Internal(_) | Error::Fenced => {
            tracing::error!(trace.id = %trace, error = %error, "a request failed by a fault of this server");
            format!("a fault of this server; its log has the details under trace id {trace}")
        }
        Error::StoreUnavailable(_) => {
            tracing::warn!(trace.id = %trace, error = %error, "a request failed since the database cannot be used");
            "the store is unavailable; nothing was stored, try again in a moment".to_owned()
        }
        told => cut(&told.to_string()),
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_MESSAGE {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_MESSAGE)])
}

const fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::Aborted => tonic::Code::Aborted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::Internal => tonic::Code::Internal,
    }
}

/// The HTTP status of an error, for the routes that are not gRPC.
#[must_use]
pub const fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        // A sender repeats on 503; many give up for good on 429.
        Code::ResourceExhausted | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A status that the gRPC framework made before any method was reached, in the words of the contract. None: it stays as
/// it is.
pub(super) fn explained(status: &Status) -> Option<Error> {
    let text = status.message();
    match status.code() {
        tonic::Code::OutOfRange | tonic::Code::ResourceExhausted if text.contains("message length too large") => {
            let limit = text.rsplit_once("limit is: ").and_then(|(_, rest)| rest.split(' ').next()).and_then(|n| n.parse().ok());
            Some(Error::MessageTooLarge { limit_bytes: limit.unwrap_or(0) })
        }
        tonic::Code::Internal if text.starts_with("failed to decode Protobuf message") => {
            Some(Error::field("request", "is not a message of this rpc"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::FieldError;

    fn trace() -> TraceId {
        TraceId::from_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").expect("valid")
    }

    #[test]
    fn every_error_carries_its_reason_and_the_trace_id() {
        let status = status(&Error::SlugTaken { slug: "review".to_owned(), trigger_id: "trg_1".to_owned() }, &trace());
        let info = status.get_details_error_info().expect("error info");
        assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (tonic::Code::AlreadyExists, "SLUG_TAKEN", "reprise"));
        assert_eq!(info.metadata["trigger_id"], "trg_1");
        assert_eq!(info.metadata["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn wrong_fields_are_named_and_waiting_is_told() {
        let fields = vec![FieldError::new("trigger.slug", "is empty"), FieldError::new("page_size", "is negative")];
        let bad = status(&Error::FieldInvalid(fields), &trace()).get_details_bad_request().expect("bad request");
        assert_eq!(bad.field_violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["trigger.slug", "page_size"]);
        let full = status(&Error::QueueFull { scope: "server", limit: 7 }, &trace());
        assert_eq!(full.get_details_retry_info().expect("retry info").retry_delay, Some(Duration::from_secs(30)));
        assert_eq!(full.get_details_error_info().expect("error info").metadata["limit"], "7");
    }

    #[test]
    fn a_fault_of_ours_tells_nothing_but_the_trace_id() {
        for error in [Error::internal("password=hunter2"), Error::StoreUnavailable("postgres://user:hunter2@db".to_owned())] {
            let status = status(&error, &trace());
            assert!(!format!("{status:?}").contains("hunter2"), "{status:?}");
            assert_eq!(status.get_details_error_info().expect("error info").metadata.keys().collect::<Vec<_>>(), ["trace_id"]);
        }
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let status = status(&Error::field("prompt", "é".repeat(4000)), &trace());
        assert!(status.message().len() < 1100 && status.message().ends_with('…'));
    }

    #[test]
    fn what_the_framework_refuses_is_told_in_our_words() {
        let large = Status::out_of_range("Error, decoded message length too large: found 5 bytes, the limit is: 4194304 bytes");
        assert!(matches!(explained(&large), Some(Error::MessageTooLarge { limit_bytes: 4_194_304 })));
        assert!(explained(&Status::unimplemented("")).is_none());
    }
}
