//! What would come of an event, and what came of one: the walk through the rules, before and after.

use std::process::Command;

use reprise::proto::v1::{self, Stage, Verdict, fire_trigger_request::Content};
use serde_json::json;

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
    async fn new(change: impl FnOnce(&mut v1::Trigger)) -> Self {
        let server = Setup::fake().start();
        let mut client = Client::connect(&server).await;
        let (url, secret) = client.github_trigger("reviews", change).await;
        Self { server, client, url, secret }
    }

    async fn explain(&mut self, change: impl FnOnce(&mut v1::FireTriggerRequest)) -> Result<v1::FireTriggerResponse, tonic::Status> {
        let mut request = v1::FireTriggerRequest {
            trigger_id: "reviews".to_owned(),
            content: Some(Content::Sample("issue_comment".to_owned())),
            validate_only: true,
            ..Default::default()
        };
        change(&mut request);
        self.client.triggers.fire_trigger(request).await.map(tonic::Response::into_inner)
    }

    async fn explained(&mut self, change: impl FnOnce(&mut v1::FireTriggerRequest)) -> v1::Explanation {
        self.explain(change).await.expect("explained").explanation.expect("an explanation")
    }

    async fn delivery(&mut self, id: &str) -> v1::Delivery {
        let request = v1::GetDeliveryRequest { delivery_id: id.to_owned(), view: v1::DeliveryView::Full.into(), body_offset: 0 };
        self.client.triggers.get_delivery(request).await.expect("found").into_inner().delivery.expect("a delivery")
    }

    async fn deliveries(&mut self) -> Vec<v1::Delivery> {
        let request = v1::ListDeliveriesRequest::default();
        self.client.triggers.list_deliveries(request).await.expect("listed").into_inner().deliveries
    }
}

fn verdicts(steps: &[v1::ExplanationStep]) -> Vec<(Stage, Verdict)> {
    steps.iter().map(|step| (step.stage(), step.verdict())).collect()
}

fn step(steps: &[v1::ExplanationStep], stage: Stage) -> &v1::ExplanationStep {
    steps.iter().find(|step| step.stage() == stage).expect("every stage is told")
}

/// What stands after a flag.
fn after<'a>(argv: &'a [String], flag: &str) -> &'a str {
    argv.iter().position(|argument| argument == flag).map_or("", |at| argv[at + 1].as_str())
}

#[tokio::test]
async fn an_explanation_is_what_then_happens_and_leaves_nothing() {
    let mut world = World::new(|trigger| {
        trigger.filter_expression = Some("event.action == 'created' && payload.issue.number > 400".to_owned());
    })
    .await;
    let explained = world.explained(|_| {}).await;
    use Verdict::{Pass, Skipped};
    let told = verdicts(&explained.steps);
    let expected = [
        (Stage::Verify, Skipped),
        (Stage::Parse, Pass),
        (Stage::Author, Pass),
        (Stage::Filter, Pass),
        (Stage::ThreadKey, Pass),
        (Stage::Dedupe, Skipped),
        (Stage::Policy, Pass),
        (Stage::Prompt, Pass),
    ];
    assert_eq!(told, expected);
    let filter = step(&explained.steps, Stage::Filter);
    assert_eq!(filter.values.get("event.action").map(String::as_str), Some("\"created\""));
    assert_eq!(filter.values.get("payload.issue.number").map(String::as_str), Some("412"));
    assert!(filter.duration.is_some());
    let key = step(&explained.steps, Stage::ThreadKey);
    assert_eq!(key.values.get("payload.repository.full_name").map(String::as_str), Some("\"acme/shop\""));
    assert_eq!((explained.thread_key.as_str(), explained.session_id.as_str()), ("acme/shop#412", ""));
    assert_eq!((explained.lineage(), explained.max_cost_usd), (v1::Lineage::Fresh, 5.0));
    assert_eq!(explained.busy_effect, "no session yet → starts at once");
    assert!(explained.prompt.contains("Review the pull request."), "{}", explained.prompt);
    assert_eq!(after(&explained.argv, "--session-id"), "<new id>");
    assert!(world.deliveries().await.is_empty(), "nothing is stored");
    assert!(spawns(&world.server.journal_path()).is_empty(), "nothing is run");

    // The same, for real: the same arguments and the same prompt but for the ids.
    let fire = v1::FireTriggerRequest {
        trigger_id: "reviews".to_owned(),
        content: Some(Content::Sample("issue_comment".to_owned())),
        request_id: "once".to_owned(),
        ..Default::default()
    };
    world.explained(|request| request.request_id = "once".to_owned()).await;
    let fired = world.client.triggers.fire_trigger(fire).await.expect("the request id is not used up").into_inner();
    let run = world.client.ended(&fired.run.expect("a run").id).await;
    let spawned = spawns(&world.server.journal_path()).remove(0);
    let argv: Vec<String> = spawned.argv.iter().map(|a| if *a == spawned.session { "<new id>".to_owned() } else { a.clone() }).collect();
    assert_eq!(explained.argv[1..], argv[..], "as the runner does it");
    let without_ids = |text: &str| {
        let words = text.split('\n').skip(1).filter(|line| !line.contains("WEBHOOK-"));
        words.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(without_ids(&explained.prompt), without_ids(&spawned.prompt));

    let again = world.explained(|_| {}).await;
    assert_eq!((again.lineage(), again.session_id.as_str()), (v1::Lineage::Continued, run.session_id.as_str()));
    assert_eq!((after(&again.argv, "--resume"), again.busy_effect.as_str()), (spawned.session.as_str(), "session idle → starts at once"));
    assert!(again.prompt.contains("There is news in this thread"));
    let fresh = world.explained(|request| request.session_mode = v1::SessionMode::Fresh.into()).await;
    assert_eq!((fresh.lineage(), after(&fresh.argv, "--session-id")), (v1::Lineage::Renewed, "<new id>"));
}

#[tokio::test]
async fn an_explanation_names_the_rule_that_stops_and_what_it_read() {
    let mut world = World::new(|trigger| {
        trigger.filter_expression = Some("event.action == 'deleted'".to_owned());
        trigger.author_rule = Some(v1::AuthorRule { deny: vec!["maria".to_owned()], ..Default::default() });
        trigger.enabled = Some(false);
    })
    .await;
    let answer = world.explain(|_| {}).await.expect("a disabled trigger is explained");
    let (delivery, explained) = (answer.delivery.expect("a delivery"), answer.explanation.expect("an explanation"));
    assert_eq!((delivery.outcome(), delivery.reason()), (v1::DeliveryOutcome::Filtered, v1::DeliveryReason::FilterFalse));
    assert_eq!((delivery.id.as_str(), answer.run), ("", None));
    let filter = step(&explained.steps, Stage::Filter);
    assert_eq!((filter.verdict(), filter.reason()), (Verdict::Stop, v1::DeliveryReason::FilterFalse));
    assert_eq!(filter.values.get("event.action").map(String::as_str), Some("\"created\""));
    for stage in [Stage::ThreadKey, Stage::Dedupe, Stage::Policy, Stage::Prompt] {
        assert_eq!(step(&explained.steps, stage).verdict(), Verdict::Skipped, "{stage:?}");
    }
    let author = step(&explained.steps, Stage::Author);
    assert_eq!(author.verdict(), Verdict::Skipped, "whoever fires by hand is not asked");
    assert!(author.message.contains("maria"), "{}", author.message);
    assert_eq!((explained.lineage(), explained.prompt.as_str(), explained.argv.len()), (v1::Lineage::Unspecified, "", 0));

    let disabled = world.explained(|request| request.skip_filter = true).await;
    let policy = step(&disabled.steps, Stage::Policy);
    assert_eq!((policy.verdict(), policy.reason()), (Verdict::Stop, v1::DeliveryReason::TriggerDisabled));
    assert!(disabled.argv.is_empty());
    let resume = |request: &mut v1::FireTriggerRequest| {
        (request.skip_filter, request.session_mode) = (true, v1::SessionMode::Resume.into());
    };
    let impossible = world.explain(resume).await.expect_err("there is nothing to continue");
    assert_eq!(impossible.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test]
async fn a_stored_delivery_says_what_each_rule_found_when_it_arrived() {
    let mut world = World::new(|trigger| {
        trigger.filter_expression = Some("payload.issue.number != 13 && event.text != ''".to_owned());
    })
    .await;
    let send = async |delivery: &str, number: i64, secret: &str| {
        hook::github(&world.url, secret, "issue_comment", delivery, &hook::comment(number, "hello")).await.expect("answered")
    };
    send("d-1", 412, &world.secret).await;
    send("d-1", 412, &world.secret).await;
    send("d-2", 13, &world.secret).await;
    send("d-3", 412, "not its secret").await;
    let listed = world.deliveries().await;
    assert!(listed.iter().all(|delivery| delivery.steps.is_empty()), "only in the FULL view");
    let [forged, filtered, twice, queued] = listed.as_slice() else { panic!("{listed:?}") };
    // The rules of now do not count.
    let update = v1::Trigger { id: "reviews".to_owned(), filter_expression: Some("false".to_owned()), ..Default::default() };
    world.client.triggers.update_trigger(v1::UpdateTriggerRequest { trigger: Some(update), ..Default::default() }).await.expect("updated");

    let queued = world.delivery(&queued.id).await.steps;
    let decided: Vec<Verdict> = queued.iter().map(v1::ExplanationStep::verdict).collect();
    assert_eq!(decided, [&[Verdict::Pass; 7][..], &[Verdict::Skipped]].concat());
    let filter = step(&queued, Stage::Filter);
    assert_eq!(filter.values.get("payload.issue.number").map(String::as_str), Some("412"));
    assert_eq!(filter.values.get("event.text").map(String::as_str), Some("\"hello\""));
    assert!(step(&queued, Stage::Verify).duration.is_some());

    let twice = world.delivery(&twice.id).await.steps;
    assert_eq!(step(&twice, Stage::Dedupe).reason(), v1::DeliveryReason::SameDeliveryId);
    assert_eq!((step(&twice, Stage::Dedupe).verdict(), step(&twice, Stage::Policy).verdict()), (Verdict::Stop, Verdict::Skipped));

    let filtered = world.delivery(&filtered.id).await.steps;
    assert_eq!((step(&filtered, Stage::Filter).verdict(), step(&filtered, Stage::ThreadKey).verdict()), (Verdict::Stop, Verdict::Skipped));
    assert_eq!(step(&filtered, Stage::Filter).values.get("payload.issue.number").map(String::as_str), Some("13"));

    let forged = world.delivery(&forged.id).await.steps;
    let verify = step(&forged, Stage::Verify);
    assert_eq!((verify.verdict(), verify.reason()), (Verdict::Stop, v1::DeliveryReason::SignatureMismatch));
    assert!(forged[1..].iter().all(|step| step.verdict() == Verdict::Skipped));
}

#[tokio::test]
async fn the_busy_policy_says_what_it_would_do() {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let mut world = World::new(|trigger| {
        let coalesce = v1::CoalescePolicy { quiet_period: seconds(30), max_wait: seconds(60), max_batch: Some(9) };
        trigger.busy = Some(v1::BusyPolicy { policy: Some(v1::busy_policy::Policy::Coalesce(coalesce)) });
    })
    .await;
    assert_eq!(world.explained(|_| {}).await.busy_effect, "no session yet → starts after 30 s");
    let payload = hook::comment(412, "first");
    hook::github(&world.url, &world.secret, "issue_comment", "d-1", &payload).await.expect("answered");
    let joins = world.explained(|_| {}).await;
    assert_eq!(joins.busy_effect, "session waiting → joins the run that waits, as its event 2");
    assert_eq!(step(&joins.steps, Stage::Policy).reason(), v1::DeliveryReason::MergedIntoWaiting);
    assert_eq!(world.explained(|_| {}).await.busy_effect, joins.busy_effect, "asking changes nothing");
    let own = world.explained(|request| request.thread_key = Some(String::new())).await;
    assert_eq!((own.busy_effect.as_str(), own.thread_key.as_str()), ("no session yet → starts at once", ""));
}

#[tokio::test]
async fn the_command_prints_the_walk() {
    let mut world = World::new(|trigger| trigger.filter_expression = Some("event.action == 'created'".to_owned())).await;
    let ask = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_reprise"))
            .args(["trigger", "fire", "reviews", "--explain"])
            .args(arguments)
            .env("REPRISE_ADDR", &world.server.url)
            .env("REPRISE_KEY", KEY)
            .output()
            .expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = ask(&["--sample", "issue_comment"]);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "verify      skipped   fired by hand");
    assert_eq!(lines[1], "author      pass      maria MEMBER");
    assert!(lines[2].starts_with("filter      pass      true") && lines[2].ends_with("action = \"created\""), "{told}");
    assert!(lines[3].starts_with("thread key  pass      acme/shop#412") && lines[3].contains("issue.number = 412"), "{told}");
    assert_eq!(lines[4], "busy        pass      no session yet → starts at once");
    assert!(lines[5].starts_with("prompt      pass      ") && lines[5].ends_with("--print … --session-id <new id>"), "{told}");
    assert_eq!(lines[6], "nothing was run");
    let body = json!({ "action": "deleted" }).to_string();
    let stopped = ask(&["--data", &body, "--header", "x-github-event:issue_comment"]);
    assert!(stopped.contains("filter      stop      `filter_expression` is false for this event  action = \"deleted\""), "{stopped}");
    assert!(world.deliveries().await.is_empty());
}
