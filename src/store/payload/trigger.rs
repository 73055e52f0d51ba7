//! What a caller may set of a trigger, as stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{from_json, to_json, word};
use crate::domain::{
    Action, AgentCli, AgentOptions, AuthorRule, BusyPolicy, Caps, ClaudeOptions, HmacProfile, NanoUsd, Result, RetryPolicy, RunLimits,
    TriggerSpec, Workspace,
};

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Shape {
    display_name: String,
    resume_sessions: bool,
    hmac: Option<HmacShape>,
    author_rule: AuthorShape,
    filter_expression: String,
    start_expression: String,
    thread_key_expression: String,
    action: ActionShape,
    /// A named directory; absent: scratch.
    workspace: Option<String>,
    agent: AgentShape,
    run_limits: LimitsShape,
    caps: CapsShape,
    busy: Option<BusyShape>,
    retry: RetryShape,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct HmacShape {
    header: String,
    algorithm: String,
    encoding: String,
    prefix: String,
    signed_template: String,
    timestamp_header: String,
    tolerance_ms: u64,
    id_header: String,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct AuthorShape {
    allow: Vec<String>,
    deny: Vec<String>,
    allowed_bots: Vec<String>,
    own_identities: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionShape {
    Prompt { template: String, follow_up_template: Option<String> },
    Skill { name: String, arguments: String, follow_up_arguments: Option<String> },
}

impl Default for ActionShape {
    fn default() -> Self {
        Self::Prompt { template: String::new(), follow_up_template: None }
    }
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct AgentShape {
    claude: ClaudeShape,
    profile: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct ClaudeShape {
    model: Option<String>,
    effort: Option<String>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct LimitsShape {
    max_turns: Option<i32>,
    max_cost_nano: Option<i64>,
    timeout_ms: Option<u64>,
    silence_timeout_ms: Option<u64>,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct CapsShape {
    concurrent_runs: Option<i32>,
    runs_per_session_per_hour: Option<i32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BusyShape {
    Queue,
    Coalesce { quiet_period_ms: u64, max_wait_ms: u64, max_batch: i32 },
    Drop,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct RetryShape {
    on_interrupt: Option<String>,
    max_attempts: Option<i32>,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn hmac_from(h: HmacShape) -> Result<HmacProfile> {
    Ok(HmacProfile {
        header: h.header,
        algorithm: word(&h.algorithm)?,
        encoding: word(&h.encoding)?,
        prefix: h.prefix,
        signed_template: h.signed_template,
        timestamp_header: h.timestamp_header,
        tolerance: Duration::from_millis(h.tolerance_ms),
        id_header: h.id_header,
    })
}

fn hmac_to(h: &HmacProfile) -> HmacShape {
    HmacShape {
        header: h.header.clone(),
        algorithm: h.algorithm.to_string(),
        encoding: h.encoding.to_string(),
        prefix: h.prefix.clone(),
        signed_template: h.signed_template.clone(),
        timestamp_header: h.timestamp_header.clone(),
        tolerance_ms: millis(h.tolerance),
        id_header: h.id_header.clone(),
    }
}

fn action_from(action: ActionShape) -> Action {
    match action {
        ActionShape::Prompt { template, follow_up_template } => Action::Prompt { template, follow_up_template },
        ActionShape::Skill { name, arguments, follow_up_arguments } => Action::Skill { name, arguments, follow_up_arguments },
    }
}

fn action_to(action: &Action) -> ActionShape {
    match action.clone() {
        Action::Prompt { template, follow_up_template } => ActionShape::Prompt { template, follow_up_template },
        Action::Skill { name, arguments, follow_up_arguments } => ActionShape::Skill { name, arguments, follow_up_arguments },
    }
}

fn busy_from(busy: &BusyShape) -> BusyPolicy {
    match *busy {
        BusyShape::Queue => BusyPolicy::Queue,
        BusyShape::Drop => BusyPolicy::Drop,
        BusyShape::Coalesce { quiet_period_ms, max_wait_ms, max_batch } => BusyPolicy::Coalesce {
            quiet_period: Duration::from_millis(quiet_period_ms),
            max_wait: Duration::from_millis(max_wait_ms),
            max_batch,
        },
    }
}

fn busy_to(busy: BusyPolicy) -> BusyShape {
    match busy {
        BusyPolicy::Queue => BusyShape::Queue,
        BusyPolicy::Drop => BusyShape::Drop,
        BusyPolicy::Coalesce { quiet_period, max_wait, max_batch } => {
            BusyShape::Coalesce { quiet_period_ms: millis(quiet_period), max_wait_ms: millis(max_wait), max_batch }
        }
    }
}

/// What a caller set, from what is stored; `enabled` is a column of its own.
pub(crate) fn spec_from(text: &str, enabled: bool) -> Result<TriggerSpec> {
    let s: Shape = from_json(text)?;
    let (caps, retry) = (Caps::default(), RetryPolicy::default());
    Ok(TriggerSpec {
        display_name: s.display_name,
        enabled,
        resume_sessions: s.resume_sessions,
        hmac: s.hmac.map(hmac_from).transpose()?,
        author_rule: AuthorRule {
            allow: s.author_rule.allow,
            deny: s.author_rule.deny,
            allowed_bots: s.author_rule.allowed_bots,
            own_identities: s.author_rule.own_identities,
        },
        filter_expression: s.filter_expression,
        start_expression: s.start_expression,
        thread_key_expression: s.thread_key_expression,
        action: action_from(s.action),
        workspace: s.workspace.map_or(Workspace::Scratch, Workspace::Named),
        agent: AgentOptions {
            cli: AgentCli::Claude(ClaudeOptions { model: s.agent.claude.model, effort: s.agent.claude.effort }),
            profile: s.agent.profile,
        },
        run_limits: RunLimits {
            max_turns: s.run_limits.max_turns,
            max_cost: s.run_limits.max_cost_nano.map(NanoUsd),
            timeout: s.run_limits.timeout_ms.map(Duration::from_millis),
            silence_timeout: s.run_limits.silence_timeout_ms.map(Duration::from_millis),
        },
        caps: Caps {
            concurrent_runs: s.caps.concurrent_runs,
            runs_per_session_per_hour: s.caps.runs_per_session_per_hour.unwrap_or(caps.runs_per_session_per_hour),
        },
        busy: s.busy.as_ref().map(busy_from),
        retry: RetryPolicy {
            on_interrupt: s.retry.on_interrupt.as_deref().map_or(Ok(retry.on_interrupt), word)?,
            max_attempts: s.retry.max_attempts.unwrap_or(retry.max_attempts),
        },
    })
}

/// As stored.
pub(crate) fn spec_to(spec: &TriggerSpec) -> String {
    let AgentCli::Claude(claude) = &spec.agent.cli;
    let rule = spec.author_rule.clone();
    to_json(&Shape {
        display_name: spec.display_name.clone(),
        resume_sessions: spec.resume_sessions,
        hmac: spec.hmac.as_ref().map(hmac_to),
        author_rule: AuthorShape {
            allow: rule.allow,
            deny: rule.deny,
            allowed_bots: rule.allowed_bots,
            own_identities: rule.own_identities,
        },
        filter_expression: spec.filter_expression.clone(),
        start_expression: spec.start_expression.clone(),
        thread_key_expression: spec.thread_key_expression.clone(),
        action: action_to(&spec.action),
        workspace: match &spec.workspace {
            Workspace::Scratch => None,
            Workspace::Named(name) => Some(name.clone()),
        },
        agent: AgentShape {
            claude: ClaudeShape { model: claude.model.clone(), effort: claude.effort.clone() },
            profile: spec.agent.profile.clone(),
        },
        run_limits: LimitsShape {
            max_turns: spec.run_limits.max_turns,
            max_cost_nano: spec.run_limits.max_cost.map(|cost| cost.0),
            timeout_ms: spec.run_limits.timeout.map(millis),
            silence_timeout_ms: spec.run_limits.silence_timeout.map(millis),
        },
        caps: CapsShape {
            concurrent_runs: spec.caps.concurrent_runs,
            runs_per_session_per_hour: Some(spec.caps.runs_per_session_per_hour),
        },
        busy: spec.busy.map(busy_to),
        retry: RetryShape { on_interrupt: Some(spec.retry.on_interrupt.to_string()), max_attempts: Some(spec.retry.max_attempts) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{HmacAlgorithm, HmacEncoding, OnInterrupt, Source};

    #[test]
    fn a_spec_reads_back() {
        let mut spec = spec_from("", true).expect("reads");
        assert_eq!((spec.caps, spec.retry, spec.busy), (Caps::default(), RetryPolicy::default(), None));
        spec.hmac = Some(HmacProfile {
            header: "x-sig".to_owned(),
            algorithm: HmacAlgorithm::Sha512,
            encoding: HmacEncoding::Base64,
            prefix: "v=".to_owned(),
            signed_template: "{body}".to_owned(),
            timestamp_header: String::new(),
            tolerance: Duration::from_secs(5),
            id_header: "x-id".to_owned(),
        });
        spec.action =
            Action::Skill { name: "greet".to_owned(), arguments: "{{ event.text }}".to_owned(), follow_up_arguments: Some(String::new()) };
        spec.workspace = Workspace::Named("repo".to_owned());
        spec.busy = Some(BusyPolicy::default_for(Source::Github));
        spec.retry = RetryPolicy { on_interrupt: OnInterrupt::Never, max_attempts: 1 };
        spec.run_limits.max_cost = Some(NanoUsd(0));
        assert_eq!(spec_from(&spec_to(&spec), true).expect("reads"), spec);
    }
}
