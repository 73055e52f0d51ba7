//! Many webhooks over many threads: order, one live turn each, one run per delivery id. The judge is the test double's
//! own journal, never the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reprise::proto::v1;

use crate::support::claude::{Spawn, spawns};
use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::Setup;

/// No two processes of one conversation were alive at once.
pub(crate) fn assert_no_overlap(spawns: &[Spawn]) {
    let mut by_session: BTreeMap<&str, Vec<&Spawn>> = BTreeMap::new();
    for spawn in spawns {
        by_session.entry(spawn.session.as_str()).or_default().push(spawn);
    }
    for (session, spawns) in by_session {
        for pair in spawns.windows(2) {
            let end = pair[0].end_us.unwrap_or(pair[0].alive_us);
            assert!(end <= pair[1].start_us, "two live turns of session {session}: {:?} and {:?}", pair[0].mark, pair[1].mark);
        }
    }
}

/// The number that a prompt carries as `event <n> of thread <t>`.
pub(crate) fn event_of(spawn: &Spawn) -> (u32, u32) {
    let text = spawn.prompt.split("event ").nth(1).unwrap_or_default();
    let mut words = text.split_whitespace();
    let event = words.next().and_then(|n| n.parse().ok()).unwrap_or(u32::MAX);
    let thread = words.nth(2).and_then(|t| t.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()).unwrap_or(u32::MAX);
    (thread, event)
}

async fn all_done(client: &mut Client, expected: usize) {
    let done = async {
        loop {
            let request = v1::ListRunsRequest { states: vec![v1::RunState::Succeeded.into()], page_size: 500, ..Default::default() };
            if client.runs.list_runs(request).await.expect("listed").into_inner().runs.len() >= expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), done).await.expect("all runs ended within 120 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_webhooks_over_twenty_threads_keep_order_and_never_overlap() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client
        .github_trigger("load", |trigger| {
            trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() });
        })
        .await;
    // Each thread's sender sends in order, all threads at once, each delivery twice.
    let senders: Vec<_> = (0..20_u32)
        .map(|thread| {
            let (url, secret) = (url.clone(), secret.clone());
            tokio::spawn(async move {
                for event in 0..10_u32 {
                    let payload = hook::comment(i64::from(thread), &format!("event {event} of thread {thread}"));
                    for _ in 0..2 {
                        let answer =
                            hook::github(&url, &secret, "issue_comment", &format!("{thread}-{event}"), &payload).await.expect("answered");
                        assert_eq!(answer.status, 200);
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("sent");
    }
    all_done(&mut client, 200).await;

    let spawns = spawns(&server.journal_path());
    assert_eq!(spawns.len(), 200, "one process per delivery id");
    assert_eq!(spawns.iter().map(Spawn::run_id).collect::<BTreeSet<_>>().len(), 200);
    assert_no_overlap(&spawns);
    let mut order: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for spawn in &spawns {
        let (thread, event) = event_of(spawn);
        order.entry(thread).or_default().push(event);
    }
    assert_eq!(order.len(), 20);
    for (thread, events) in order {
        assert_eq!(events, (0..10).collect::<Vec<_>>(), "order of thread {thread}");
    }
    let sessions: BTreeSet<&str> = spawns.iter().map(|spawn| spawn.session.as_str()).collect();
    assert_eq!(sessions.len(), 20, "one conversation per thread");
    assert_eq!(spawns.iter().filter(|spawn| spawn.resumed()).count(), 180);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_one_run_under_coalesce() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client
        .github_trigger("bursts", |trigger| {
            trigger.busy = Some(v1::BusyPolicy {
                policy: Some(v1::busy_policy::Policy::Coalesce(v1::CoalescePolicy {
                    quiet_period: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
                    max_wait: Some(prost_types::Duration { seconds: 20, nanos: 0 }),
                    max_batch: Some(8),
                })),
            });
        })
        .await;
    let mut runs = BTreeSet::new();
    let mut outcomes = Vec::new();
    for event in 0..12 {
        let payload = hook::comment(412, &format!("comment {event} of one review"));
        let answer = hook::github(&url, &secret, "issue_comment", &format!("burst-{event}"), &payload).await.expect("answered");
        outcomes.push(answer.outcome());
        runs.insert(answer.run_id());
    }
    // Eight fill the first run; the other four share the next one.
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "queued").count(), 2, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| *outcome == "coalesced").count(), 10);
    assert_eq!(runs.len(), 2);
    all_done(&mut client, 2).await;
    let spawns = spawns(&server.journal_path());
    assert_eq!(spawns.len(), 2);
    assert_eq!(spawns[0].prompt.matches("\n> comment ").count(), 8, "each text once, and beside it in its payload");
    assert!((0..8).all(|event| spawns[0].prompt.contains(&format!("comment {event} of one review"))));
    assert!((8..12).all(|event| spawns[1].prompt.contains(&format!("comment {event} of one review"))));
    let run = client.run(runs.iter().next().expect("a run")).await;
    assert_eq!(run.delivery_count, 8);
    assert_eq!(run.delivery_ids.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn caps_hold_and_a_busy_trigger_starves_nobody() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let slow = |trigger: &mut v1::Trigger| trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() });
    let (busy, busy_secret) = client.github_trigger("busy", slow).await;
    let (quiet, quiet_secret) = client.github_trigger("quiet", slow).await;
    for n in 0..60 {
        let payload = hook::comment(n, &format!("event 0 of thread {n} [[sleep: 0.2]]"));
        hook::github(&busy, &busy_secret, "issue_comment", &format!("busy-{n}"), &payload).await.expect("answered");
    }
    let sent_us = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_micros();
    let payload = hook::comment(1, "the only one");
    let answer = hook::github(&quiet, &quiet_secret, "issue_comment", "quiet-1", &payload).await.expect("answered");
    client.ended(&answer.run_id()).await;
    let begun = spawns(&server.journal_path());
    let its = begun.iter().find(|spawn| spawn.run_id() == answer.run_id()).expect("it ran").start_us;
    let sent_us = i64::try_from(sent_us).expect("fits");
    let before = begun.iter().filter(|spawn| (sent_us..its).contains(&spawn.start_us)).count();
    assert!(before < 12, "the quiet trigger's run came after {before} others that were not live when it was sent");
    all_done(&mut client, 61).await;
    let spawns = spawns(&server.journal_path());
    for spawn in &spawns {
        let alive =
            spawns.iter().filter(|other| other.start_us <= spawn.start_us && other.end_us.unwrap_or(i64::MAX) > spawn.start_us).count();
        assert!(alive <= 4, "{alive} processes at once, 4 are allowed");
    }
}
