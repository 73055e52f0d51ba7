//! What runs cost, added up over the rpc.

use reprise::proto::v1;
use tonic_types::StatusExt;

use crate::migrations::postgres;
use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};
use crate::support::wire::Wire;

async fn usage_adds_up(server: &Server) {
    let mut client = Client::connect(server).await;
    let mut runs = Vec::new();
    for slug in ["first", "second"] {
        let (url, secret) = client.github_trigger(slug, |_| {}).await;
        for n in 0..2 {
            let answer = hook::github(&url, &secret, "issue_comment", &format!("{slug}-{n}"), &hook::comment(1, "hello")).await;
            runs.push(client.ended(&answer.expect("answered").run_id()).await);
        }
        let mut bot = hook::comment(1, "beep");
        bot["sender"]["type"] = "Bot".into();
        let answer = hook::github(&url, &secret, "issue_comment", &format!("{slug}-bot"), &bot).await.expect("answered");
        assert_eq!(answer.outcome(), "filtered");
    }
    let cost = |runs: &[v1::Run]| runs.iter().map(|run| run.usage.as_ref().expect("usage").cost_usd).sum::<f64>();
    assert!(cost(&runs) > 0.0);

    let request = v1::QueryUsageRequest {
        bucket: v1::UsageBucket::Day.into(),
        time_zone: "Asia/Kolkata".to_owned(),
        group_by: vec![v1::UsageGroup::Trigger.into()],
        page_size: 1,
        ..Default::default()
    };
    let first = client.runs.query_usage(request.clone()).await.expect("added up").into_inner();
    let next = v1::QueryUsageRequest { page_token: first.next_page_token.clone(), ..request.clone() };
    let second = client.runs.query_usage(next).await.expect("added up").into_inner();
    assert!(!first.next_page_token.is_empty() && second.next_page_token.is_empty());
    let rows: Vec<&v1::UsageRow> = first.rows.iter().chain(&second.rows).collect();
    let mut slugs: Vec<&str> = rows.iter().map(|row| row.trigger_slug.as_str()).collect();
    slugs.sort_unstable();
    assert_eq!(slugs, ["first", "second"]);
    for row in rows {
        assert_eq!((row.run_count, row.succeeded_count, row.continued_count, row.basis_count), (2, 2, 1, 1));
        assert_eq!(row.not_started_count, 1);
        let mine: Vec<v1::Run> = runs.iter().filter(|run| run.trigger_id == row.trigger_id).cloned().collect();
        assert!((row.usage.as_ref().expect("usage").cost_usd - cost(&mine)).abs() < 1e-9);
        // The one fresh run is the median.
        let saved = cost(&mine[..1]) - cost(&mine[1..]);
        assert!((row.saved_usd.expect("known") - saved).abs() < 1e-9);
        // Midnight in Kolkata is half past an hour in UTC.
        assert_eq!(row.bucket_start_time.as_ref().expect("a day").seconds % 3600, 1800);
        assert!(row.wait_p50.is_some());
    }
    let total = first.total.expect("a total");
    assert_eq!((total.run_count, total.not_started_count, total.basis_count), (4, 2, 2));
    assert!((total.usage.expect("usage").cost_usd - cost(&runs)).abs() < 1e-9);

    let token = v1::QueryUsageRequest { page_token: first.next_page_token, time_zone: "UTC".to_owned(), ..request };
    let refused = client.runs.query_usage(token).await.expect_err("another query's token");
    assert_eq!(refused.get_error_details().error_info().expect("info").reason, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn usage_adds_up_on_sqlite() {
    usage_adds_up(&Setup::fake().start()).await;
}

#[tokio::test]
async fn usage_adds_up_on_postgresql() {
    let Some(database) = postgres() else { return };
    usage_adds_up(&Setup { database: Some(database), ..Setup::fake() }.start()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_used_counts_once_when_the_databases_answer_is_lost() {
    let Some(database) = crate::migrations::postgres() else { return };
    // Only the sums of an attempt's processes are written with this column.
    let wire = Wire::start(&database, "\"counted_spawns\" = ", 1).await;
    let server = Setup { database: Some(wire.url.clone()), ..Setup::fake() }.start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[cost: 0.25]]")).await.expect("answered");
    let run = client.ended(&answer.run_id()).await;
    assert_eq!(wire.lost(), 1, "the answer was lost");
    assert_eq!((run.state(), run.attempt), (v1::RunState::Succeeded, 1), "{:?}", run.failure);
    let usage = run.usage.expect("usage");
    assert!((usage.cost_usd - 0.25).abs() < 1e-9, "counted once: {usage:?}");
    let session = client.session("reviews", "acme/shop#1").await.usage.expect("usage");
    assert_eq!(session.cost_usd, usage.cost_usd);
}

/// The run as a list tells of it, once the list knows that it costs something.
async fn listed_with_cost(client: &mut Client, run_id: &str) -> v1::Run {
    let mut stream = client.runs.watch_runs(v1::WatchRunsRequest::default()).await.expect("watched").into_inner();
    let reading = async {
        while let Some(message) = stream.message().await.expect("it goes on") {
            if let Some(v1::watch_runs_response::Event::Run(run)) = message.event
                && run.id == run_id
                && run.usage.as_ref().is_some_and(|usage| usage.cost_usd > 0.0)
            {
                return run;
            }
        }
        panic!("it ended");
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), reading).await.expect("told while it is live")
}

/// A live run is listed with what it used so far, and what a killed server's attempt used is counted.
async fn cost_so_far(mut server: Server) {
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("live", |_| {}).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "hello")).await.expect("answered");
    let run_id = answer.run_id();
    let told = listed_with_cost(&mut client, &run_id).await;
    let usage = told.usage.clone().expect("usage");
    assert_eq!((told.state(), usage.cost_basis(), told.attempts.len()), (v1::RunState::Running, v1::CostBasis::Metered, 0));
    let listed = client.runs.list_runs(v1::ListRunsRequest::default()).await.expect("listed").into_inner().runs;
    assert_eq!(listed[0].usage.as_ref().expect("usage").cost_usd, usage.cost_usd);
    let whole = client.run(&run_id).await;
    assert_eq!(whole.attempts[0].usage.as_ref().expect("usage").cost_usd, usage.cost_usd);
    assert!(whole.context_tokens > 0);

    server.kill();
    server.start();
    let mut client = Client::connect(&server).await;
    let request = v1::CancelRunRequest { run_id: run_id.clone(), ..Default::default() };
    let second = async {
        // The next attempt is live when it was metered more than the first used.
        loop {
            let run = listed_with_cost(&mut client, &run_id).await;
            if run.attempt == 2 && run.usage.as_ref().is_some_and(|now| now.cost_usd > usage.cost_usd) {
                return run;
            }
        }
    };
    let second = tokio::time::timeout(std::time::Duration::from_secs(30), second).await.expect("another attempt");
    client.runs.cancel_run(request).await.expect("asked");
    let ended = client.ended(&run_id).await;
    let costs: Vec<f64> = ended.attempts.iter().map(|attempt| attempt.usage.as_ref().expect("usage").cost_usd).collect();
    assert_eq!((costs.len(), costs[0]), (2, usage.cost_usd), "the attempt that the server did not survive costs what it cost");
    let sum = ended.usage.as_ref().expect("usage");
    assert!((sum.cost_usd - costs.iter().sum::<f64>()).abs() < 1e-9, "{costs:?}");
    assert!(second.usage.expect("usage").cost_usd <= sum.cost_usd + 1e-9);
    let session = client.session("live", &ended.thread_key).await;
    assert!((session.usage.expect("usage").cost_usd - sum.cost_usd).abs() < 1e-9);
    assert!((sum.by_model.iter().map(|one| one.cost_usd).sum::<f64>() - sum.cost_usd).abs() < 1e-9, "{sum:?}");
}

/// Every attempt says a little and then nothing more.
fn hanging() -> Setup {
    let script = ("FAKE_CLAUDE_SCRIPT".to_owned(), "[[lines: 3]] [[hang]]".to_owned());
    Setup { agent_env: vec![script], ..Setup::fake() }.with("[runner]\nkill_grace_seconds = 1")
}

#[tokio::test]
async fn a_live_run_costs_what_it_used_so_far_and_a_killed_servers_attempt_is_not_free() {
    cost_so_far(hanging().start()).await;
}

#[tokio::test]
async fn cost_so_far_on_postgresql_too() {
    let Some(database) = postgres() else { return };
    cost_so_far(Setup { database: Some(database), ..hanging() }.start()).await;
}
