//! Agents that are missing, too old, broken or endless: each run ends in a failure that has a name, and the session stays usable.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};

async fn world(setup: Setup, change: impl FnOnce(&mut v1::Trigger)) -> (Server, Client, String, String) {
    let server = setup.start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", change).await;
    (server, client, url, secret)
}

async fn run(client: &mut Client, url: &str, secret: &str, delivery: &str, text: &str) -> v1::Run {
    let answer = hook::github(url, secret, "issue_comment", delivery, &hook::comment(412, text)).await.expect("answered");
    assert_eq!(answer.status, 200);
    client.ended(&answer.run_id()).await
}

fn failed(run: &v1::Run, reason: v1::FailureReason) {
    assert_eq!(run.state(), v1::RunState::Failed, "{run:?}");
    let failure = run.failure.as_ref().expect("a failure");
    assert_eq!(failure.reason(), reason, "{failure:?}");
    assert!(!failure.message.is_empty() && !failure.remedy.is_empty(), "{failure:?}");
}

#[tokio::test]
async fn each_way_to_fail_has_its_name_and_the_session_goes_on() {
    let (server, mut client, url, secret) = world(Setup::fake().with("[runner]\nkill_grace_seconds = 1"), |_| {}).await;
    let cases = [
        ("[[garbage]]", v1::FailureReason::AgentOutputInvalid),
        ("[[noresult]]", v1::FailureReason::AgentOutputInvalid),
        ("[[exit: 7]]", v1::FailureReason::AgentCrashed),
        ("[[error: 401]]", v1::FailureReason::AgentNotLoggedIn),
        ("[[error: 529]]", v1::FailureReason::ModelOverloaded),
        ("[[error: 404]]", v1::FailureReason::ModelUnknown),
    ];
    for (n, (directive, reason)) in cases.iter().enumerate() {
        let ended = run(&mut client, &url, &secret, &format!("d-{n}"), &format!("please {directive}")).await;
        failed(&ended, *reason);
        let next = run(&mut client, &url, &secret, &format!("ok-{n}"), "and now again").await;
        assert_eq!(next.state(), v1::RunState::Succeeded, "after {directive}: {:?}", next.failure);
    }
    drop(server);
}

#[tokio::test]
async fn a_run_that_never_ends_is_ended_by_its_timeouts() {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let (_server, mut client, url, secret) = world(Setup::fake().with("[runner]\nkill_grace_seconds = 1"), |trigger| {
        trigger.run_limits = Some(v1::RunLimits { timeout: seconds(6), silence_timeout: seconds(2), ..Default::default() });
    })
    .await;
    failed(&run(&mut client, &url, &secret, "d-1", "[[hang]]").await, v1::FailureReason::Silent);
    let update = v1::Trigger {
        id: "reviews".to_owned(),
        run_limits: Some(v1::RunLimits { timeout: seconds(2), silence_timeout: seconds(60), ..Default::default() }),
        ..Default::default()
    };
    client.triggers.update_trigger(v1::UpdateTriggerRequest { trigger: Some(update), ..Default::default() }).await.expect("updated");
    failed(&run(&mut client, &url, &secret, "d-2", "[[sleep: 60]]").await, v1::FailureReason::TimedOut);
    assert_eq!(run(&mut client, &url, &secret, "d-3", "fine now").await.state(), v1::RunState::Succeeded);
}

#[tokio::test]
async fn a_run_that_is_done_stays_done_when_its_agent_has_to_be_ended() {
    let (_server, mut client, url, secret) = world(Setup::fake().with("[runner]\nkill_grace_seconds = 1"), |_| {}).await;
    let ended = run(&mut client, &url, &secret, "d-1", "[[say: all done]] [[cost: 0.25]] [[linger: 60]]").await;
    assert_eq!((ended.state(), ended.result_text.as_str()), (v1::RunState::Succeeded, "all done"), "{:?}", ended.failure);
    assert!((ended.usage.expect("usage").cost_usd - 0.25).abs() < 1e-9, "what it cost counts once");
    let next = run(&mut client, &url, &secret, "d-2", "[[recall: all done]]").await;
    assert_eq!((next.state(), next.result_text.as_str()), (v1::RunState::Succeeded, "recall yes: all done"));
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once_and_its_conversation_stays() {
    let (_server, mut client, url, secret) = world(Setup::fake().with("[runner]\nkill_grace_seconds = 1"), |_| {}).await;
    assert_eq!(run(&mut client, &url, &secret, "d-1", "first").await.state(), v1::RunState::Succeeded);
    let answer = hook::github(&url, &secret, "issue_comment", "d-2", &hook::comment(412, "[[sleep: 60]]")).await.expect("answered");
    let waiting = hook::github(&url, &secret, "issue_comment", "d-3", &hook::comment(412, "behind it")).await.expect("answered");
    let queued =
        hook::github(&url, &secret, "issue_comment", "d-4", &hook::comment(412, "cancelled while queued")).await.expect("answered");
    let cancelled =
        client.runs.cancel_run(v1::CancelRunRequest { run_id: queued.run_id(), ..Default::default() }).await.expect("cancelled");
    assert_eq!(cancelled.into_inner().run.expect("a run").state(), v1::RunState::Cancelled, "a queued run is cancelled at once");
    while client.run(&answer.run_id()).await.state() != v1::RunState::Running {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..2 {
        client
            .runs
            .cancel_run(v1::CancelRunRequest { run_id: answer.run_id(), reason: "enough".to_owned(), ..Default::default() })
            .await
            .expect("accepted twice");
    }
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Cancelled);
    let next = client.ended(&waiting.run_id()).await;
    assert_eq!((next.state(), next.lineage()), (v1::RunState::Succeeded, v1::Lineage::Continued));
}

#[tokio::test]
async fn an_executable_that_is_missing_or_too_old_says_what_to_do() {
    let setup = Setup { claude: PathBuf::from("/nowhere/claude"), ..Setup::fake() };
    let (_server, mut client, url, secret) = world(setup, |_| {}).await;
    failed(&run(&mut client, &url, &secret, "d-1", "hello").await, v1::FailureReason::AgentMissing);

    let dir = tempfile::tempdir().expect("temp dir");
    let old = dir.path().join("claude");
    fs::write(&old, "#!/bin/sh\n[ \"$1\" = --version ] && { echo '2.0.1 (Claude Code)'; exit 0; }\necho \"error: unknown option '--restricted'\" >&2\nexit 1\n").expect("written");
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).expect("executable");
    let (_server, mut client, url, secret) = world(Setup { claude: old, ..Setup::fake() }, |_| {}).await;
    failed(&run(&mut client, &url, &secret, "d-1", "hello").await, v1::FailureReason::AgentUnsupported);
}

#[tokio::test]
async fn a_stale_session_is_restored_or_begun_anew_and_never_fails_the_run() {
    let (server, mut client, url, secret) = world(Setup::fake(), |_| {}).await;
    assert_eq!(run(&mut client, &url, &secret, "d-1", "first").await.state(), v1::RunState::Succeeded);
    // A transcript that is there but holds nothing: the agent calls that stale, and custody has the real one.
    for entry in walk(&server.data().join("agent")) {
        if entry.extension().is_some_and(|extension| extension == "jsonl") {
            fs::write(entry, "garbage\n").expect("damaged");
        }
    }
    let second = run(&mut client, &url, &secret, "d-2", "second").await;
    assert_eq!((second.state(), second.lineage()), (v1::RunState::Succeeded, v1::Lineage::Restored));
    assert_eq!(client.session("reviews", "acme/shop#412").await.generation, 1);
}

fn walk(dir: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

#[tokio::test]
async fn large_and_broken_output_is_kept_in_order_and_bounded() {
    // The double bills each line.
    let no_limit = |trigger: &mut v1::Trigger| trigger.run_limits = Some(v1::RunLimits { max_cost_usd: Some(0.0), ..Default::default() });
    let (server, mut client, url, secret) = world(Setup::fake(), no_limit).await;
    for (n, directive) in
        ["[[lines: 5000]]", "[[longline: 40000000]]", "[[badutf8]]", "[[stderr: careful]]", "[[toolcall]]"].iter().enumerate()
    {
        let answer =
            hook::github(&url, &secret, "issue_comment", &format!("d-{n}"), &hook::comment(412, directive)).await.expect("answered");
        let (entries, run) = client.watch(&answer.run_id()).await;
        assert_eq!(run.state(), v1::RunState::Succeeded, "{directive}: {:?}", run.failure);
        let sequences: Vec<i32> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (1..=run.last_sequence).collect::<Vec<_>>(), "{directive}");
    }
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("status");
    let rss_kb: u64 =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok()).expect("a figure");
    assert!(rss_kb < 250_000, "peak of {rss_kb} kB");
}
