//! Several servers as one: what one does, every other shows, and what is asked of one, every other does.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use reprise::proto::v1;
use reprise::proto::v1::watch_run_response::Event;

use crate::support::client::Client;
use crate::support::cluster::{Cluster, SHORT_LEASES, TAKEN_OVER_WITHIN};
use crate::support::hook;
use crate::support::model::Model;
use crate::support::server::{Setup, real_claude};

const SOON: Duration = Duration::from_secs(20);

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis().try_into().expect("fits")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_on_another_machine_under_another_path() {
    let Some(mut cluster) = Cluster::start(1) else { return };
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(7, "the word is walrus")).await.expect("answered");
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
    cluster.servers[0].stop();
    cluster.add("all");
    let mut client = Client::connect(&cluster.servers[1]).await;
    let url = format!("{}{}", cluster.servers[1].url, &url[url.find("/hooks").expect("a path")..]);
    let answer = hook::github(&url, &secret, "issue_comment", "d-2", &hook::comment(7, "[[recall: walrus]]")).await.expect("answered");
    let run = client.ended(&answer.run_id()).await;
    assert_eq!((run.state(), run.result_text.as_str()), (v1::RunState::Succeeded, "recall yes: walrus"));
    let spawns = cluster.spawns();
    assert_eq!((cluster.server_of(&spawns[0]), cluster.server_of(&spawns[1])), (0, 1));
    assert_ne!(spawns[0].cwd, spawns[1].cwd);
    assert!(spawns[1].resumed() && spawns[0].session == spawns[1].session);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_and_cancelled_from_a_server_that_does_not_work_on_it() {
    let Some(mut cluster) = Cluster::start(0) else { return };
    cluster.add("api");
    cluster.add("worker");
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let text = hook::comment(1, "[[partial: 50]] [[lines: 20]]");
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &text).await.expect("answered");
    let request = v1::WatchRunRequest { run_id: answer.run_id(), include_partial: true, ..Default::default() };
    let mut stream = client.runs.watch_run(request).await.expect("watched").into_inner();
    let (mut sequences, mut delays, mut deltas, mut last) = (Vec::new(), Vec::new(), 0, v1::Run::default());
    while let Some(message) = stream.message().await.expect("a message") {
        match message.event {
            Some(Event::Entry(entry)) => {
                let time = entry.time.expect("a time");
                delays.push(now_ms() - (time.seconds * 1000 + i64::from(time.nanos / 1_000_000)));
                sequences.push(entry.sequence);
            }
            Some(Event::Delta(_)) => deltas += 1,
            Some(Event::Run(run)) => last = run,
            _ => {}
        }
    }
    assert_eq!(last.state(), v1::RunState::Succeeded);
    assert_eq!(sequences, (1..=last.last_sequence).collect::<Vec<_>>(), "no gap, nothing twice");
    assert!(deltas > 20, "partial text is shown here too: {deltas} pieces came");
    delays.sort_unstable();
    let (p50, p99) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
    eprintln!("from the agent's line to another server's reader: p50 {p50} ms, p99 {p99} ms, {deltas} pieces");
    assert!(p50 < 500, "p50 {p50} ms on a busy machine");
    assert_eq!(cluster.spawns().iter().filter(|spawn| cluster.server_of(spawn) == 1).count(), 1, "the worker works, the other does not");

    let answer = hook::github(&url, &secret, "issue_comment", "d-2", &hook::comment(2, "[[hang]]")).await.expect("answered");
    cluster.spawned(2, SOON).await;
    let asked = Instant::now();
    let request = v1::CancelRunRequest { run_id: answer.run_id(), ..Default::default() };
    client.runs.cancel_run(request).await.expect("asked");
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Cancelled);
    // SIGINT is not heard by this one, so the kill grace of one second passes.
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_refuses_gently_and_its_runs_go_on_elsewhere() {
    let Some(mut cluster) = Cluster::start(0) else { return };
    for _ in 0..2 {
        cluster.add("all");
    }
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[sleep: 60]]")).await.expect("answered");
    let first = cluster.spawned(1, SOON).await.remove(0);
    let (leaving, staying) = (cluster.server_of(&first), 1 - cluster.server_of(&first));
    let mut reader = Client::connect(&cluster.servers[leaving]).await;
    let request = v1::WatchRunRequest { run_id: answer.run_id(), ..Default::default() };
    let mut stream = reader.runs.watch_run(request.clone()).await.expect("watched").into_inner();
    let mut seen = stream.message().await.expect("a message").expect("the first one").sequence;
    cluster.servers[leaving].signal(Signal::SIGTERM);
    let begin = Instant::now();
    let refused = loop {
        let hook = format!("{}{path}", cluster.servers[leaving].url);
        let answer = hook::github(&hook, &secret, "issue_comment", "d-2", &hook::comment(2, "hello")).await.expect("still answered");
        if answer.status != 200 {
            break answer;
        }
        assert!(begin.elapsed() < SOON, "it takes webhooks on and on");
    };
    assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true));
    let ready = hook::request("GET", &format!("{}/readyz", cluster.servers[leaving].url), &[], "").await.expect("answered");
    assert_eq!(ready.status, 503);
    let end = loop {
        match stream.message().await {
            Ok(Some(message)) => seen = seen.max(message.sequence),
            Ok(None) => panic!("the stream ended as if the run had"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), tonic::Code::Unavailable, "{end:?}");
    assert!(end.message().contains("stopping"), "{end:?}");
    // The reader goes on where it was, on the other server.
    let mut client = Client::connect(&cluster.servers[staying]).await;
    let position = Some(v1::watch_run_request::Position::AfterSequence(seen));
    let mut stream = client.runs.watch_run(v1::WatchRunRequest { position, ..request }).await.expect("watched").into_inner();
    let (mut next, mut state) = (seen, v1::RunState::Unspecified);
    while let Some(message) = stream.message().await.expect("a message") {
        match message.event {
            Some(Event::Entry(entry)) => {
                next += 1;
                assert_eq!(entry.sequence, next);
            }
            Some(Event::Run(run)) => state = run.state(),
            _ => {}
        }
    }
    assert_eq!(state, v1::RunState::Succeeded);
    cluster.servers[leaving].stop();
    let spawns = cluster.spawned(2, TAKEN_OVER_WITHIN).await;
    let again = spawns.iter().rev().find(|spawn| spawn.run_id() == first.run_id()).expect("it went on");
    assert_eq!((cluster.server_of(again), &again.session), (staying, &first.session));
    assert_eq!(client.run(&answer.run_id()).await.attempt, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_agent_remembers_on_another_machine_under_another_path() {
    let (Some(claude), Some(database)) = (real_claude(), crate::migrations::postgres()) else { return };
    let dir = tempfile::tempdir().expect("temp dir");
    let model = Model::start(dir.path(), "HERON");
    let mut cluster = Cluster::new(Setup { database: Some(database), ..Setup::real(claude, &model.url) }.with(SHORT_LEASES));
    cluster.add("all");
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    let first = hook::comment(412, "Please review this pull request and give the review a code word.");
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &first).await.expect("answered");
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
    cluster.servers[0].stop();
    cluster.add("all");
    let mut client = Client::connect(&cluster.servers[1]).await;
    let url = format!("{}{path}", cluster.servers[1].url);
    let second = hook::comment(412, "What was the code word, and which ideas did you reject?");
    let answer = hook::github(&url, &secret, "issue_comment", "d-2", &second).await.expect("answered");
    let run = client.ended(&answer.run_id()).await;
    assert_eq!((run.state(), run.lineage()), (v1::RunState::Succeeded, v1::Lineage::Restored), "{:?}", run.failure);
    assert!(run.result_text.contains("HERON"), "{}", run.result_text);
}
