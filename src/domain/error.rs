//! Every error that a client can tell apart, with its code, reason and what belongs to it.

use std::time::Duration;

use thiserror::Error as ThisError;

use super::RunStatus;

/// What a call gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The canonical code of an error; gRPC and HTTP status both come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The request itself is wrong.
    InvalidArgument,
    /// What it names is not there.
    NotFound,
    /// What it would create is there.
    AlreadyExists,
    /// It lost a race.
    Aborted,
    /// What it names is in a state that does not allow it.
    FailedPrecondition,
    /// It points past an end.
    OutOfRange,
    /// There is no room now.
    ResourceExhausted,
    /// The caller is not known.
    Unauthenticated,
    /// The caller may not.
    PermissionDenied,
    /// The server cannot now.
    Unavailable,
    /// A fault of ours.
    Internal,
}

/// One field of a request, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Its path, as the request has it.
    pub field: String,
    /// What is wrong, to be read after the field's name.
    pub problem: String,
}

impl FieldError {
    /// A problem of a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

fn list(fields: &[FieldError]) -> String {
    fields.iter().map(|f| format!("`{}` {}", f.field, f.problem)).collect::<Vec<_>>().join("; ")
}

/// Every error that a client can tell apart.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Fields of the request are wrong.
    #[error("{}", list(.0))]
    FieldInvalid(Vec<FieldError>),
    /// A CEL expression does not compile, or gives the wrong type.
    #[error("`{field}` {problem}")]
    ExpressionInvalid { field: String, problem: String, line: Option<usize>, column: Option<usize>, known_names: String },
    /// A prompt template does not compile, or uses what is not there.
    #[error("`{field}` {problem}")]
    TemplateInvalid { field: String, problem: String, line: Option<usize>, known_names: String },
    /// An update mask names what is not there.
    #[error("`update_mask` names `{path}`, which is not a field that can be set")]
    UpdateMaskInvalid { path: String },
    /// A page token that this list did not give.
    #[error("`page_token` was not given by this list with these filters; start again without it")]
    PageTokenInvalid,
    /// The same request id with another request.
    #[error("`request_id` `{request_id}` was used for another request; use a new one")]
    RequestIdReused { request_id: String },
    /// No such sample.
    #[error("`sample` `{sample}` is not known; known are {known_names}")]
    SampleUnknown { sample: String, known_names: String },
    /// No such resource.
    #[error("there is no {kind} `{id}`")]
    NotFound { kind: &'static str, id: String },
    /// The slug is taken.
    #[error("a trigger with slug `{slug}` exists already")]
    SlugTaken { slug: String, trigger_id: String },
    /// Somebody else changed it first.
    #[error("it was changed in the meantime; read it again and repeat the change")]
    EtagMismatch { etag: String },
    /// The trigger is disabled.
    #[error("trigger `{slug}` is disabled; enable it first")]
    TriggerDisabled { slug: String },
    /// The trigger has queued or live runs.
    #[error("the trigger has {run_count} queued or live runs; use `force` to cancel them")]
    TriggerBusy { run_count: i64 },
    /// Two secrets are active already.
    #[error("two secrets are active already; let the older one end first, with `overlap` 0s")]
    TooManySecrets,
    /// The session has a live or queued run.
    #[error("the session has a live run `{run_id}`; use `cancel_runs` to end it")]
    SessionBusy { run_id: String },
    /// The session has no conversation yet.
    #[error("the session has no conversation yet")]
    SessionEmpty,
    /// The wanted conversation cannot be had.
    #[error("the session mode is impossible: {why}")]
    SessionModeImpossible { why: String },
    /// The transcript is not in custody.
    #[error("the transcript of this conversation is not kept any more")]
    TranscriptGone,
    /// The body of a delivery is not in the store.
    #[error("the body of this delivery is not kept")]
    BodyNotKept,
    /// The run is not finished.
    #[error("the run is {status}; wait for its end or cancel it first")]
    RunNotFinished { status: RunStatus },
    /// The run's prompt is not kept any more.
    #[error("the prompt of this run is not kept any more")]
    PromptNotKept,
    /// The sequence is past the journal's end.
    #[error("`after_sequence` is {asked}; the journal's last entry is {last_sequence}")]
    SequenceBeyondEnd { asked: i32, last_sequence: i32 },
    /// The queue is full.
    #[error("the queue is full ({scope}: {limit} runs wait); try again later")]
    QueueFull { scope: &'static str, limit: i64 },
    /// The message is too large.
    #[error("the body is larger than {limit_bytes} bytes")]
    MessageTooLarge { limit_bytes: u64 },
    /// No key was sent.
    #[error("send an API key: `authorization: Bearer <key>`")]
    KeyMissing,
    /// The key is not known.
    #[error("the API key is not known")]
    KeyInvalid,
    /// The key's time is over.
    #[error("the API key has ended; sign in again")]
    KeyExpired,
    /// The sign-in code cannot be redeemed.
    #[error("the sign-in code is unknown, used already or too old; make a new one with `reprise dashboard`")]
    CodeInvalid,
    /// Too many calls of an rpc that is open to all.
    #[error("too many calls; try again in a moment")]
    RateLimited,
    /// As many lists are watched as may be.
    #[error("as many lists are watched as this server serves at once ({limit}); close some, or try again later")]
    TooManyStreams { limit: usize },
    /// A page of another origin called.
    #[error("pages of origin `{origin}` may not call this server; `server.cors_origins` lists those that may")]
    OriginRefused { origin: String },
    /// The server is stopping.
    #[error("the server is stopping; try again in a moment")]
    Draining,
    /// The database did not answer.
    #[error("the store is unavailable: {0}")]
    StoreUnavailable(String),
    /// A worker's write whose lease is not current any more.
    #[error("the lease is not current any more")]
    Fenced,
    /// A fault of ours.
    #[error("internal error: {0}")]
    Internal(String),
}

impl Error {
    /// One wrong field.
    pub fn field(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::FieldInvalid(vec![FieldError::new(field, problem)])
    }

    /// A fault of ours, with what is known of it.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::Internal(what.to_string())
    }

    /// The canonical code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::FieldInvalid(_)
            | Self::ExpressionInvalid { .. }
            | Self::TemplateInvalid { .. }
            | Self::UpdateMaskInvalid { .. }
            | Self::PageTokenInvalid
            | Self::RequestIdReused { .. }
            | Self::SampleUnknown { .. } => Code::InvalidArgument,
            Self::NotFound { .. } => Code::NotFound,
            Self::SlugTaken { .. } => Code::AlreadyExists,
            Self::EtagMismatch { .. } => Code::Aborted,
            Self::TriggerDisabled { .. }
            | Self::TriggerBusy { .. }
            | Self::TooManySecrets
            | Self::SessionBusy { .. }
            | Self::SessionEmpty
            | Self::SessionModeImpossible { .. }
            | Self::TranscriptGone
            | Self::BodyNotKept
            | Self::RunNotFinished { .. }
            | Self::PromptNotKept => Code::FailedPrecondition,
            Self::SequenceBeyondEnd { .. } => Code::OutOfRange,
            Self::QueueFull { .. } | Self::MessageTooLarge { .. } | Self::RateLimited | Self::TooManyStreams { .. } => {
                Code::ResourceExhausted
            }
            Self::KeyMissing | Self::KeyInvalid | Self::KeyExpired | Self::CodeInvalid => Code::Unauthenticated,
            Self::OriginRefused { .. } => Code::PermissionDenied,
            Self::Draining | Self::StoreUnavailable(_) => Code::Unavailable,
            Self::Fenced | Self::Internal(_) => Code::Internal,
        }
    }

    /// The stable reason, as in `ErrorInfo.reason`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::FieldInvalid(_) => "FIELD_INVALID",
            Self::ExpressionInvalid { .. } => "EXPRESSION_INVALID",
            Self::TemplateInvalid { .. } => "TEMPLATE_INVALID",
            Self::UpdateMaskInvalid { .. } => "UPDATE_MASK_INVALID",
            Self::PageTokenInvalid => "PAGE_TOKEN_INVALID",
            Self::RequestIdReused { .. } => "REQUEST_ID_REUSED",
            Self::SampleUnknown { .. } => "SAMPLE_UNKNOWN",
            Self::NotFound { .. } => "RESOURCE_NOT_FOUND",
            Self::SlugTaken { .. } => "SLUG_TAKEN",
            Self::EtagMismatch { .. } => "ETAG_MISMATCH",
            Self::TriggerDisabled { .. } => "TRIGGER_DISABLED",
            Self::TriggerBusy { .. } => "TRIGGER_BUSY",
            Self::TooManySecrets => "TOO_MANY_SECRETS",
            Self::SessionBusy { .. } => "SESSION_BUSY",
            Self::SessionEmpty => "SESSION_EMPTY",
            Self::SessionModeImpossible { .. } => "SESSION_MODE_IMPOSSIBLE",
            Self::TranscriptGone => "TRANSCRIPT_GONE",
            Self::BodyNotKept => "BODY_NOT_KEPT",
            Self::RunNotFinished { .. } => "RUN_NOT_FINISHED",
            Self::PromptNotKept => "PROMPT_NOT_KEPT",
            Self::SequenceBeyondEnd { .. } => "SEQUENCE_BEYOND_END",
            Self::QueueFull { .. } => "QUEUE_FULL",
            Self::MessageTooLarge { .. } => "MESSAGE_TOO_LARGE",
            Self::KeyMissing => "KEY_MISSING",
            Self::KeyInvalid => "KEY_INVALID",
            Self::KeyExpired => "KEY_EXPIRED",
            Self::CodeInvalid => "CODE_INVALID",
            Self::RateLimited => "RATE_LIMITED",
            Self::TooManyStreams { .. } => "TOO_MANY_STREAMS",
            Self::OriginRefused { .. } => "ORIGIN_REFUSED",
            Self::Draining => "DRAINING",
            Self::StoreUnavailable(_) => "STORE_UNAVAILABLE",
            Self::Fenced | Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    /// What belongs to it, as in `ErrorInfo.metadata`; an internal error tells nothing.
    #[must_use]
    pub fn metadata(&self) -> Vec<(&'static str, String)> {
        let place = |line: &Option<usize>| line.map(|n| ("line", n.to_string()));
        match self {
            Self::ExpressionInvalid { line, column, known_names, .. } => place(line)
                .into_iter()
                .chain(column.map(|n| ("column", n.to_string())))
                .chain([("known_names", known_names.clone())])
                .collect(),
            Self::TemplateInvalid { line, known_names, .. } => {
                place(line).into_iter().chain([("known_names", known_names.clone())]).collect()
            }
            Self::UpdateMaskInvalid { path } => vec![("path", path.clone())],
            Self::RequestIdReused { request_id } => vec![("request_id", request_id.clone())],
            Self::SampleUnknown { known_names, .. } => vec![("known_names", known_names.clone())],
            Self::NotFound { kind, id } => vec![("kind", (*kind).to_owned()), ("id", id.clone())],
            Self::SlugTaken { trigger_id, .. } => vec![("trigger_id", trigger_id.clone())],
            Self::EtagMismatch { etag } => vec![("etag", etag.clone())],
            Self::TriggerBusy { run_count } => vec![("run_count", run_count.to_string())],
            Self::SessionBusy { run_id } => vec![("run_id", run_id.clone())],
            Self::SessionModeImpossible { why } => vec![("why", why.clone())],
            Self::RunNotFinished { status } => vec![("state", status.to_string())],
            Self::SequenceBeyondEnd { last_sequence, .. } => vec![("last_sequence", last_sequence.to_string())],
            Self::QueueFull { scope, limit } => vec![("scope", (*scope).to_owned()), ("limit", limit.to_string())],
            Self::TooManyStreams { limit } => vec![("limit", limit.to_string())],
            Self::OriginRefused { origin } => vec![("origin", origin.clone())],
            Self::MessageTooLarge { limit_bytes } => vec![("limit_bytes", limit_bytes.to_string())],
            _ => Vec::new(),
        }
    }

    /// How long a caller should wait, where waiting helps.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::QueueFull { .. } => Some(Duration::from_secs(30)),
            Self::Draining | Self::StoreUnavailable(_) => Some(Duration::from_secs(5)),
            Self::RateLimited | Self::TooManyStreams { .. } => Some(Duration::from_secs(10)),
            _ => None,
        }
    }

    /// Each wrong field, for `BadRequest`.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::FieldInvalid(fields) => fields.clone(),
            Self::ExpressionInvalid { field, problem, .. } | Self::TemplateInvalid { field, problem, .. } => {
                vec![FieldError::new(field, problem)]
            }
            Self::UpdateMaskInvalid { .. } => vec![FieldError::new("update_mask", self.to_string())],
            Self::PageTokenInvalid => vec![FieldError::new("page_token", self.to_string())],
            Self::RequestIdReused { .. } => vec![FieldError::new("request_id", self.to_string())],
            Self::SampleUnknown { .. } => vec![FieldError::new("sample", self.to_string())],
            _ => Vec::new(),
        }
    }
}
