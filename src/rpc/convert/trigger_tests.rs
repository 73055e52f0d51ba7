//! A trigger from the wire to the domain and back.

use super::super::{TRIGGER_FIXED, TriggerRef, etag, etag_version, is_slug, parse_spec, slug_and_source, trigger, trigger_ref};
use crate::domain::{Action, BusyPolicy, Source, Trigger, TriggerId, TriggerSpec, UnixMicros};
use crate::proto::v1::{self, busy_policy::Policy};
use crate::rpc::merge;

fn minimal() -> v1::Trigger {
    let prompt = v1::PromptAction { template: "Review it".to_owned(), follow_up_template: None };
    v1::Trigger { slug: "review".to_owned(), source: 2, action: Some(v1::trigger::Action::Prompt(prompt)), ..Default::default() }
}

fn stored(source: Source, spec: TriggerSpec) -> Trigger {
    Trigger {
        id: TriggerId::new(),
        slug: "review".to_owned(),
        source,
        hook_token: "tok".to_owned(),
        secrets: vec![],
        spec,
        version: 3,
        create_time: UnixMicros(1),
        update_time: UnixMicros(2),
    }
}

fn problems(source: Source, given: &v1::Trigger) -> Vec<String> {
    parse_spec(source, given, false).expect_err("wrong").fields().into_iter().map(|f| f.field).collect()
}

#[test]
fn a_minimal_trigger_takes_the_defaults() {
    let spec = parse_spec(Source::Github, &minimal(), true).expect("valid");
    assert!(spec.enabled && spec.resume_sessions && spec.busy.is_none() && spec.hmac.is_none());
    assert_eq!((spec.caps.concurrent_runs, spec.caps.runs_per_session_per_hour, spec.retry.max_attempts), (None, 20, 3));
}

#[test]
fn a_stored_trigger_reads_back_from_the_wire_as_it_was() {
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let coalesce = v1::CoalescePolicy { quiet_period: span(5), max_wait: None, max_batch: Some(7) };
    let given = v1::Trigger {
        enabled: Some(false),
        resume_sessions: Some(true),
        hmac: Some(v1::HmacProfile {
            signed_template: Some("{timestamp}.{body}".to_owned()),
            timestamp_header: Some("X-Time".to_owned()),
            ..Default::default()
        }),
        author_rule: Some(v1::AuthorRule { deny: vec!["bob".to_owned()], ..Default::default() }),
        filter_expression: Some("true".to_owned()),
        workspace: Some(v1::Workspace { kind: Some(v1::workspace::Kind::Named(v1::NamedWorkspace { name: "site".to_owned() })) }),
        run_limits: Some(v1::RunLimits { max_cost_usd: Some(0.0), timeout: span(60), ..Default::default() }),
        busy: Some(v1::BusyPolicy { policy: Some(Policy::Coalesce(coalesce)) }),
        ..minimal()
    };
    let spec = parse_spec(Source::GenericHmac, &given, false).expect("valid");
    assert_eq!(spec.hmac.as_ref().map(|hmac| (hmac.timestamp_header.as_str(), hmac.tolerance.as_secs())), Some(("x-time", 300)));
    assert!(matches!(spec.busy, Some(BusyPolicy::Coalesce { max_batch: 7, max_wait, .. }) if max_wait.as_secs() == 30));
    let wire = trigger(&stored(Source::GenericHmac, spec.clone()), "https://x.example/");
    assert_eq!(wire.webhook_url, "https://x.example/hooks/review/tok");
    assert_eq!(parse_spec(Source::GenericHmac, &wire, true).expect("valid"), spec);
}

#[test]
fn an_update_of_one_field_leaves_the_rest() {
    let spec = parse_spec(Source::Github, &minimal(), true).expect("valid");
    let present = trigger(&stored(Source::Github, spec.clone()), "");
    let change = v1::Trigger { id: "x".to_owned(), enabled: Some(false), ..Default::default() };
    let merged = merge("Trigger", &TRIGGER_FIXED, &present, &change, None).expect("merged");
    assert_eq!(parse_spec(Source::Github, &merged, true).expect("valid"), TriggerSpec { enabled: false, ..spec });
    let mask = prost_types::FieldMask { paths: vec!["caps".to_owned(), "prompt".to_owned()] };
    let cleared = merge("Trigger", &TRIGGER_FIXED, &present, &v1::Trigger::default(), Some(&mask)).expect("merged");
    assert_eq!(problems(Source::Github, &cleared), ["trigger.prompt"]);
}

#[test]
fn every_wrong_field_is_named() {
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let given = v1::Trigger {
        hmac: Some(v1::HmacProfile::default()),
        busy: Some(v1::BusyPolicy { policy: Some(Policy::Drop(v1::DropPolicy {})) }),
        filter_expression: Some("x".repeat(5000)),
        agent: Some(v1::AgentOptions {
            cli: Some(v1::agent_options::Cli::Claude(v1::ClaudeOptions { model: Some("--evil".to_owned()), effort: None })),
            profile: None,
        }),
        run_limits: Some(v1::RunLimits { max_turns: Some(-1), max_cost_usd: Some(f64::NAN), timeout: span(0), silence_timeout: span(-5) }),
        caps: Some(v1::Caps { concurrent_runs: Some(-1), ..Default::default() }),
        retry: Some(v1::RetryPolicy { on_interrupt: Some(9), max_attempts: Some(11) }),
        action: Some(v1::trigger::Action::Skill(v1::SkillAction { name: "../x".to_owned(), ..Default::default() })),
        ..minimal()
    };
    let mut named = problems(Source::Github, &given);
    named.sort();
    assert_eq!(
        named,
        [
            "trigger.agent.claude.model",
            "trigger.busy",
            "trigger.caps.concurrent_runs",
            "trigger.filter_expression",
            "trigger.hmac",
            "trigger.retry.max_attempts",
            "trigger.retry.on_interrupt",
            "trigger.run_limits.max_cost_usd",
            "trigger.run_limits.max_turns",
            "trigger.run_limits.silence_timeout",
            "trigger.run_limits.timeout",
            "trigger.skill.name",
        ]
    );
}

#[test]
fn a_template_may_be_large_but_not_larger() {
    let with = |length: usize| {
        let prompt = v1::PromptAction { template: "x".repeat(length), follow_up_template: None };
        parse_spec(Source::Github, &v1::Trigger { action: Some(v1::trigger::Action::Prompt(prompt)), ..minimal() }, false)
    };
    assert!(matches!(with(256 * 1024).expect("valid").action, Action::Prompt { .. }));
    assert_eq!(with(256 * 1024 + 1).expect_err("too large").fields()[0].field, "trigger.prompt.template");
}

#[test]
fn slugs_and_references_are_told_apart() {
    for (text, good) in
        [("a", true), ("review-7", true), ("-a", false), ("A", false), ("a_b", false), ("", false), (&"a".repeat(49), false)]
    {
        assert_eq!(is_slug(text), good, "{text}");
    }
    let id = TriggerId::new();
    assert_eq!(trigger_ref("trigger_id", &id.to_string()).expect("id"), TriggerRef::Id(id));
    assert_eq!(trigger_ref("trigger_id", "review").expect("slug"), TriggerRef::Slug("review".to_owned()));
    assert!(trigger_ref("trigger_id", "").is_err() && trigger_ref("trigger_id", "Ünder").is_err());
    let error = slug_and_source(&v1::Trigger::default()).expect_err("wrong");
    assert_eq!(error.fields().iter().map(|f| f.field.clone()).collect::<Vec<_>>(), ["trigger.slug", "trigger.source"]);
}

#[test]
fn an_etag_that_is_not_ours_matches_nothing() {
    assert_eq!((etag_version(""), etag_version(&etag(7)), etag_version("junk")), (None, Some(7), Some(-1)));
}
