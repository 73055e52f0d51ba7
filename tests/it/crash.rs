//! `kill -9` of the server under load: nothing acked is lost, nothing runs twice at once, nothing is left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reprise::proto::v1;
use tokio::sync::Mutex;

use crate::support::claude::spawns;
use crate::support::client::Client;
use crate::support::load::Load;
use crate::support::server::{KEY, Setup};
use crate::support::{hook, processes};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_leaves_no_process_and_its_run_goes_on() {
    let mut server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let payload = hook::comment(412, "event 0 of thread 412 [[orphan]] [[sleep: 30]]");
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &payload).await.expect("answered");
    let begin = Instant::now();
    while spawns(&server.journal_path()).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(10), "the run did not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.kill();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    server.start();
    let mut client = Client::connect(&server).await;
    let begin = Instant::now();
    while spawns(&server.journal_path()).len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(10), "no second attempt");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let run = client.run(&answer.run_id()).await;
    assert_eq!(run.attempt, 2);
    assert_eq!(run.attempts[0].exit(), v1::AttemptExit::Interrupted);
    let spawns = spawns(&server.journal_path());
    assert_eq!(spawns[0].run_id(), spawns[1].run_id(), "the same run");
    assert_eq!(spawns[0].session, spawns[1].session, "the same conversation");
    // The note to go on does not tell the double to sleep again.
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_under_load_lose_nothing_and_double_nothing() {
    let mut server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client
        .github_trigger("load", |trigger| {
            trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() });
            trigger.retry = Some(v1::RetryPolicy { max_attempts: Some(10), ..Default::default() });
        })
        .await;
    let load = Load {
        targets: Arc::new(Mutex::new(vec![server.url.clone()])),
        path: url[url.find("/hooks").expect("a path")..].to_owned(),
        secret,
        threads: 20,
        events: 10,
        marks: "[[sleep: 0.05]]".to_owned(),
    };
    let senders = load.send();
    let mut kills = 0;
    while kills < 20 {
        tokio::time::sleep(Duration::from_millis(150 + (kills * 97) % 400)).await;
        server.kill();
        kills += 1;
        server.start();
        *load.targets.lock().await = vec![server.url.clone()];
    }
    let acked = Load::acked(senders).await;

    let mut client = Client::connect(&server).await;
    let begin = Instant::now();
    loop {
        let request = v1::ListRunsRequest { states: vec![v1::RunState::Succeeded.into()], page_size: 500, ..Default::default() };
        let done = client.runs.list_runs(request).await.expect("listed").into_inner().runs;
        if done.len() == 200 {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "only {} of 200 runs succeeded", done.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    load.judge(&spawns(&server.journal_path()), &acked);
    server.stop();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    assert!(!server.log().contains(KEY), "no key in the log");
}
