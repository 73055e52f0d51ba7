//! Values for tests.

use super::{
    Action, AgentOptions, AuthorRule, Caps, RetryPolicy, RunLimits, Source, Trigger, TriggerId, TriggerSpec, UnixMicros, Workspace,
};

/// An enabled trigger that continues sessions, with this prompt and nothing else that is not the default.
pub(crate) fn trigger(source: Source, template: &str) -> Trigger {
    let now = UnixMicros::now();
    let spec = TriggerSpec {
        display_name: String::new(),
        enabled: true,
        resume_sessions: true,
        hmac: None,
        author_rule: AuthorRule::default(),
        filter_expression: String::new(),
        start_expression: String::new(),
        thread_key_expression: String::new(),
        action: Action::Prompt { template: template.to_owned(), follow_up_template: None },
        workspace: Workspace::Scratch,
        agent: AgentOptions::default(),
        run_limits: RunLimits::default(),
        caps: Caps::default(),
        busy: None,
        retry: RetryPolicy::default(),
    };
    let (id, slug, hook_token) = (TriggerId::new(), "reviews".to_owned(), "0123456789abcdef0123456789abcdef".to_owned());
    Trigger { id, slug, source, hook_token, secrets: Vec::new(), spec, version: 1, create_time: now, update_time: now }
}
