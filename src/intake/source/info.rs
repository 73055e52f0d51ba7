//! What people may know of each source: how to set it up, what it sends, and samples of it.

use crate::domain::Source;

/// What a caller may know of a source.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    /// Which source.
    pub source: Source,
    /// Name for people.
    pub title: &'static str,
    /// What to do at the sender, in order.
    pub setup_steps: &'static [&'static str],
    /// The sender issues the signing secret.
    pub needs_provider_secret: bool,
    /// The default thread key in words; empty: none.
    pub thread_key_help: &'static str,
    /// Kinds it is known to send.
    pub event_kinds: &'static [&'static str],
    /// Built-in payloads to try a trigger with.
    pub samples: &'static [Sample],
}

/// A built-in sample payload.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// What a caller asks for.
    pub name: &'static str,
    /// As the provider would send them, without a signature.
    pub headers: &'static [(&'static str, &'static str)],
    /// JSON.
    pub body: &'static str,
}

/// Every source.
#[must_use]
pub fn sources() -> &'static [SourceInfo] {
    SOURCES
}

impl SourceInfo {
    /// That of `source`.
    #[must_use]
    pub fn of(source: Source) -> &'static Self {
        SOURCES.iter().find(|info| info.source == source).unwrap_or(&SOURCES[0])
    }
}

macro_rules! sample {
    ($name:literal, $file:literal $(, $header:literal: $value:literal)*) => {
        Sample {
            name: $name,
            headers: &[("content-type", "application/json") $(, ($header, $value))*],
            body: include_str!(concat!("../samples/", $file, ".json")),
        }
    };
}

const PLAIN_THREAD: &str = "the body's `thread_key`, or `data.thread_key`, if it is a string or a whole number; else none";

static SOURCES: &[SourceInfo] = &[
    SourceInfo {
        source: Source::Manual,
        title: "By hand",
        setup_steps: &["Nothing to set up: fire it with `reprise trigger fire` or the rpc FireTrigger."],
        needs_provider_secret: false,
        thread_key_help: PLAIN_THREAD,
        event_kinds: &["message"],
        samples: &[sample!("message", "manual_message")],
    },
    SourceInfo {
        source: Source::Github,
        title: "GitHub",
        setup_steps: &[
            "Open your repository (or organisation) on GitHub: Settings → Webhooks → Add webhook.",
            "Payload URL: the trigger's webhook_url.",
            "Content type: application/json.",
            "Secret: the trigger's signing secret, which is shown once.",
            "SSL verification: leave it enabled.",
            "Events: \"Let me select individual events\", then Pull requests, Issue comments, Pull request reviews, Pull request review comments.",
            "Add webhook. GitHub sends a `ping`, which is answered and never runs.",
        ],
        needs_provider_secret: false,
        thread_key_help: "repository and number of the pull request, issue or discussion, such as `acme/shop#412`; for a push, repository and ref, such as `acme/shop@refs/heads/main`",
        event_kinds: &[
            "check_run",
            "check_suite",
            "discussion",
            "discussion_comment",
            "issue_comment",
            "issues",
            "ping",
            "pull_request",
            "pull_request_review",
            "pull_request_review_comment",
            "pull_request_review_thread",
            "push",
            "release",
            "workflow_job",
            "workflow_run",
        ],
        samples: &[
            sample!("pull_request", "github_pull_request", "x-github-event": "pull_request"),
            sample!("issue_comment", "github_issue_comment", "x-github-event": "issue_comment"),
            sample!("slow", "github_slow", "x-github-event": "issue_comment"),
        ],
    },
    SourceInfo {
        source: Source::Linear,
        title: "Linear",
        setup_steps: &[
            "Open Linear: Settings → API → Webhooks → New webhook.",
            "URL: the trigger's webhook_url. It must be reachable over https.",
            "Data change events: Issues, Comments.",
            "Create the webhook, then copy the signing secret that Linear shows.",
            "Give that secret to the trigger: `reprise trigger rotate-secret SLUG --secret-file FILE`.",
        ],
        needs_provider_secret: true,
        thread_key_help: "the id of the issue, also for comments on it and agent sessions about it",
        event_kinds: &[
            "AgentSessionEvent",
            "AppUserNotification",
            "Comment",
            "Issue",
            "IssueLabel",
            "Project",
            "ProjectUpdate",
            "Reaction",
        ],
        samples: &[
            sample!("issue", "linear_issue", "linear-event": "Issue"),
            sample!("comment", "linear_comment", "linear-event": "Comment"),
        ],
    },
    SourceInfo {
        source: Source::Clickup,
        title: "ClickUp",
        setup_steps: &[
            "Make the webhook by ClickUp's API, with a personal token: POST https://api.clickup.com/api/v2/team/TEAM_ID/webhook with {\"endpoint\": \"the trigger's webhook_url\", \"events\": [\"taskCreated\", \"taskCommentPosted\"]}.",
            "The answer holds `webhook.secret`. It is shown once.",
            "Give that secret to the trigger: `reprise trigger rotate-secret SLUG --secret-file FILE`.",
            "ClickUp marks no bots: name the user id of your agent's token in `author_rule.own_identities`, so that its own comments start nothing.",
        ],
        needs_provider_secret: true,
        thread_key_help: "the id of the task; for events of lists, folders, spaces and goals, theirs",
        event_kinds: &[
            "taskAssigneeUpdated",
            "taskCommentPosted",
            "taskCommentUpdated",
            "taskCreated",
            "taskDeleted",
            "taskDueDateUpdated",
            "taskMoved",
            "taskPriorityUpdated",
            "taskStatusUpdated",
            "taskTagUpdated",
            "taskTimeEstimateUpdated",
            "taskTimeTrackedUpdated",
            "taskUpdated",
        ],
        samples: &[sample!("task_created", "clickup_task_created"), sample!("task_comment", "clickup_task_comment")],
    },
    SourceInfo {
        source: Source::StandardWebhooks,
        title: "Standard Webhooks",
        setup_steps: &[
            "Add an endpoint at the sender. URL: the trigger's webhook_url.",
            "If the sender takes a secret, give it the trigger's (`whsec_…`, shown once); if it makes one, give that to the trigger: `reprise trigger rotate-secret SLUG --secret-file FILE`.",
            "The sender must sign with `v1` (HMAC-SHA256); its clock may be five minutes off.",
        ],
        needs_provider_secret: false,
        thread_key_help: PLAIN_THREAD,
        event_kinds: &[],
        samples: &[sample!("message", "standard_message", "webhook-id": "msg_sample")],
    },
    SourceInfo {
        source: Source::GenericHmac,
        title: "Any sender with an HMAC signature",
        setup_steps: &[
            "URL: the trigger's webhook_url. Method: POST, with a JSON object as body.",
            "Sign the body with the trigger's secret: HMAC-SHA256, hexadecimal, in the header `x-signature`. The trigger's `hmac` says so if the sender signs otherwise.",
            "Name the header with the sender's delivery id in `hmac.id_header`, if it has one, so that a repeat is known for good.",
        ],
        needs_provider_secret: false,
        thread_key_help: PLAIN_THREAD,
        event_kinds: &[],
        samples: &[sample!("message", "manual_message")],
    },
];
