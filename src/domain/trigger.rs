//! A trigger: the stored rule that maps one sender's webhooks to Claude runs.

use std::time::Duration;

use super::text_enum::text_enum;
use super::{NanoUsd, SecretId, Source, TriggerId, UnixMicros};

/// A stored rule. What a caller may set is [`TriggerSpec`]; the rest is the server's.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Never reused.
    pub id: TriggerId,
    /// Unique and fixed: `[a-z0-9][a-z0-9-]{0,47}`.
    pub slug: String,
    /// Fixed: which provider sends.
    pub source: Source,
    /// 128 random bits as text, part of the public URL.
    pub hook_token: String,
    /// At most two are active at once; what is shown of them, never their text.
    pub secrets: Vec<Secret>,
    /// What a caller may set.
    pub spec: TriggerSpec,
    /// Counts changes; the etag, and what an attempt records.
    pub version: i64,
    /// When it was created.
    pub create_time: UnixMicros,
    /// When it last changed.
    pub update_time: UnixMicros,
}

/// What a caller may set of a trigger.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerSpec {
    /// For people; may be empty.
    pub display_name: String,
    /// Off: new deliveries are dropped with a reason, queued runs wait.
    pub enabled: bool,
    /// Whether deliveries of one thread continue one Claude session.
    pub resume_sessions: bool,
    /// How a generic sender signs; required for [`Source::GenericHmac`], absent otherwise.
    pub hmac: Option<HmacProfile>,
    /// Whose events may start anything.
    pub author_rule: AuthorRule,
    /// CEL → bool; empty lets everything pass.
    pub filter_expression: String,
    /// CEL → bool; may this event start a conversation. Empty: all may.
    pub start_expression: String,
    /// CEL → string or int; empty: the source's default.
    pub thread_key_expression: String,
    /// What a run is told.
    pub action: Action,
    /// Where a run works.
    pub workspace: Workspace,
    /// Which agent, and how.
    pub agent: AgentOptions,
    /// Limits of one run, all its attempts and its compaction together.
    pub run_limits: RunLimits,
    /// Limits over runs.
    pub caps: Caps,
    /// What happens while the thread is busy; none: the source's default.
    pub busy: Option<BusyPolicy>,
    /// What happens after an interruption.
    pub retry: RetryPolicy,
}

/// What is shown of a stored secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// Its last four characters.
    pub hint: String,
    /// When it was stored.
    pub create_time: UnixMicros,
    /// When it stops counting; none: never.
    pub expire_time: Option<UnixMicros>,
    /// When a delivery last matched it (kept to the minute).
    pub last_match_time: Option<UnixMicros>,
}

text_enum! {
    /// The hash of a generic HMAC sender.
    HmacAlgorithm {
        /// HMAC-SHA1, for legacy senders.
        Sha1 = "sha1",
        /// HMAC-SHA256.
        Sha256 = "sha256",
        /// HMAC-SHA512.
        Sha512 = "sha512",
    }
}

text_enum! {
    /// How a generic HMAC sender writes the signature.
    HmacEncoding {
        /// Hexadecimal, either case.
        Hex = "hex",
        /// Standard base64.
        Base64 = "base64",
    }
}

/// How a generic sender signs. An empty text takes the default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacProfile {
    /// The header that carries the signature; default `x-signature`.
    pub header: String,
    /// The hash.
    pub algorithm: HmacAlgorithm,
    /// How the signature is written.
    pub encoding: HmacEncoding,
    /// What stands before the signature, such as `sha256=`; may be absent in a request.
    pub prefix: String,
    /// What is signed, from `{body}`, `{timestamp}` and `{id}`; default `{body}`.
    pub signed_template: String,
    /// The header with the sender's Unix time in seconds; empty: none.
    pub timestamp_header: String,
    /// How far that time may be off; 0 with no timestamp header.
    pub tolerance: Duration,
    /// The header with the sender's delivery id; empty: none.
    pub id_header: String,
}

/// Whose events may start anything. Logins compare without case, ids exactly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuthorRule {
    /// When not empty, only these logins or ids.
    pub allow: Vec<String>,
    /// Never these logins or ids.
    pub deny: Vec<String>,
    /// Bots that may; all other bots are refused.
    pub allowed_bots: Vec<String>,
    /// Our own identities: their events are `self_authored` and start nothing.
    pub own_identities: Vec<String>,
}

/// What a run is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A template of our own.
    Prompt {
        /// The first prompt of a conversation (minijinja).
        template: String,
        /// Later prompts; none: a built-in one that gives the new event only.
        follow_up_template: Option<String>,
    },
    /// A skill of the server's skills directory, expanded by us.
    Skill {
        /// Its directory's name.
        name: String,
        /// Template of its arguments.
        arguments: String,
        /// Later prompts' arguments; none: the built-in follow-up.
        follow_up_arguments: Option<String>,
    },
}

/// Where a run works.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Workspace {
    /// An empty directory, kept per session.
    #[default]
    Scratch,
    /// A directory that the server's config names.
    Named(String),
}

impl Workspace {
    /// Its kind, as a session's fingerprint has it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Scratch => "scratch",
            Self::Named(_) => "named",
        }
    }
}

/// Which agent, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentOptions {
    /// Which CLI.
    pub cli: AgentCli,
    /// An entry of the server's profiles; none: the settings' default.
    pub profile: Option<String>,
}

/// A closed set: one branch per agent CLI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentCli {
    /// Claude Code.
    Claude(ClaudeOptions),
}

impl Default for AgentCli {
    fn default() -> Self {
        Self::Claude(ClaudeOptions::default())
    }
}

impl AgentCli {
    /// The stable name of this CLI.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Claude(_) => "claude",
        }
    }
}

/// Options of Claude Code.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaudeOptions {
    /// Full model name; none: the settings' default.
    pub model: Option<String>,
    /// `low`, `medium`, `high` or `max`; none: the CLI's default.
    pub effort: Option<String>,
}

/// Limits of one run. None: the settings' default; 0 where it is a number: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RunLimits {
    /// Agent rounds.
    pub max_turns: Option<i32>,
    /// Dollars.
    pub max_cost: Option<NanoUsd>,
    /// Wall time.
    pub timeout: Option<Duration>,
    /// Time without any output.
    pub silence_timeout: Option<Duration>,
}

/// Limits over runs. At a cap runs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Runs of this trigger at once; none: only the global cap.
    pub concurrent_runs: Option<i32>,
    /// The loop breaker: runs of one session that may start within an hour. 0: no breaker.
    pub runs_per_session_per_hour: i32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { concurrent_runs: None, runs_per_session_per_hour: 20 }
    }
}

/// What happens to a delivery whose thread has a queued or live run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BusyPolicy {
    /// It waits its turn as a run of its own.
    Queue,
    /// It joins the run that waits, if one does; a new run waits for quiet first.
    Coalesce {
        /// A run starts when nothing came for this long.
        quiet_period: Duration,
        /// But never later than this after its first delivery.
        max_wait: Duration,
        /// And at once when it holds this many deliveries.
        max_batch: i32,
    },
    /// It is dropped with a reason.
    Drop,
}

impl BusyPolicy {
    /// What a source's triggers do when they do not say: chatty providers merge a burst into one run.
    #[must_use]
    pub const fn default_for(source: Source) -> Self {
        match source {
            Source::Github | Source::Linear | Source::Clickup => {
                Self::Coalesce { quiet_period: Duration::from_secs(3), max_wait: Duration::from_secs(30), max_batch: 50 }
            }
            Source::Manual | Source::StandardWebhooks | Source::GenericHmac => Self::Queue,
        }
    }
}

text_enum! {
    /// What happens to a run that was live when its server died.
    OnInterrupt {
        /// It continues its conversation where that stands.
        Resume = "resume",
        /// It starts again with the same prompt, in a new conversation.
        Restart = "restart",
        /// It fails.
        Never = "never",
    }
}

/// What happens after an interruption; a run that failed by itself is never retried by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What to do.
    pub on_interrupt: OnInterrupt,
    /// Attempts in all, 1 to 10.
    pub max_attempts: i32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { on_interrupt: OnInterrupt::Resume, max_attempts: 3 }
    }
}

/// Which triggers a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggerFilter {
    /// Only this source.
    pub source: Option<Source>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
}
