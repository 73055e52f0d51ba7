//! `kill -9` of the server under load: nothing acked is lost, nothing runs twice at once, nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reprise::proto::v1;
use tokio::sync::Mutex;

use crate::support::claude::{Spawn, spawns};
use crate::support::client::Client;
use crate::support::server::{KEY, Setup};
use crate::support::{hook, processes};
use crate::threads::{assert_no_overlap, event_of};

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

/// Sends every event of a thread in order, again and again until each is acked; gives the run ids by delivery id.
async fn send_thread(
    thread: u32,
    events: u32,
    target: Arc<Mutex<String>>,
    path: String,
    secret: String,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut acked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in 0..events {
        let delivery = format!("{thread}-{event}");
        let payload = hook::comment(i64::from(thread), &format!("event {event} of thread {thread} [[sleep: 0.05]]"));
        // Every tenth is sent twice on purpose.
        let mut wanted = 1 + u32::from(event % 10 == 3);
        while wanted > 0 {
            let url = format!("{}{path}", target.lock().await);
            match hook::github(&url, &secret, "issue_comment", &delivery, &payload).await {
                Ok(answer) if answer.status == 200 => {
                    acked.entry(delivery.clone()).or_default().insert(answer.run_id());
                    wanted -= 1;
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
    acked
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
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    let target = Arc::new(Mutex::new(server.url.clone()));
    let sending = Arc::new(AtomicBool::new(true));
    let senders: Vec<_> =
        (0..20).map(|thread| tokio::spawn(send_thread(thread, 10, Arc::clone(&target), path.clone(), secret.clone()))).collect();

    let mut kills = 0;
    while kills < 20 {
        tokio::time::sleep(Duration::from_millis(150 + (kills * 97) % 400)).await;
        server.kill();
        kills += 1;
        server.start();
        *target.lock().await = server.url.clone();
    }
    let mut acked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sender in senders {
        acked.extend(sender.await.expect("sent"));
    }
    sending.store(false, Ordering::Relaxed);
    assert_eq!(acked.len(), 200);
    for (delivery, runs) in &acked {
        assert_eq!(runs.len(), 1, "one run id per delivery id: {delivery} has {runs:?}");
    }

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
    judge(&spawns(&server.journal_path()), &acked);
    server.stop();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    assert!(!server.log().contains(KEY), "no key in the log");
}

fn judge(spawns: &[Spawn], acked: &BTreeMap<String, BTreeSet<String>>) {
    assert_no_overlap(spawns);
    let ran: BTreeSet<&str> = spawns.iter().map(Spawn::run_id).collect();
    for (delivery, runs) in acked {
        assert!(runs.iter().all(|run| ran.contains(run.as_str())), "{delivery} was acked and never ran");
    }
    assert_eq!(ran.len(), acked.len(), "no run without an acked delivery");
    // First starts come in the order of the events, whatever the kills did.
    let mut order: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for spawn in spawns {
        if seen.insert(spawn.run_id()) {
            let (thread, event) = event_of(spawn);
            order.entry(thread).or_default().push(event);
        }
    }
    for (thread, events) in order {
        assert_eq!(events, (0..10).collect::<Vec<_>>(), "order of thread {thread}");
    }
    // A further attempt of a run comes only after a kill, so under another boot.
    let mut boots: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for spawn in spawns {
        boots.entry(spawn.run_id()).or_default().push(spawn.mark.split('.').next().unwrap_or_default());
    }
    for (run, boots) in boots {
        assert_eq!(boots.iter().collect::<BTreeSet<_>>().len(), boots.len(), "{run} was tried twice by one server");
    }
}
