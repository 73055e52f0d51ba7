//! What becomes of a webhook before it is stored.

use std::time::Duration;

use serde_json::json;

use super::super::tests::{NOW, SECRET, comment, github, headers, trigger};
use super::*;
use crate::domain::{BusyPolicy, TriggerSpec};
use crate::queue::{RunRequest, RunThread};

fn take(change: impl FnOnce(&mut TriggerSpec), inbound: Inbound) -> Examined {
    examine(Some(&Hook::of(trigger(Source::Github, change), &[(SecretId::new(), SECRET, None)])), inbound)
}

pub(super) fn delivery(change: impl FnOnce(&mut TriggerSpec), inbound: Inbound) -> NewDelivery {
    match take(change, inbound) {
        Examined::Judged(delivery, _) => *delivery,
        Examined::Refused(refusal, _) => panic!("{refusal:?}"),
    }
}

pub(super) fn run(delivery: &NewDelivery) -> &RunRequest {
    match &delivery.disposition {
        Disposition::Run(request) => request,
        stop => panic!("{stop:?}"),
    }
}

pub(super) fn stopped(delivery: &NewDelivery) -> (DeliveryOutcome, DeliveryReason) {
    match &delivery.disposition {
        Disposition::Stop { outcome, reason, message } => {
            assert!(!message.is_empty());
            (*outcome, *reason)
        }
        run => panic!("{run:?}"),
    }
}

pub(super) fn by(login: &str, id: i64, kind: &str) -> Json {
    let mut payload = comment();
    payload["sender"] = json!({ "login": login, "id": id, "type": kind });
    payload
}

#[test]
fn a_signed_comment_asks_for_a_turn_in_its_thread() {
    let inbound = github("issue_comment", "guid-1", &comment());
    let body = inbound.body.clone();
    let delivery = delivery(|_| {}, inbound);
    let request = run(&delivery);
    assert_eq!(request.thread, RunThread::Key("acme/shop#412".into()));
    assert!(matches!(request.busy, BusyPolicy::Coalesce { .. }) && request.may_start);
    assert_eq!((request.requested_by.kind, request.requested_by.display_name.as_str()), (RequesterKind::Sender, "maria"));
    assert_eq!((request.runs_per_session_per_hour, request.session_mode), (20, SessionMode::Default));
    assert_eq!((delivery.provider_delivery_id.as_str(), delivery.thread_key.as_deref()), ("guid-1", Some("acme/shop#412")));
    assert_eq!(delivery.dedupe.expect("a key").window, None);
    assert_eq!(zstd::decode_all(delivery.body_zstd.as_deref().expect("kept")).expect("zstd"), body);
    assert_eq!((delivery.body_bytes, delivery.receive_time), (i64::try_from(body.len()).expect("small"), NOW));
    let kept = |name: &str| delivery.headers.iter().find(|header| header.name == name).map(|header| header.value.clone());
    assert_eq!(kept("authorization").as_deref(), Some(REDACTED));
    assert_eq!(kept("x-github-event").as_deref(), Some(&b"issue_comment"[..]));
}

#[test]
fn the_senders_id_makes_a_delivery_the_same_and_without_one_its_body() {
    let key = |delivery: &str, payload: &Json| self::delivery(|_| {}, github("issue_comment", delivery, payload)).dedupe.expect("a key");
    let other = by("john", 3, "User");
    assert_eq!(key("a", &comment()), key("a", &other), "the id counts, not the body");
    assert_ne!(key("a", &comment()), key("b", &comment()));
    assert_eq!(key("", &comment()), key("", &comment()));
    assert_ne!(key("", &comment()).key, key("", &other).key);
    assert_eq!(key("", &comment()).window, Some(Duration::from_secs(600)));
    let body = comment().to_string();
    assert_ne!(key("", &comment()).key, key(&body, &comment()).key, "an id that looks like a body is none");
}

#[test]
fn a_hello_is_answered_and_never_runs() {
    let delivery = delivery(|_| {}, github("ping", "guid-1", &json!({ "zen": "Anything added dilutes everything else.", "hook_id": 7 })));
    assert_eq!(stopped(&delivery), (DeliveryOutcome::Handshake, DeliveryReason::EventNeverRuns));
    assert_eq!(delivery.dedupe, None);
}

#[test]
fn authors_are_judged_in_their_order() {
    type Names = &'static [&'static str];
    let ask = |payload: &Json, [own, deny, bots, allow]: [Names; 4]| {
        let names = |list: Names| list.iter().map(|name| (*name).to_owned()).collect();
        let rule = |spec: &mut TriggerSpec| {
            spec.author_rule.own_identities = names(own);
            spec.author_rule.deny = names(deny);
            spec.author_rule.allowed_bots = names(bots);
            spec.author_rule.allow = names(allow);
        };
        let delivery = delivery(rule, github("issue_comment", "x", payload));
        matches!(delivery.disposition, Disposition::Stop { .. }).then(|| stopped(&delivery))
    };
    let own = Some((DeliveryOutcome::SelfAuthored, DeliveryReason::AuthorIsSelf));
    let not_allowed = Some((DeliveryOutcome::Filtered, DeliveryReason::AuthorNotAllowed));
    let bot = Some((DeliveryOutcome::Filtered, DeliveryReason::AuthorIsBot));
    let (maria, robot) = (by("maria", 42, "User"), by("tidy[bot]", 43, "Bot"));
    for (payload, rule, expected) in [
        (&maria, [&[], &[], &[], &[]] as [Names; 4], None),
        (&maria, [&["MARIA"], &["maria"], &[], &[]], own),
        (&maria, [&["42"], &[], &[], &["maria"]], own),
        (&maria, [&["4"], &[], &[], &[]], None),
        (&maria, [&[], &["Maria"], &[], &["maria"]], not_allowed),
        (&maria, [&[], &[], &[], &["john"]], not_allowed),
        (&maria, [&[], &[], &[], &["john", "42"]], None),
        (&robot, [&[], &[], &[], &[]], bot),
        (&robot, [&[], &[], &["maria"], &["tidy[bot]"]], bot),
        (&robot, [&[], &[], &["Tidy[bot]"], &[]], None),
        (&robot, [&["43"], &[], &["tidy[bot]"], &[]], own),
        (&by("", 0, "User"), [&[""], &[""], &[], &[]], None),
    ] {
        assert_eq!(ask(payload, rule), expected, "{} {rule:?}", payload["sender"]);
    }
    let mut nobody = comment();
    nobody.as_object_mut().expect("an object").remove("sender");
    assert_eq!(ask(&nobody, [&[], &[], &[], &["maria"]]), not_allowed);
    assert_eq!(ask(&nobody, [&["maria"], &[], &[], &[]]), None);
}

#[test]
fn rules_stop_an_event_with_their_reason() {
    use DeliveryOutcome::{Dropped, Filtered, Rejected};
    use DeliveryReason::{AuthorNotAllowed, FilterFailed, FilterFalse, StartFalse, ThreadKeyFailed, TriggerDisabled};
    type Change = fn(&mut TriggerSpec);
    let cases: [(Change, DeliveryOutcome, DeliveryReason); 10] = [
        (|spec| spec.enabled = false, Dropped, TriggerDisabled),
        (|spec| (spec.enabled, spec.author_rule.deny) = (false, vec!["maria".into()]), Filtered, AuthorNotAllowed),
        (|spec| spec.filter_expression = "event.action == 'edited'".into(), Filtered, FilterFalse),
        (|spec| spec.filter_expression = "payload.nothing.here == 1".into(), Rejected, FilterFailed),
        (|spec| spec.filter_expression = "payload.issue.number".into(), Rejected, FilterFailed),
        (|spec| spec.start_expression = "payload.nothing".into(), Rejected, FilterFailed),
        (|spec| (spec.start_expression, spec.thread_key_expression) = ("false".into(), "''".into()), Filtered, StartFalse),
        (|spec| (spec.start_expression, spec.resume_sessions) = ("false".into(), false), Filtered, StartFalse),
        (|spec| spec.thread_key_expression = "payload.nothing".into(), Rejected, ThreadKeyFailed),
        (|spec| spec.filter_expression = "not CEL at all".into(), Rejected, FilterFailed),
    ];
    for (n, (change, outcome, reason)) in cases.into_iter().enumerate() {
        let delivery = delivery(change, github("issue_comment", "x", &comment()));
        assert_eq!(stopped(&delivery), (outcome, reason), "case {n}");
        assert!(delivery.dedupe.is_some() && delivery.body_zstd.is_some(), "kept, so that a repeat is judged by what became of it");
        assert_eq!(delivery.thread_key.as_deref(), Some("acme/shop#412"), "shown");
    }
    let mut long = comment();
    long["long"] = "x".repeat(1025).into();
    let key = |spec: &mut TriggerSpec| spec.thread_key_expression = "payload.long".into();
    assert_eq!(stopped(&delivery(key, github("issue_comment", "x", &long))), (Rejected, ThreadKeyFailed));
}

#[test]
fn rules_that_pass_say_how_the_run_begins() {
    let ask = |change: fn(&mut TriggerSpec)| {
        let delivery = delivery(change, github("issue_comment", "x", &comment()));
        let request = run(&delivery);
        (request.thread.clone(), request.may_start, request.busy, delivery.thread_key.clone())
    };
    let default = BusyPolicy::default_for(Source::Github);
    let key = |text: &str| RunThread::Key(text.to_owned());
    assert_eq!(ask(|spec| spec.start_expression = "false".into()), (key("acme/shop#412"), false, default, Some("acme/shop#412".into())));
    assert_eq!(
        ask(|spec| spec.thread_key_expression = "string(payload.repository.id) + '/' + string(payload.issue.number)".into()),
        (key("1296269/412"), true, default, Some("1296269/412".into()))
    );
    assert_eq!(ask(|spec| spec.thread_key_expression = "null".into()), (RunThread::Once, true, BusyPolicy::Queue, None));
    assert_eq!(ask(|spec| spec.resume_sessions = false), (RunThread::Once, true, BusyPolicy::Queue, Some("acme/shop#412".into())));
    assert_eq!(ask(|spec| spec.busy = Some(BusyPolicy::Drop)).2, BusyPolicy::Drop);
}

#[test]
fn what_is_not_signed_or_not_ours_is_refused_before_it_is_read() {
    let reason = |examined| match examined {
        Examined::Refused(refusal, _) => refusal.reason,
        Examined::Judged(delivery, _) => panic!("{delivery:?}"),
    };
    assert_eq!(reason(examine(None, github("issue_comment", "x", &comment()))), DeliveryReason::HookUnknown);
    let mut unsigned = github("issue_comment", "x", &comment());
    unsigned.headers.retain(|header| header.name != "x-hub-signature-256");
    unsigned.body = "[".into();
    assert_eq!(reason(take(|_| {}, unsigned)), DeliveryReason::SignatureMissing);
    let mut changed = github("issue_comment", "x", &comment());
    changed.body = "{}".into();
    assert_eq!(reason(take(|_| {}, changed)), DeliveryReason::SignatureMismatch);
    let mut large = github("issue_comment", "x", &comment());
    large.body = vec![b' '; Intake::body_limit(Source::Github) + 1].into();
    assert_eq!(reason(take(|_| {}, large)), DeliveryReason::BodyTooLarge);

    let after = NOW.plus(Duration::from_secs(1));
    let with = |ends: &[(&[u8], Option<UnixMicros>)]| {
        let secrets: Vec<_> = ends.iter().map(|(text, end)| (SecretId::new(), *text, *end)).collect();
        let examined = examine(Some(&Hook::of(trigger(Source::Github, |_| {}), &secrets)), github("issue_comment", "x", &comment()));
        match examined {
            Examined::Judged(_, secret) => secrets.iter().position(|(id, ..)| *id == secret),
            Examined::Refused(..) => None,
        }
    };
    assert_eq!(with(&[(b"other", None), (SECRET, Some(after))]), Some(1));
    assert_eq!(with(&[(b"other", None), (SECRET, Some(NOW))]), None, "its time is over");
    assert_eq!(with(&[]), None);
}

#[test]
fn a_refused_webhook_is_listed_without_its_body() {
    let mut inbound = github("issue_comment", "x", &comment());
    inbound.slug = "../Nobody<script>".into();
    let refusal = Refusal::new(DeliveryReason::HookUnknown, "no");
    let listed = refused(None, inbound, &refusal);
    assert_eq!((listed.trigger_slug.as_str(), listed.trigger_id, listed.body_zstd.as_ref()), ("obodyscript", None, None));
    assert_eq!((listed.dedupe, stopped(&listed)), (None, (DeliveryOutcome::Rejected, DeliveryReason::HookUnknown)));
    assert!(!format!("{:?}", listed.headers).contains("c2VjcmV0"));

    let many = (0..200).map(|n| Header { name: format!("x-{n}"), value: vec![b'v'; 200] }).collect();
    let size: usize = kept(many).iter().map(|header| header.name.len() + header.value.len()).sum();
    assert!(size <= MAX_KEPT_HEADERS && size > MAX_KEPT_HEADERS - 300, "{size}");
}

#[test]
fn a_person_fires_past_signature_and_authors() {
    let fire = |change: fn(&mut TriggerSpec), ask: fn(&mut Fire)| {
        let trigger = trigger(Source::Github, change);
        let mut fire = Fire {
            id: DeliveryId::new(),
            body: comment().to_string().into(),
            headers: headers(&[("x-github-event", "issue_comment"), ("x-github-delivery", "same")]),
            skip_filter: false,
            thread_key: None,
            session: None,
            session_mode: SessionMode::Default,
            prompt: None,
            requested_by: Requester { kind: RequesterKind::Key, id: "key_1".into(), display_name: "ci".into() },
        };
        ask(&mut fire);
        fired(&trigger, &Rules::compile(&trigger.spec), fire).map(|(delivery, _)| delivery)
    };
    let plain = fire(|spec| spec.author_rule.own_identities = vec!["maria".into()], |_| {}).expect("fired");
    assert_eq!((plain.dedupe, plain.origin, plain.provider_delivery_id.as_str()), (None, DeliveryOrigin::Manual, ""));
    assert_eq!((run(&plain).busy, &run(&plain).thread), (BusyPolicy::Queue, &RunThread::Key("acme/shop#412".into())));
    assert_eq!(run(&plain).requested_by.display_name, "ci");

    let filtered = |spec: &mut TriggerSpec| spec.filter_expression = "false".into();
    assert_eq!(stopped(&fire(filtered, |_| {}).expect("fired")).1, DeliveryReason::FilterFalse);
    assert!(run(&fire(filtered, |fire| fire.skip_filter = true).expect("fired")).may_start);
    let elsewhere =
        fire(|_| {}, |fire| (fire.thread_key, fire.prompt, fire.session_mode) = (Some("x".into()), Some("p".into()), SessionMode::Fresh));
    let elsewhere = elsewhere.expect("fired");
    assert_eq!((&run(&elsewhere).thread, run(&elsewhere).prompt_override.as_deref()), (&RunThread::Key("x".into()), Some("p")));
    assert_eq!(run(&elsewhere).session_mode, SessionMode::Fresh);
    assert_eq!(run(&fire(|_| {}, |fire| fire.thread_key = Some(String::new())).expect("fired")).thread, RunThread::Once);
    let empty = fire(|_| {}, |fire| fire.body = Default::default()).expect("an empty object");
    assert_eq!((run(&empty).thread.clone(), empty.body_bytes), (RunThread::Once, 2));
    let list = fire(|_| {}, |fire| fire.body = "[]".into()).expect_err("not an object");
    assert_eq!((list.reason(), list.fields()[0].field.as_str()), ("FIELD_INVALID", "body"));
}

#[test]
fn expressions_are_checked_when_a_trigger_is_saved() {
    let ask = |source, change: fn(&mut TriggerSpec)| Intake::check(source, &trigger(source, change).spec);
    for source in Source::ALL {
        assert!(ask(*source, |_| {}).is_ok());
        assert!(ask(*source, |spec| spec.filter_expression = "has(payload.no) && payload.no.where > 1".into()).is_ok());
        assert!(ask(*source, |spec| spec.thread_key_expression = "payload.only.here".into()).is_ok(), "a sample may lack it");
    }
    type Change = fn(&mut TriggerSpec);
    let cases: [(Change, &str, &str); 5] = [
        (|spec| spec.filter_expression = "event.kind".into(), "trigger.filter_expression", "not true or false"),
        (|spec| spec.start_expression = "payload.issue.number + 1".into(), "trigger.start_expression", "not true or false"),
        (|spec| spec.thread_key_expression = "payload.issue".into(), "trigger.thread_key_expression", "not a string"),
        (|spec| spec.filter_expression = "evnt.kind == ''".into(), "trigger.filter_expression", "`evnt`"),
        (|spec| spec.filter_expression = "event.kind ==".into(), "trigger.filter_expression", "cannot be read"),
    ];
    for (change, field, part) in cases {
        let error = ask(Source::Github, change).expect_err(part);
        assert_eq!((error.reason(), error.fields()[0].field.as_str()), ("EXPRESSION_INVALID", field));
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.metadata().iter().any(|(name, value)| *name == "known_names" && value.contains("event.actor.login")));
    }
}
