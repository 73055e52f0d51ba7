//! Servers whose clocks jump, or differ by hours: what is live goes on, what waits does not wait for longer, nothing is lost,
//! doubled, or listed in a wrong order.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reprise::proto::v1::{self, RunState};
use serde_json::json;

use crate::support::client::Client;
use crate::support::clock::{Clock, DAY, HOUR, SOON};
use crate::support::cluster::{Cluster, SHORT_LEASES, TAKEN_OVER_WITHIN, spawned};
use crate::support::hook;
use crate::support::load::Load;
use crate::support::postgres::ask;
use crate::support::server::{Server, Setup};

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A hook whose runs wait for two seconds of quiet.
async fn bursts(client: &mut Client) -> (String, String) {
    client
        .github_trigger("bursts", |trigger| {
            let coalesce = v1::CoalescePolicy { quiet_period: seconds(2), max_wait: seconds(10), ..Default::default() };
            trigger.busy = Some(v1::BusyPolicy { policy: Some(v1::busy_policy::Policy::Coalesce(coalesce)) });
        })
        .await
}

/// Every run, by pages of three, oldest first.
async fn listed(client: &mut Client) -> Vec<v1::Run> {
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRunsRequest { page_size: 3, page_token, ..Default::default() };
        let page = client.runs.list_runs(request).await.expect("listed").into_inner();
        all.extend(page.runs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            all.reverse();
            return all;
        }
    }
}

/// Each run is found by the time that it says of itself.
async fn found_by_time(client: &mut Client, runs: &[v1::Run]) {
    for run in runs {
        let start = run.create_time.expect("a time");
        let end = prost_types::Timestamp { seconds: start.seconds + 1, ..start };
        let request = v1::ListRunsRequest { start_time: Some(start), end_time: Some(end), page_size: 500, ..Default::default() };
        let found = client.runs.list_runs(request).await.expect("listed").into_inner().runs;
        assert!(found.iter().any(|one| one.id == run.id), "{} is not found by its time {start:?}", run.id);
    }
}

/// The dates of the clean-ups that were done, as the logs have them.
fn cleaned_up(logs: &[String]) -> Vec<&str> {
    logs.iter()
        .flat_map(|log| log.lines())
        .filter_map(|line| line.split("daily clean-up done date=").nth(1)?.split_whitespace().next())
        .collect()
}

/// A server on SQLite under a clock that jumps, and what was sent to it.
struct Stage {
    server: Server,
    clock: Clock,
    hooks: [(String, String); 2],
    sent: Vec<(usize, String, i64, String)>,
}

impl Stage {
    async fn new() -> Self {
        let clock = Clock::new();
        let server = Setup { environment: clock.environment(), ..Setup::fake() }.with("[runner]\nkill_grace_seconds = 1").start();
        let mut client = Client::connect(&server).await;
        let hooks = [client.github_trigger("reviews", |_| {}).await, bursts(&mut client).await];
        Self { server, clock, hooks, sent: Vec::new() }
    }

    /// Sends to one of the hooks; gives the run.
    async fn send(&mut self, hook: usize, thread: i64, text: &str) -> String {
        let delivery = format!("d-{}", self.sent.len());
        let answer = self.post(hook, &delivery, thread, text).await;
        assert!(["queued", "coalesced"].contains(&answer.outcome().as_str()), "{answer:?}");
        self.sent.push((hook, delivery, thread, text.to_owned()));
        answer.run_id()
    }

    async fn post(&self, hook: usize, delivery: &str, thread: i64, text: &str) -> hook::Answer {
        let (url, secret) = &self.hooks[hook];
        let url = format!("{}{}", self.server.url, &url[url.find("/hooks").expect("a path")..]);
        hook::github(&url, secret, "issue_comment", delivery, &hook::comment(thread, text)).await.expect("answered")
    }

    /// The run ends in time, in its first attempt.
    async fn ends(&self, run: &str, what: &str) {
        let mut client = Client::connect(&self.server).await;
        let ended = tokio::time::timeout(SOON, client.ended(run)).await.unwrap_or_else(|_| panic!("{what} hangs"));
        assert_eq!((ended.state(), ended.attempt), (RunState::Succeeded, 1), "{what}: {:?}", ended.failure);
    }

    /// While one run is live, one is behind it and one waits for quiet, the clock jumps to `to` seconds off.
    async fn jump(&mut self, to: i64, threads: i64) {
        let count = self.sent.len();
        let live = self.send(0, threads, "[[sleep: 3]]").await;
        spawned(&self.server.journal_path(), count + 1, SOON).await;
        let behind = self.send(0, threads, "behind it").await;
        let quiet = self.send(1, threads + 1, "a burst").await;
        self.clock.set(to);
        // Before and after the server can have noticed.
        let at_once = self.send(0, threads + 2, "at once").await;
        self.ends(&at_once, "a run that waits for nothing").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let burst = self.send(1, threads + 3, "another burst").await;
        for (run, what) in [(live, "a live run"), (behind, "the run behind it"), (quiet, "a quiet period"), (burst, "one after the jump")] {
            self.ends(&run, what).await;
        }
        for (hook, delivery, thread, text) in &self.sent {
            let again = self.post(*hook, delivery, *thread, text).await;
            assert_eq!(again.outcome(), "duplicate", "{delivery} after the clock is {to} s off");
        }
    }

    /// All that was sent is listed, once.
    async fn all_listed(&self) -> Vec<v1::Run> {
        let mut client = Client::connect(&self.server).await;
        let runs = listed(&mut client).await;
        assert_eq!(runs.len(), self.sent.len(), "each delivery has a run of its own here");
        assert_eq!(runs.iter().map(|run| &run.id).collect::<BTreeSet<_>>().len(), runs.len(), "none is listed twice");
        found_by_time(&mut client, &runs).await;
        runs
    }
}

/// Where each run has its place in the order of sending.
fn in_order(runs: &[v1::Run]) -> bool {
    runs.iter().map(|run| run.create_time.map(|time| (time.seconds, time.nanos))).is_sorted()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_ahead_and_back_changes_nothing_for_runs() {
    let mut stage = Stage::new().await;
    stage.jump(HOUR, 100).await;
    stage.jump(0, 200).await;
    let runs = stage.all_listed().await;
    assert!(in_order(&runs), "newest first also when the clock went back");
    // Back while nobody served, with a run that waits for quiet.
    let quiet = stage.send(1, 300, "a burst").await;
    stage.server.kill();
    stage.clock.set(-HOUR);
    stage.server.start();
    stage.ends(&quiet, "a quiet period over a restart").await;
    let at_once = stage.send(0, 301, "at once").await;
    stage.ends(&at_once, "a run after a restart").await;
    assert!(in_order(&stage.all_listed().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_ahead_and_back_loses_no_run_and_cleans_up_once_a_day() {
    let mut stage = Stage::new().await;
    stage.jump(DAY, 100).await;
    stage.jump(0, 200).await;
    stage.all_listed().await;
    let quiet = stage.send(1, 300, "a burst").await;
    stage.server.kill();
    stage.clock.set(-DAY);
    stage.server.start();
    stage.ends(&quiet, "a quiet period over a restart").await;
    stage.all_listed().await;
    // Long enough for another look at what is due.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let logs = [stage.server.log()];
    let dates = cleaned_up(&logs);
    assert_eq!(dates.iter().collect::<BTreeSet<_>>().len(), dates.len(), "no date is cleaned up twice: {dates:?}");
    assert!((1..=2).contains(&dates.len()), "today, and perhaps the day that was jumped to: {dates:?}");
    assert!(stage.server.log().contains("the clock went back"), "an operator can see it:\n{}", stage.server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_or_signs_by_a_right_clock_is_let_in_after_a_wrong_one() {
    let clock = Clock::new();
    let server = Setup { environment: clock.environment(), ..Setup::fake() }.start();
    let mut client = Client::connect(&server).await;
    let linear = v1::Trigger {
        slug: "linear".to_owned(),
        source: v1::Source::Linear.into(),
        action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "Look into it.".to_owned(), follow_up_template: None })),
        ..Default::default()
    };
    let secret = "lin_wh_0123456789";
    let request = v1::CreateTriggerRequest { trigger: Some(linear), secret: Some(secret.to_owned()), ..Default::default() };
    let made = client.triggers.create_trigger(request).await.expect("created").into_inner();
    let url = made.trigger.expect("a trigger").webhook_url;
    let sent = async || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
        let body = json!({"action": "create", "type": "Comment", "webhookTimestamp": now, "data": {"id": format!("c{now}"), "body": "x", "issueId": "i1"}});
        let (body, delivery) = (body.to_string(), now.to_string());
        let signature = hook::github_signature(secret, body.as_bytes()).replace("sha256=", "");
        let headers =
            [("content-type", "application/json"), ("linear-signature", signature.as_str()), ("linear-delivery", delivery.as_str())];
        hook::request("POST", &url, &headers, body).await.expect("answered").status
    };
    let redeemed = async |code: &str| {
        let channel = tonic::transport::Endpoint::from_shared(server.url.clone()).expect("a url").connect().await.expect("connected");
        let mut open = v1::access_service_client::AccessServiceClient::new(channel);
        open.redeem_sign_in_code(v1::RedeemSignInCodeRequest { code: code.to_owned() }).await.is_ok()
    };
    let settled = Duration::from_secs(3);
    assert_eq!(sent().await, 200);
    let old = client.access.create_sign_in_code(v1::CreateSignInCodeRequest {}).await.expect("made").into_inner().code;
    clock.set(HOUR);
    tokio::time::sleep(settled).await;
    assert_ne!(sent().await, 200, "it is an hour old by this clock");
    assert!(!redeemed(&old).await, "so is a code of ten minutes");
    let code = client.access.create_sign_in_code(v1::CreateSignInCodeRequest {}).await.expect("made").into_inner().code;
    assert!(redeemed(&code).await);
    clock.set(0);
    tokio::time::sleep(settled).await;
    assert_eq!(sent().await, 200, "the clock is right again, and who signs by it is let in");
    assert!(!redeemed(&old).await, "what has ended does not begin again");
    let code = client.access.create_sign_in_code(v1::CreateSignInCodeRequest {}).await.expect("made").into_inner().code;
    assert!(redeemed(&code).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_whose_clocks_differ_by_hours_work_as_one() {
    let Some(database) = crate::migrations::postgres() else { return };
    let mut cluster = Cluster::new(Setup { database: Some(database.clone()), ..Setup::fake() }.with(SHORT_LEASES));
    let clocks = [Clock::new(), Clock::new(), Clock::new()];
    for (clock, off) in clocks.iter().zip([0, 5 * HOUR, -3 * HOUR]) {
        clock.set(off);
        cluster.add_with("all", clock.environment());
    }
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    let (bursts, bursts_secret) = bursts(&mut client).await;
    let bursts = bursts[bursts.find("/hooks").expect("a path")..].to_owned();

    // One after the other, to each server in turn: none waits for hours, and all are listed as they came.
    let (mut order, began) = (Vec::new(), Instant::now());
    for n in 0..12_usize {
        let to = &cluster.servers[n % 3].url;
        let answer = if n % 2 == 0 {
            hook::github(&format!("{to}{path}"), &secret, "issue_comment", &format!("o-{n}"), &hook::comment(1000, "in order")).await
        } else {
            let payload = hook::comment(2000 + i64::try_from(n).expect("small"), "a burst");
            hook::github(&format!("{to}{bursts}"), &bursts_secret, "issue_comment", &format!("o-{n}"), &payload).await
        };
        order.push(answer.expect("answered").run_id());
        // Their clocks agree to within this.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for run in &order {
        assert_eq!(client.ended(run).await.state(), RunState::Succeeded);
    }
    assert!(began.elapsed() < Duration::from_secs(40), "nothing waits for a clock: {:?}", began.elapsed());
    let runs = listed(&mut client).await;
    assert_eq!(runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>(), order, "newest first, whichever server took it");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    assert!(runs.iter().all(|run| now.abs_diff(u64::try_from(run.create_time.expect("a time").seconds).expect("fits")) < 60));
    found_by_time(&mut client, &runs).await;

    // Clocks that jump end nobody's lease; a server that is gone is taken over in time.
    let load = Load::on(&cluster.servers[0], 6, 6, "[[sleep: 0.5]]").await;
    *load.targets.lock().await = cluster.urls();
    let senders = load.send();
    for (clock, off) in clocks.iter().zip([HOUR, -2 * HOUR, DAY]) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        clock.set(off);
    }
    let acked = Load::acked(senders).await;
    let count = acked.len() + order.len();
    let begin = Instant::now();
    while ask(&database, "SELECT count(*) FROM runs WHERE status = 'succeeded'") != count.to_string() {
        assert!(begin.elapsed() < Duration::from_secs(60), "not every run ended");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(ask(&database, "SELECT count(*) FROM attempts WHERE number > 1"), "0", "none was taken over");
    assert_eq!(ask(&database, "SELECT count(*) FROM workers WHERE state = 'live'"), "3");
    let spawns: Vec<_> = cluster.spawns().into_iter().filter(|spawn| spawn.prompt.contains(" of thread ")).collect();
    Load::judge(&spawns, &acked);
    let long = format!("{}{path}", cluster.servers[0].url);
    let answer = hook::github(&long, &secret, "issue_comment", "l-1", &hook::comment(3000, "[[sleep: 8]]")).await.expect("answered");
    let spawns = cluster.spawned(count + 1, SOON).await;
    let dead = cluster.server_of(spawns.last().expect("there is one"));
    cluster.servers[dead].kill();
    cluster.spawned(count + 2, TAKEN_OVER_WITHIN).await;
    let mut client = Client::connect(&cluster.servers[(dead + 1) % 3]).await;
    assert_eq!(client.ended(&answer.run_id()).await.state(), RunState::Succeeded);
    let logs: Vec<String> = cluster.servers.iter().map(Server::log).collect();
    assert_eq!(cleaned_up(&logs).len(), 1, "one server cleans up, once");
    cluster.assert_sound();
}
