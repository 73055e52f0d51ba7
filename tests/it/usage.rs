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
