//! Deliveries, again: replayed as new ones, or tried on a draft.

use std::process::Command;

use reprise::proto::v1::{self, DeliveryOutcome as Outcome, DeliveryReason as Reason, Stage, Verdict};

use crate::support::claude::spawns;
use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{KEY, Server, Setup};

struct World {
    server: Server,
    client: Client,
    url: String,
    secret: String,
}

impl World {
    async fn new() -> Self {
        let server = Setup::fake().start();
        let mut client = Client::connect(&server).await;
        let (url, secret) = client.github_trigger("reviews", |_| {}).await;
        Self { server, client, url, secret }
    }

    async fn send(&self, delivery: &str, number: i64, text: &str) -> hook::Answer {
        hook::github(&self.url, &self.secret, "issue_comment", delivery, &hook::comment(number, text)).await.expect("answered")
    }

    async fn deliveries(&mut self, filter: v1::ListDeliveriesRequest) -> Vec<v1::Delivery> {
        self.client.triggers.list_deliveries(filter).await.expect("listed").into_inner().deliveries
    }

    async fn all(&mut self) -> Vec<v1::Delivery> {
        self.deliveries(v1::ListDeliveriesRequest::default()).await
    }

    async fn replay(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut v1::ReplayDeliveryRequest),
    ) -> Result<v1::ReplayDeliveryResponse, tonic::Status> {
        let mut request = v1::ReplayDeliveryRequest { delivery_id: id.to_owned(), ..Default::default() };
        change(&mut request);
        self.client.triggers.replay_delivery(request).await.map(tonic::Response::into_inner)
    }

    async fn update(&mut self, change: impl FnOnce(&mut v1::Trigger)) {
        let mut trigger = v1::Trigger { id: "reviews".to_owned(), ..Default::default() };
        change(&mut trigger);
        let request = v1::UpdateTriggerRequest { trigger: Some(trigger), ..Default::default() };
        self.client.triggers.update_trigger(request).await.expect("updated");
    }
}

fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt as _;
    status.get_error_details().error_info().expect("always told").reason.clone()
}

#[tokio::test]
async fn a_replay_is_a_new_delivery_that_runs_again_and_is_linked() {
    let mut world = World::new().await;
    let first = world.send("d-1", 412, "hello").await;
    world.client.ended(&first.run_id()).await;
    let then = world.all().await.remove(0);
    let again = world.replay(&then.id, |request| request.request_id = "once".to_owned()).await.expect("replayed");
    let delivery = again.delivery.expect("a delivery");
    assert_eq!((delivery.origin(), delivery.outcome()), (v1::DeliveryOrigin::Replay, Outcome::Queued));
    assert_eq!((delivery.replay_of_delivery_id.as_str(), delivery.thread_key.as_str()), (then.id.as_str(), "acme/shop#412"));
    let run = world.client.ended(&again.run.expect("a run").id).await;
    assert_eq!((run.state(), run.lineage()), (v1::RunState::Succeeded, v1::Lineage::Continued));
    assert_eq!(run.requested_by.expect("somebody").kind(), v1::RequesterKind::Key);
    let repeated = world.replay(&then.id, |request| request.request_id = "once".to_owned()).await.expect("answered");
    assert_eq!(repeated.delivery.expect("a delivery").id, delivery.id, "the first answer");

    let request = v1::GetDeliveryRequest { delivery_id: then.id.clone(), ..Default::default() };
    let shown = world.client.triggers.get_delivery(request).await.expect("found").into_inner().delivery.expect("a delivery");
    assert_eq!(shown.replayed_by_delivery_ids, std::slice::from_ref(&delivery.id));
    assert!(world.all().await.iter().any(|one| one.id == then.id && one.replayed_by_delivery_ids == [delivery.id.clone()]));
    let full = v1::GetDeliveryRequest { delivery_id: delivery.id.clone(), view: v1::DeliveryView::Full.into(), body_offset: 0 };
    let full = world.client.triggers.get_delivery(full).await.expect("found").into_inner().delivery.expect("a delivery");
    assert_eq!(full.body, hook::comment(412, "hello").to_string().as_bytes());
    let step = |stage: Stage| full.steps.iter().find(|step| step.stage() == stage).expect("told");
    assert_eq!(
        (step(Stage::Verify).verdict(), step(Stage::Verify).message.as_str()),
        (Verdict::Pass, "the signature fitted when it arrived")
    );
    assert_eq!(step(Stage::Dedupe).verdict(), Verdict::Skipped);
}

#[tokio::test]
async fn a_replay_takes_another_body_prompt_or_conversation_and_the_rules_of_now() {
    let mut world = World::new().await;
    let first = world.send("d-1", 412, "hello").await;
    world.client.ended(&first.run_id()).await;
    let then = world.all().await.remove(0);
    let edited = hook::comment(99, "edited words").to_string();
    let other = world.replay(&then.id, |request| request.edited_body = Some(edited.into_bytes().into())).await.expect("replayed");
    assert_eq!(other.delivery.as_ref().expect("a delivery").thread_key, "acme/shop#99");
    let run = world.client.ended(&other.run.expect("a run").id).await;
    assert_eq!(run.lineage(), v1::Lineage::Fresh);
    assert!(spawns(&world.server.journal_path()).last().expect("one").prompt.contains("edited words"));

    let asked = world
        .replay(&then.id, |request| {
            (request.prompt, request.session_mode) = (Some("Only this.".to_owned()), v1::SessionMode::Fresh.into());
        })
        .await
        .expect("replayed");
    let run = world.client.ended(&asked.run.expect("a run").id).await;
    assert_eq!(run.lineage(), v1::Lineage::Renewed);
    let prompt = spawns(&world.server.journal_path()).pop().expect("one").prompt;
    assert!(prompt.ends_with("Only this.") && !prompt.contains("hello"), "{prompt}");

    world.update(|trigger| trigger.filter_expression = Some("event.text != 'hello'".to_owned())).await;
    let before = world.all().await.len();
    let explained = world.replay(&then.id, |request| request.validate_only = true).await.expect("explained");
    let steps = explained.explanation.expect("an explanation").steps;
    let filter = steps.iter().find(|step| step.stage() == Stage::Filter).expect("told");
    assert_eq!((filter.verdict(), filter.values["event.text"].as_str()), (Verdict::Stop, "\"hello\""));
    assert_eq!(world.all().await.len(), before, "nothing is stored");
    let stopped = world.replay(&then.id, |_| {}).await.expect("replayed");
    assert_eq!((stopped.run, stopped.delivery.expect("a delivery").reason()), (None, Reason::FilterFalse));
    world.update(|trigger| trigger.enabled = Some(false)).await;
    let dropped = world.replay(&then.id, |_| {}).await.expect("listed").delivery.expect("a delivery");
    assert_eq!((dropped.outcome(), dropped.reason()), (Outcome::Dropped, Reason::TriggerDisabled));
}

#[tokio::test]
async fn what_cannot_be_replayed_says_why() {
    let mut world = World::new().await;
    hook::github(&world.url, "not its secret", "issue_comment", "d-0", &hook::comment(1, "forged")).await.expect("answered");
    let forged = world.all().await.remove(0);
    assert_eq!(reason(&world.replay(&forged.id, |_| {}).await.expect_err("no body")), "BODY_NOT_KEPT");
    let body = hook::comment(1, "forged").to_string();
    let still = world.replay(&forged.id, |request| request.edited_body = Some(body.into_bytes().into())).await.expect("listed");
    let still = still.delivery.expect("a delivery");
    assert_eq!((still.outcome(), still.reason()), (Outcome::Rejected, Reason::SignatureMismatch), "the verdict of then stands");

    let sent = world.send("d-1", 7, "hello").await;
    world.client.ended(&sent.run_id()).await;
    let then = world.all().await.remove(0);
    let elsewhere = hook::comment(8, "new thread").to_string();
    let resume = |request: &mut v1::ReplayDeliveryRequest| {
        (request.session_mode, request.edited_body) = (v1::SessionMode::Resume.into(), Some(elsewhere.clone().into_bytes().into()));
    };
    assert_eq!(reason(&world.replay(&then.id, resume).await.expect_err("nothing to continue")), "SESSION_MODE_IMPOSSIBLE");
    let wrong = world.replay(&then.id, |request| request.edited_body = Some("[1]".into())).await.expect_err("no object");
    assert_eq!(reason(&wrong), "FIELD_INVALID");
    let unknown = world.replay("dlv_01h455vb4pex5vsknk084s7k2m", |_| {}).await.expect_err("unknown");
    assert_eq!(reason(&unknown), "RESOURCE_NOT_FOUND");
    // A repeat has the body of the first.
    world.send("d-1", 7, "hello").await;
    let twice = world.all().await.remove(0);
    assert_eq!(twice.outcome(), Outcome::Duplicate);
    assert_eq!(world.replay(&twice.id, |_| {}).await.expect("replayed").delivery.expect("a delivery").outcome(), Outcome::Queued);
    // The session's list has what was dropped or repeated in it too.
    let session = world.client.session("reviews", "acme/shop#7").await;
    let of_session = v1::ListDeliveriesRequest { session_id: session.id, ..Default::default() };
    let outcomes: Vec<Outcome> = world.deliveries(of_session).await.iter().map(v1::Delivery::outcome).collect();
    assert_eq!(outcomes, [Outcome::Queued, Outcome::Duplicate, Outcome::Queued]);
}

#[tokio::test]
async fn many_are_replayed_in_the_order_in_which_they_came() {
    let mut world = World::new().await;
    world.update(|trigger| trigger.filter_expression = Some("event.text.startsWith('go')".to_owned())).await;
    for n in 0..6 {
        world.send(&format!("d-{n}"), 7, &format!("{} event {n} of thread 7", if n == 3 { "go" } else { "wait" })).await;
    }
    hook::github(&world.url, "not its secret", "issue_comment", "d-9", &hook::comment(1, "forged")).await.expect("answered");
    world.update(|trigger| trigger.filter_expression = Some(String::new())).await;
    let request = |validate_only, outcome: Outcome| v1::ReplayDeliveriesRequest {
        trigger_id: "reviews".to_owned(),
        outcomes: vec![outcome.into()],
        validate_only,
        request_id: "all".to_owned(),
        ..Default::default()
    };
    let before = world.all().await.len();
    let counted = world.client.triggers.replay_deliveries(request(true, Outcome::Filtered)).await.expect("counted").into_inner();
    assert_eq!((counted.matched_count, counted.queued_count), (5, 5));
    assert_eq!(world.all().await.len(), before, "nothing is stored");
    let done = world.client.triggers.replay_deliveries(request(false, Outcome::Filtered)).await.expect("replayed").into_inner();
    assert_eq!((done.matched_count, done.queued_count), (5, 5));
    let again = world.client.triggers.replay_deliveries(request(false, Outcome::Filtered)).await.expect("answered").into_inner();
    assert_eq!((again, world.all().await.len()), (done, before + 5), "the first answer");
    let refused = v1::ReplayDeliveriesRequest { request_id: String::new(), ..request(false, Outcome::Rejected) };
    let refused = world.client.triggers.replay_deliveries(refused).await.expect("answered").into_inner();
    assert_eq!((refused.matched_count, refused.queued_count), (1, 0), "what has no body is left out");

    let newest =
        world.deliveries(v1::ListDeliveriesRequest { origins: vec![v1::DeliveryOrigin::Replay.into()], ..Default::default() }).await;
    for delivery in &newest {
        world.client.ended(&delivery.run_id).await;
    }
    let order: Vec<u32> = spawns(&world.server.journal_path()).iter().skip(1).map(|spawn| crate::threads::event_of(spawn).1).collect();
    assert_eq!(order, [0, 1, 2, 4, 5]);
}

#[tokio::test]
async fn a_draft_is_tried_on_what_came_lately_and_nothing_is_stored() {
    let mut world = World::new().await;
    let sent = world.send("d-1", 1, "hello").await;
    world.send("d-1", 1, "hello").await;
    world.send("d-2", 2, "please fix").await;
    world.client.ended(&sent.run_id()).await;
    let stored = world.all().await;
    let ask = |trigger: v1::Trigger| v1::EvaluateTriggerRequest { trigger: Some(trigger), delivery_count: 0 };
    let draft = |change: &dyn Fn(&mut v1::Trigger)| {
        let mut trigger = v1::Trigger { id: "reviews".to_owned(), ..Default::default() };
        change(&mut trigger);
        trigger
    };
    let same = world.client.triggers.evaluate_trigger(ask(draft(&|_| {}))).await.expect("evaluated").into_inner();
    assert_eq!((same.evaluations.len(), same.changed_count), (3, 0), "{:?}", same.evaluations);

    let filter = draft(&|trigger| trigger.filter_expression = Some("event.text.contains('fix')".to_owned()));
    let answer = world.client.triggers.evaluate_trigger(ask(filter)).await.expect("evaluated").into_inner();
    let told: Vec<_> =
        answer.evaluations.iter().map(|one| (one.outcome_then(), one.outcome_now(), one.reason_now(), one.changed)).collect();
    let stops = |then| (then, Outcome::Filtered, Reason::FilterFalse, true);
    let kept = (Outcome::Queued, Outcome::Queued, Reason::Unspecified, false);
    assert_eq!((told, answer.changed_count), (vec![kept, stops(Outcome::Duplicate), stops(Outcome::Queued)], 2));
    assert_eq!(answer.evaluations[0].delivery_id, stored[0].id, "newest first");

    let key = draft(&|trigger| trigger.thread_key_expression = Some("string(payload.repository.id)".to_owned()));
    let answer = world.client.triggers.evaluate_trigger(ask(key)).await.expect("evaluated").into_inner();
    assert_eq!((answer.evaluations[0].thread_key_then.as_str(), answer.evaluations[0].thread_key_now.as_str()), ("acme/shop#2", "1296269"));
    assert_eq!(answer.changed_count, 3);
    let broken = draft(&|trigger| trigger.filter_expression = Some("payload.no.where == 1".to_owned()));
    let answer = world.client.triggers.evaluate_trigger(ask(broken)).await.expect("evaluated").into_inner();
    assert_eq!((answer.evaluations[0].outcome_now(), answer.evaluations[0].reason_now()), (Outcome::Rejected, Reason::FilterFailed));
    assert!(answer.evaluations[0].message.contains("`no`"), "{}", answer.evaluations[0].message);

    let new = v1::Trigger {
        slug: "another".to_owned(),
        source: v1::Source::Github.into(),
        start_expression: Some("false".to_owned()),
        resume_sessions: Some(true),
        action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "x".to_owned(), follow_up_template: None })),
        ..Default::default()
    };
    let answer = world.client.triggers.evaluate_trigger(ask(new)).await.expect("a trigger that is not there yet").into_inner();
    assert!(answer.evaluations.iter().all(|one| one.reason_now() == Reason::NoSessionToContinue), "{:?}", answer.evaluations);
    let wrong = draft(&|trigger| trigger.filter_expression = Some("event.kind ==".to_owned()));
    assert_eq!(reason(&world.client.triggers.evaluate_trigger(ask(wrong)).await.expect_err("no expression")), "EXPRESSION_INVALID");
    assert_eq!(world.all().await, stored, "nothing is stored");
}

#[tokio::test]
async fn the_commands_replay_and_try() {
    let mut world = World::new().await;
    let sent = world.send("d-1", 412, "hello").await;
    world.client.ended(&sent.run_id()).await;
    let then = world.all().await.remove(0);
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        let output = command.args(arguments).env("REPRISE_ADDR", &world.server.url).env("REPRISE_KEY", KEY).output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let explained = ask(&["delivery", "replay", &then.id, "--explain"]);
    assert!(explained.contains("verify      pass      the signature fitted") && explained.ends_with("nothing was run\n"), "{explained}");
    let replayed = ask(&["delivery", "replay", &then.id, "--watch"]);
    assert!(replayed.contains(&format!("replays {} queued → run run_", then.id)) && replayed.contains("succeeded"), "{replayed}");
    let tried = ask(&["trigger", "update", "reviews", "--filter", "false", "--dry-run"]);
    assert!(tried.contains("filtered (filter false)") && tried.contains("2 of 2 deliveries would be treated otherwise"), "{tried}");
    let kept = world.client.triggers.get_trigger(v1::GetTriggerRequest { trigger_id: "reviews".to_owned() }).await.expect("found");
    assert_eq!(kept.into_inner().trigger.expect("a trigger").filter_expression(), "");
}
