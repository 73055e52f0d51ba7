//! A thousand runs that are cancelled at any moment of their lives, from any server, while servers die and come back: each
//! ends once, and no end ever changes. The judge of what started is the test double's own journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use reprise::proto::v1::{self, RunState};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::{Dice, is_long, sqlite};
use crate::support::claude::spawns;
use crate::support::client::Client;
use crate::support::cluster::{Cluster, SHORT_LEASES, assert_sound};
use crate::support::server::{Server, Setup};
use crate::support::{hook, processes};

/// Of one run, however often its servers die.
const MOST_ATTEMPTS: i32 = 10;
/// The threads that the runs are of.
const THREADS: u64 = 50;
const ENDS: [RunState; 3] = [RunState::Succeeded, RunState::Failed, RunState::Cancelled];

/// How many runs there are, and how many times at least a server is killed meanwhile: the long form is ten times as long.
fn form() -> (u64, u64) {
    if is_long() { (10_000, 80) } else { (1000, 8) }
}

/// Where the servers are now.
type Targets = Arc<Mutex<Vec<String>>>;

/// An end as it was seen: its state, when it came, and the last sequence of the journal.
type End = (RunState, Option<prost_types::Timestamp>, i32);

/// What is known of ends so far; the first sight counts, and every later one is compared.
#[derive(Debug, Clone, Default)]
struct Ends(Arc<Mutex<BTreeMap<String, End>>>);

impl Ends {
    async fn see(&self, run: &v1::Run) {
        if ENDS.contains(&run.state()) {
            let seen = (run.state(), run.end_time, run.last_sequence);
            let known = *self.0.lock().await.entry(run.id.clone()).or_insert(seen);
            assert_eq!(known, seen, "the end of {} changed", run.id);
        }
    }
}

/// What came of asking for an end.
#[derive(Debug, Clone)]
struct Cancel {
    run: String,
    state: RunState,
    attempt: i32,
    answered_us: i64,
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros().try_into().expect("fits")
}

async fn any(targets: &Targets, turn: u64) -> String {
    let targets = targets.lock().await;
    targets[usize::try_from(turn).expect("small") % targets.len()].clone()
}

/// Sends every event of a thread in order, each until it is acked, and cancels most of the runs after a while of their own.
async fn send_and_cancel(targets: Targets, path: String, secret: String, thread: u64, ends: Ends) -> (BTreeSet<String>, Vec<Cancel>) {
    let (mut dice, mut runs, mut cancels) = (Dice::of(thread), BTreeSet::new(), Vec::<JoinHandle<Cancel>>::new());
    for event in 0..form().0 / THREADS {
        let text = format!("event {event} of thread {thread} [[sleep: {}]]", ["0", "0.03", "0.3"][dice.index(3)]);
        let payload = hook::comment(i64::try_from(thread).expect("small"), &text);
        let run = loop {
            let url = format!("{}{path}", any(&targets, dice.roll(97)).await);
            let delivery = format!("{thread}-{event}");
            let sent = hook::github(&url, &secret, "issue_comment", &delivery, &payload);
            match tokio::time::timeout(Duration::from_secs(10), sent).await {
                Ok(Ok(answer)) if answer.status == 200 => break answer.run_id(),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        if dice.roll(10) < 9 {
            cancels.push(tokio::spawn(cancel(targets.clone(), run.clone(), dice.clone(), ends.clone())));
        }
        runs.insert(run);
    }
    let mut answers = Vec::new();
    for cancel in cancels {
        answers.push(cancel.await.expect("answered in the end"));
    }
    (runs, answers)
}

/// Completes when the run is live, or has ended.
async fn begun(targets: &Targets, run: &str, dice: &mut Dice) {
    loop {
        let mut client = Client::lazy(&any(targets, dice.roll(97)).await);
        let request = v1::WatchRunRequest { run_id: run.to_owned(), ..Default::default() };
        if let Ok(stream) = client.runs.watch_run(request).await {
            let mut stream = stream.into_inner();
            while let Ok(Some(message)) = stream.message().await {
                if matches!(message.event, Some(v1::watch_run_response::Event::Run(run)) if run.state() != RunState::Queued && run.state() != RunState::Waiting)
                {
                    return;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Asks for the run's end at a moment of its own, again until somebody answers.
async fn cancel(targets: Targets, run: String, mut dice: Dice, ends: Ends) -> Cancel {
    match dice.roll(8) {
        0..3 => {}
        3..6 => tokio::time::sleep(Duration::from_millis(dice.roll(8000))).await,
        // While it is starting, works or ends.
        _ => {
            begun(&targets, &run, &mut dice).await;
            tokio::time::sleep(Duration::from_millis(dice.roll(300))).await;
        }
    }
    let begin = Instant::now();
    loop {
        let mut client = Client::lazy(&any(&targets, dice.roll(97)).await);
        let request = v1::CancelRunRequest { run_id: run.clone(), ..Default::default() };
        let asked = tokio::time::timeout(Duration::from_secs(10), client.runs.cancel_run(request)).await;
        if let Ok(Ok(answer)) = asked {
            let answer = answer.into_inner().run.expect("a run");
            ends.see(&answer).await;
            return Cancel { run, state: answer.state(), attempt: answer.attempt, answered_us: now_us() };
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody cancels {run}: {asked:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every run by id, from any server; none: it died meanwhile.
async fn list(url: &str) -> Option<Vec<v1::Run>> {
    let (mut client, mut all, mut page_token) = (Client::lazy(url), Vec::new(), String::new());
    loop {
        let request = v1::ListRunsRequest { page_size: 500, page_token, ..Default::default() };
        let page = client.runs.list_runs(request).await.ok()?.into_inner();
        all.extend(page.runs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Some(all);
        }
    }
}

/// Looks at every run until all have ended, and gives them.
async fn all_ended(targets: &Targets, ends: &Ends, count: usize) -> Vec<v1::Run> {
    let (begin, mut turn) = (Instant::now(), 0);
    loop {
        turn += 1;
        let runs = list(&any(targets, turn).await).await.unwrap_or_default();
        for run in &runs {
            ends.see(run).await;
        }
        if runs.len() == count && runs.iter().all(|run| ENDS.contains(&run.state())) {
            return runs;
        }
        assert!(begin.elapsed() < Duration::from_secs(240), "{} of {count} runs have not ended", count - ends.0.lock().await.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Kills servers and starts them again while `busy`, and looks at the runs in between.
async fn trouble(servers: &mut [Server], targets: &Targets, ends: &Ends, busy: impl Fn() -> bool) -> u64 {
    let (mut dice, mut kills, (_, wanted)) = (Dice::new(), 0, form());
    while kills < wanted || (kills < wanted * 2 && busy()) {
        tokio::time::sleep(Duration::from_millis(300 + dice.roll(1500))).await;
        let victim = dice.index(servers.len());
        servers[victim].kill();
        servers[victim].start();
        *targets.lock().await = servers.iter().map(|server| server.url.clone()).collect();
        kills += 1;
        for run in list(&any(targets, kills).await).await.unwrap_or_default() {
            ends.see(&run).await;
        }
    }
    kills
}

/// One outcome in the journal of each run, and it is the last entry.
async fn one_outcome_each(targets: &Targets, runs: &[v1::Run]) {
    let mut client = Client::lazy(&any(targets, 0).await);
    for run in runs {
        let request = v1::ListJournalEntriesRequest { run_id: run.id.clone(), page_size: 500, ..Default::default() };
        let entries = client.runs.list_journal_entries(request).await.expect("listed").into_inner().entries;
        let sequences: Vec<i32> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(sequences, (1..=run.last_sequence).collect::<Vec<_>>(), "the journal of {}", run.id);
        let outcomes: Vec<i32> = entries
            .iter()
            .filter(|entry| matches!(entry.kind, Some(v1::journal_entry::Kind::Outcome(_))))
            .map(|entry| entry.sequence)
            .collect();
        assert_eq!(outcomes, [run.last_sequence], "the outcomes of {}", run.id);
    }
}

async fn storm(servers: &mut [Server]) {
    let mut client = Client::connect(&servers[0]).await;
    let (url, secret) = client
        .github_trigger("load", |trigger| {
            trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() });
            trigger.retry = Some(v1::RetryPolicy { max_attempts: Some(MOST_ATTEMPTS), ..Default::default() });
        })
        .await;
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    let limits = Some(v1::LimitSettings { max_concurrent_runs: Some(12), ..Default::default() });
    let update = v1::UpdateSettingsRequest {
        settings: Some(v1::Settings { limits, ..Default::default() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["limits.max_concurrent_runs".to_owned()] }),
        ..Default::default()
    };
    client.settings.update_settings(update).await.expect("updated");
    let targets: Targets = Arc::new(Mutex::new(servers.iter().map(|server| server.url.clone()).collect()));
    let ends = Ends::default();
    let storming: Vec<_> = (0..THREADS)
        .map(|thread| tokio::spawn(send_and_cancel(targets.clone(), path.clone(), secret.clone(), thread, ends.clone())))
        .collect();
    let kills = trouble(servers, &targets, &ends, || storming.iter().any(|one| !one.is_finished())).await;
    let (mut made, mut cancels) = (BTreeSet::new(), Vec::new());
    for one in storming {
        let (runs, answers) = one.await.expect("sent and cancelled");
        made.extend(runs);
        cancels.extend(answers);
    }
    let runs = all_ended(&targets, &ends, made.len()).await;
    judge(&runs, &made, &cancels, servers, kills);
    one_outcome_each(&targets, &runs).await;
    // Nor does an end change when everything dies and comes back once more.
    for server in servers.iter_mut() {
        server.kill();
    }
    for server in servers.iter_mut() {
        server.start();
    }
    *targets.lock().await = servers.iter().map(|server| server.url.clone()).collect();
    all_ended(&targets, &ends, made.len()).await;
}

fn judge(runs: &[v1::Run], made: &BTreeSet<String>, cancels: &[Cancel], servers: &[Server], kills: u64) {
    assert_eq!(runs.iter().map(|run| run.id.clone()).collect::<BTreeSet<_>>(), *made, "each run once, and no other");
    let spawns = spawns(&servers[0].journal_path());
    crate::threads::assert_no_overlap(&spawns);
    let asked: BTreeMap<&str, &Cancel> = cancels.iter().map(|cancel| (cancel.run.as_str(), cancel)).collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for run in runs {
        let last = spawns.iter().filter(|spawn| spawn.run_id() == run.id).map(|spawn| spawn.start_us).max();
        // What was live in as many deaths as its trigger allows has an end of its own.
        if run.failure.as_ref().is_some_and(|failure| failure.reason() == v1::FailureReason::Poisoned) {
            assert_eq!((run.state(), run.attempt), (RunState::Failed, MOST_ATTEMPTS), "{run:?}");
            *count.entry("poisoned").or_default() += 1;
            continue;
        }
        let Some(cancel) = asked.get(run.id.as_str()) else {
            assert_eq!((run.state(), last.is_some()), (RunState::Succeeded, true), "{} was not cancelled: {:?}", run.id, run.failure);
            *count.entry("left alone").or_default() += 1;
            continue;
        };
        assert!(matches!(run.state(), RunState::Cancelled | RunState::Succeeded), "{run:?}");
        match cancel.state {
            // Who was told that it is cancelled is never proved wrong.
            RunState::Cancelled => {
                assert_eq!(run.state(), RunState::Cancelled);
                assert!(last.is_none_or(|last| last < cancel.answered_us), "{} started after it was cancelled", run.id);
                assert!(cancel.attempt > 0 || last.is_none(), "{} was cancelled before it began, and began", run.id);
                *count.entry(if cancel.attempt > 0 { "cancelled between attempts" } else { "cancelled while queued" }).or_default() += 1;
            }
            RunState::Succeeded => *count.entry("too late").or_default() += 1,
            RunState::Cancelling if run.state() == RunState::Cancelled => *count.entry("cancelled while live").or_default() += 1,
            RunState::Cancelling => *count.entry("ended first").or_default() += 1,
            other => panic!("a cancel answered {other:?}"),
        }
    }
    eprintln!("{} runs, {} spawns, {kills} kills: {count:?}", runs.len(), spawns.len());
    for phase in ["left alone", "cancelled while queued", "cancelled while live", "too late"] {
        assert!(count.get(phase).is_some_and(|count| *count >= 5), "hardly any run was {phase}: {count:?}");
    }
}

/// What must not be left of servers that stopped.
async fn nothing_remains(servers: &mut [Server]) {
    for server in servers {
        server.stop();
        processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancels_around_restarts_ends_each_run_once() {
    let mut servers = [Setup::fake().with("[runner]\nkill_grace_seconds = 1\n[server]\ndrain_timeout_seconds = 3").start()];
    storm(&mut servers).await;
    nothing_remains(&mut servers).await;
    assert_sound(&sqlite(&servers[0]), &servers[0].data());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_cancels_from_any_server_ends_each_run_once() {
    let Some(database) = crate::migrations::postgres() else { return };
    let mut cluster = Cluster::new(Setup { database: Some(database), ..Setup::fake() }.with(SHORT_LEASES));
    for _ in 0..3 {
        cluster.add("all");
    }
    storm(&mut cluster.servers).await;
    nothing_remains(&mut cluster.servers).await;
    cluster.assert_sound();
}
