//! Why a run failed: a closed set, each with what a person can do about it.

use crate::domain::text_enum::text_enum;

text_enum! {
    /// Why a run failed.
    FailureReason {
        /// The CLI's executable is not there.
        AgentMissing = "agent_missing",
        /// The CLI is a version that does not know our flags.
        AgentUnsupported = "agent_unsupported",
        /// The CLI has no credential.
        AgentNotLoggedIn = "agent_not_logged_in",
        /// The CLI refused to start.
        AgentStartFailed = "agent_start_failed",
        /// The CLI died without a result.
        AgentCrashed = "agent_crashed",
        /// The CLI ended without a result that can be read.
        AgentOutputInvalid = "agent_output_invalid",
        /// The CLI says it failed.
        AgentError = "agent_error",
        /// The model's API answered with an error.
        ModelError = "model_error",
        /// The model's API could not be reached.
        ModelUnreachable = "model_unreachable",
        /// The model's API is overloaded or limits our rate.
        ModelOverloaded = "model_overloaded",
        /// The model refused.
        ModelRefused = "model_refused",
        /// The model's name is not known.
        ModelUnknown = "model_unknown",
        /// It reached the limit of agent rounds.
        MaxTurns = "max_turns",
        /// It reached the limit of dollars.
        MaxCost = "max_cost",
        /// It reached the limit of wall time.
        TimedOut = "timed_out",
        /// It said nothing for too long.
        Silent = "silent",
        /// It wrote more than is kept.
        OutputLimit = "output_limit",
        /// The conversation to continue was lost, and continuing was demanded.
        SessionLost = "session_lost",
        /// The prompt could not be made.
        PromptFailed = "prompt_failed",
        /// The prompt is larger than the agent takes.
        PromptTooLarge = "prompt_too_large",
        /// The workspace could not be made ready.
        WorkspaceFailed = "workspace_failed",
        /// The agent runs under other rules than it was told.
        PolicyMismatch = "policy_mismatch",
        /// The server died under it, and its policy is not to go on.
        WorkerLost = "worker_lost",
        /// The server died under it too often.
        Poisoned = "poisoned",
        /// A fault of ours.
        Internal = "internal",
    }
}

impl FailureReason {
    /// What a person can do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AgentMissing => "install Claude Code and set `agent.claude.command` to its path; `reprise doctor` shows what is found",
            Self::AgentUnsupported => "install the supported version of Claude Code; `reprise doctor` names it",
            Self::AgentNotLoggedIn => "set `ANTHROPIC_API_KEY` or `CLAUDE_CODE_OAUTH_TOKEN` under `[agent.claude.env]` and restart",
            Self::AgentStartFailed => "see the entries of kind stderr in the run's journal; `reprise doctor` checks the CLI",
            Self::AgentCrashed => "see the last entries of the run's journal; retry the run when the cause is gone",
            Self::AgentOutputInvalid => "check that `agent.claude.command` is Claude Code; see the raw lines in the run's journal",
            Self::AgentError => "see the run's journal for the agent's own words; retry the run when the cause is gone",
            Self::ModelError => "see the status and text of the failure; retry the run when the cause is gone",
            Self::ModelUnreachable => "check the network and `ANTHROPIC_BASE_URL`, then retry the run",
            Self::ModelOverloaded => "retry the run later; `agent.claude.max_retries` sets how long a run keeps trying by itself",
            Self::ModelRefused => "change the prompt; a retry gives the same text to the model",
            Self::ModelUnknown => "correct the trigger's or the settings' model name",
            Self::MaxTurns => "raise `run_limits.max_turns` of the trigger, then retry the run: it continues",
            Self::MaxCost => "raise `run_limits.max_cost_usd` of the trigger, then retry the run: it continues",
            Self::TimedOut => "raise `run_limits.timeout` of the trigger, then retry the run: it continues",
            Self::Silent => "see what it last did in the journal; raise `run_limits.silence_timeout` if that may take so long",
            Self::OutputLimit => "have the agent write large results to files",
            Self::SessionLost => "retry the run with a fresh conversation",
            Self::PromptFailed => "correct the trigger's template; the message names the line",
            Self::PromptTooLarge => "shorten the template or the merged events; large payloads belong into files",
            Self::WorkspaceFailed => "check the directory that the message names: it must exist and be writable",
            Self::PolicyMismatch => "the agent did not accept the profile's rules; check the profile in the server's config",
            Self::WorkerLost => "retry the run, or set the trigger's `on_interrupt` to resume",
            Self::Poisoned => "the server died under this run several times; look at its last entries before a retry",
            Self::Internal => "see the server's log for this run's id",
        }
    }

    /// Whether the same run may well work later without a change.
    #[must_use]
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::AgentCrashed
                | Self::ModelError
                | Self::ModelUnreachable
                | Self::ModelOverloaded
                | Self::TimedOut
                | Self::Silent
                | Self::WorkspaceFailed
                | Self::WorkerLost
                | Self::Internal
        )
    }
}

/// Why a run failed, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The cause.
    pub reason: FailureReason,
    /// What happened.
    pub message: String,
    /// The status of the model's API, where one is told.
    pub api_status: Option<i32>,
}

impl Failure {
    /// A failure without an API status.
    #[must_use]
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), api_status: None }
    }
}
