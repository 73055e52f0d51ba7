//! Following a run: replay, then live, gapless, to the end.

use std::time::{Duration, Instant};

use reprise::proto::v1::{self, watch_run_response::Event};

use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};

async fn world() -> (Server, Client, String, String) {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    // The double bills each line.
    let no_limit = |trigger: &mut v1::Trigger| trigger.run_limits = Some(v1::RunLimits { max_cost_usd: Some(0.0), ..Default::default() });
    let (url, secret) = client.github_trigger("reviews", no_limit).await;
    (server, client, url, secret)
}

async fn sequences(client: &mut Client, request: v1::WatchRunRequest) -> Vec<i32> {
    let mut stream = client.runs.watch_run(request).await.expect("watched").into_inner();
    let mut seen = Vec::new();
    while let Some(message) = stream.message().await.expect("a message") {
        if let Some(Event::Entry(entry)) = message.event {
            assert_eq!(entry.sequence, message.sequence);
            seen.push(entry.sequence);
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn from_any_sequence_and_at_any_time_the_journal_is_gapless_and_ends_with_the_outcome() {
    let (_server, mut client, url, secret) = world().await;
    let answer =
        hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[lines: 3000]] [[sleep: 1]]")).await.expect("answered");
    // A place that is not written yet is refused.
    while client.run(&answer.run_id()).await.last_sequence < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let readers: Vec<_> = (0..20)
        .map(|n| {
            let (mut client, run_id) = (client.clone(), answer.run_id());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(n * 60)).await;
                let after = i32::try_from(n % 3).expect("small");
                let position = Some(v1::watch_run_request::Position::AfterSequence(after));
                (after, sequences(&mut client, v1::WatchRunRequest { run_id, position, ..Default::default() }).await)
            })
        })
        .collect();
    let end = client.ended(&answer.run_id()).await.last_sequence;
    assert!(end > 3000);
    for reader in readers {
        let (after, seen) = reader.await.expect("read");
        assert_eq!(seen, (after + 1..=end).collect::<Vec<_>>());
    }
    let tail =
        v1::WatchRunRequest { run_id: answer.run_id(), position: Some(v1::watch_run_request::Position::Tail(5)), ..Default::default() };
    assert_eq!(sequences(&mut client, tail).await, (end - 4..=end).collect::<Vec<_>>());
    let beyond = v1::WatchRunRequest {
        run_id: answer.run_id(),
        position: Some(v1::watch_run_request::Position::AfterSequence(end + 1)),
        ..Default::default()
    };
    let refused = client.runs.watch_run(beyond).await.expect_err("beyond the end");
    assert_eq!(refused.code(), tonic::Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_stream_goes_on_at_its_sequence_with_nothing_twice() {
    let (_server, mut client, url, secret) = world().await;
    let answer =
        hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[lines: 500]] [[sleep: 1]]")).await.expect("answered");
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let position = Some(v1::watch_run_request::Position::AfterSequence(after));
        let request = v1::WatchRunRequest { run_id: answer.run_id(), position, ..Default::default() };
        let mut stream = client.runs.watch_run(request).await.expect("watched").into_inner();
        let mut ended = true;
        for _ in 0..120 {
            match stream.message().await.expect("a message") {
                None => break,
                Some(message) => {
                    after = message.sequence;
                    if let Some(Event::Entry(entry)) = message.event {
                        seen.push(entry.sequence);
                    }
                    ended = false;
                }
            }
        }
        if ended || stream.message().await.is_ok_and(|message| message.is_none()) {
            break;
        }
        // The message read to see whether it ends is read again after the reconnect, since `after` did not move.
    }
    assert_eq!(seen, (1..=client.run(&answer.run_id()).await.last_sequence).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_gone_readers_cost_the_run_nothing() {
    let (server, mut client, url, secret) = world().await;
    // On a connection of their own: streams of one connection share its window.
    let mut lazy = Client::connect(&server).await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[lines: 5000]]")).await.expect("answered");
    let mut slow = Vec::new();
    for n in 0..10 {
        let request = v1::WatchRunRequest { run_id: answer.run_id(), ..Default::default() };
        let stream = lazy.runs.watch_run(request).await.expect("watched").into_inner();
        if n % 2 == 0 {
            // Never read from; the others are gone at once.
            slow.push(stream);
        }
    }
    let begin = Instant::now();
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_tells_its_readers_and_the_run_goes_on_after() {
    let (mut server, mut client, url, secret) = world().await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[sleep: 3]]")).await.expect("answered");
    let mut stream =
        client.runs.watch_run(v1::WatchRunRequest { run_id: answer.run_id(), ..Default::default() }).await.expect("watched").into_inner();
    stream.message().await.expect("the first message comes at once");
    let pid = server.pid();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).expect("told to stop");
    let end = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    // Either the run ended within the drain, or its reader was told why the stream ends.
    if let Some(status) = end {
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
    }
    server.stop();
    server.start();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn partial_text_comes_before_its_entry_and_fits_it() {
    let (_server, mut client, url, secret) = world().await;
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[partial: 40]]")).await.expect("answered");
    let request = v1::WatchRunRequest { run_id: answer.run_id(), include_partial: true, ..Default::default() };
    let mut stream = client.runs.watch_run(request).await.expect("watched").into_inner();
    let (mut open, mut block, mut deltas) = (String::new(), String::new(), 0);
    let mut matched = false;
    while let Some(message) = stream.message().await.expect("a message") {
        match message.event {
            Some(Event::Delta(delta)) => {
                deltas += 1;
                let keep = usize::try_from(delta.offset).expect("not negative");
                open = if delta.block_id == block { open.chars().take(keep).collect() } else { String::new() };
                open.push_str(&delta.text);
                block = delta.block_id;
            }
            Some(Event::Entry(v1::JournalEntry { kind: Some(v1::journal_entry::Kind::Text(text)), .. })) if text.block_id == block => {
                assert!(text.text.starts_with(&open), "{open:?} is no beginning of {:?}", text.text);
                matched = true;
            }
            _ => {}
        }
    }
    assert!(deltas > 0 && matched, "{deltas} deltas came");
}
