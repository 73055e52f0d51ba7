//! `kill -9` of the server: its agents end, and their runs go on.

use std::time::{Duration, Instant};

use reprise::proto::v1;

use crate::support::claude::spawns;
use crate::support::client::Client;
use crate::support::server::Setup;
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
