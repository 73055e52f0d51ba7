//! What a walk of the rules notes, and how it is told later.

use serde_json::json;

use super::super::tests::{NOW, comment, github, trigger};
use super::tests::{by, delivery, run, stopped};
use super::*;
use crate::domain::{BusyPolicy, Delivery, DeliveryPayload, TriggerSpec};

/// What the walk of a delivery noted, without its times.
fn noted(delivery: &NewDelivery) -> Vec<(Stage, Verdict)> {
    delivery.walk.iter().map(|mark| (mark.stage, mark.verdict)).collect()
}

#[test]
fn a_walk_notes_what_each_rule_said_and_read_up_to_the_one_that_stopped_it() {
    let rules = |spec: &mut TriggerSpec| {
        spec.filter_expression = "event.action == 'created' && payload.issue.number > 0".into();
        spec.start_expression = "event.action in ['created'] && has(payload.issue.labels)".into();
    };
    let passed = delivery(rules, github("issue_comment", "x", &comment()));
    let all = [Stage::Verify, Stage::Parse, Stage::Author, Stage::Filter, Stage::ThreadKey].map(|stage| (stage, Verdict::Pass));
    assert_eq!(noted(&passed), all);
    assert_eq!(*passed.walk[3].reads, ["event.action", "payload.issue.number", "payload.issue.labels"]);
    assert_eq!(*passed.walk[4].reads, ["event.thread_key"]);
    let stopped_by = |change: fn(&mut TriggerSpec)| noted(&delivery(change, github("issue_comment", "x", &comment()))).pop();
    assert_eq!(stopped_by(|spec| spec.author_rule.deny = vec!["maria".into()]), Some((Stage::Author, Verdict::Stop)));
    assert_eq!(stopped_by(|spec| spec.enabled = false), Some((Stage::Author, Verdict::Pass)));
    assert_eq!(stopped_by(|spec| spec.filter_expression = "event.action == 'no'".into()), Some((Stage::Filter, Verdict::Stop)));
    assert_eq!(stopped_by(|spec| spec.filter_expression = "payload.no == 1".into()), Some((Stage::Filter, Verdict::Failed)));
    assert_eq!(stopped_by(|spec| spec.thread_key_expression = "payload.no".into()), Some((Stage::ThreadKey, Verdict::Failed)));
    let hello = delivery(|_| {}, github("ping", "x", &json!({ "zen": "z" })));
    assert_eq!(noted(&hello), [(Stage::Verify, Verdict::Pass), (Stage::Parse, Verdict::Stop)]);
}

/// As it is read back.
fn stored(judged: &NewDelivery) -> Delivery {
    Delivery {
        id: judged.id,
        trigger_id: judged.trigger_id,
        trigger_slug: judged.trigger_slug.clone(),
        origin: judged.origin,
        source: judged.source,
        provider_delivery_id: judged.provider_delivery_id.clone(),
        event: judged.event.clone(),
        outcome: DeliveryOutcome::Queued,
        reason: None,
        message: String::new(),
        session_id: None,
        run_id: None,
        duplicate_of: None,
        replay_of: None,
        replayed_by: Vec::new(),
        receive_time: NOW,
        ack_duration: Duration::ZERO,
        body_bytes: judged.body_bytes,
        uncounted_duplicates: 0,
    }
}

#[test]
fn a_walk_told_later_says_the_same_with_the_values_of_the_event() {
    let rules = |spec: &mut TriggerSpec| spec.filter_expression = "event.action == 'deleted' || payload.issue.number < 3".into();
    let judged = delivery(rules, github("issue_comment", "x", &comment()));
    let (outcome, reason) = stopped(&judged);
    let Disposition::Stop { message, .. } = &judged.disposition else { panic!("it was stopped") };
    let then = Delivery { outcome, reason: Some(reason), message: message.clone(), ..stored(&judged) };
    let payload = DeliveryPayload { headers: judged.headers.clone(), body: comment().to_string().into_bytes(), walk: judged.walk.clone() };
    let steps = tell::stored(&then, Some(&payload));
    let verdicts: Vec<_> = steps.iter().map(|step| step.verdict).collect();
    use Verdict::{Pass, Skipped, Stop};
    assert_eq!(verdicts, [Pass, Pass, Pass, Stop, Skipped, Skipped, Skipped, Skipped]);
    let filter = &steps[3];
    assert_eq!(
        (filter.reason, filter.message.as_str()),
        (Some(DeliveryReason::FilterFalse), "`filter_expression` is false for this event")
    );
    let value = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(filter.values, [value("event.action", r#""created""#), value("payload.issue.number", "412")]);
    assert!(filter.duration.is_some());
    assert_eq!(steps[2].message, "maria MEMBER");
    // Without its payload the verdict stands, and what the row has is told.
    let steps = tell::stored(&then, None);
    assert_eq!((steps[3].verdict, steps[3].duration, steps[0].verdict), (Stop, None, Pass));

    let seen = Delivery { outcome: DeliveryOutcome::Queued, reason: None, message: String::new(), ..then.clone() };
    let key = tell::stored(&seen, Some(&payload));
    assert_eq!((key[4].stage, key[4].verdict), (Stage::ThreadKey, Skipped), "it was not asked then");
    let twice = Delivery { outcome: DeliveryOutcome::Duplicate, reason: Some(DeliveryReason::SameBody), message: String::new(), ..then };
    let steps = tell::stored(&twice, None);
    assert_eq!((steps[5].verdict, steps[5].reason), (Stop, Some(DeliveryReason::SameBody)));
    assert_eq!((steps[6].verdict, steps[3].verdict), (Skipped, Skipped));
}

#[test]
fn a_replay_walks_the_rules_of_now_and_keeps_the_verdict_on_its_signature() {
    let judged = delivery(|_| {}, github("issue_comment", "guid-1", &comment()));
    let replay = |outcome, reason, body: &str, edited| Replay {
        id: DeliveryId::new(),
        delivery: Delivery { outcome, reason, message: "then".into(), ..stored(&judged) },
        headers: judged.headers.clone(),
        body: body.to_owned().into(),
        edited,
        session_mode: SessionMode::Default,
        session: None,
        prompt: None,
        requested_by: Requester { kind: RequesterKind::Key, id: "key_1".into(), display_name: "ci".into() },
    };
    let rules = trigger(Source::Github, |spec| spec.author_rule.deny = vec!["eve".into()]);
    let ask = |replay| replayed(&rules, &Rules::compile(&rules.spec), replay).map(|(delivery, _)| delivery);
    let again = ask(replay(DeliveryOutcome::Queued, None, &comment().to_string(), false)).expect("replayed");
    assert_eq!((again.dedupe, again.origin, again.replay_of), (None, DeliveryOrigin::Replay, Some(judged.id)));
    assert!(matches!(run(&again).busy, BusyPolicy::Coalesce { .. }), "as a webhook of its source");
    let eve = by("eve", 9, "User").to_string();
    assert_eq!(stopped(&ask(replay(DeliveryOutcome::Queued, None, &eve, true)).expect("replayed")).1, DeliveryReason::AuthorNotAllowed);
    let forged = replay(DeliveryOutcome::Rejected, Some(DeliveryReason::SignatureMismatch), &comment().to_string(), true);
    let forged = ask(forged).expect("listed");
    assert_eq!(stopped(&forged), (DeliveryOutcome::Rejected, DeliveryReason::SignatureMismatch));
    assert_eq!(noted(&forged)[0], (Stage::Verify, Verdict::Stop));
    assert_eq!(ask(replay(DeliveryOutcome::Queued, None, "[", true)).expect_err("no object").reason(), "FIELD_INVALID");
    assert_eq!(ask(replay(DeliveryOutcome::Queued, None, "", false)).expect_err("nothing kept").reason(), "BODY_NOT_KEPT");
}
