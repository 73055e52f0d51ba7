//! Workers that die, freeze, or lose their lease: their agents are gone before anybody takes over, and their runs go on.
//! The judge is the test double's own journal and the system's list of processes.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::cluster::{Cluster, SHORT_LEASES, TAKEN_OVER_WITHIN, spawned};
use crate::support::postgres::{Postgres, ask};
use crate::support::server::{Server, Setup};
use crate::support::{hook, processes};

const SOON: Duration = Duration::from_secs(20);

/// A trigger, and a run of it that works for long with something hidden in a session of its own.
async fn long_run(client: &mut Client) -> (String, String, String) {
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let payload = hook::comment(412, "event 0 of thread 412 [[orphan]] [[sleep: 60]]");
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &payload).await.expect("answered");
    assert_eq!(answer.outcome(), "queued");
    (url, secret, answer.run_id())
}

/// Waits until a transcript is in custody.
async fn kept(database: &str) {
    let begin = Instant::now();
    while ask(database, "SELECT count(*) FROM sessions WHERE transcript_bytes > 0") == "0" {
        assert!(begin.elapsed() < SOON, "no transcript is in custody");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Where a hook of one server is on another.
fn hook_of(server: &Server, url: &str) -> String {
    format!("{}{}", server.url, &url[url.find("/hooks").expect("a path")..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_workers_run_goes_on_on_another_server() {
    let Some(mut cluster) = Cluster::start(2) else { return };
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (_, _, run) = long_run(&mut client).await;
    let first = cluster.spawned(1, SOON).await.remove(0);
    let (dead, heir) = (cluster.server_of(&first), 1 - cluster.server_of(&first));
    kept(cluster.database()).await;
    let killed = Instant::now();
    cluster.servers[dead].kill();
    processes::none_remains(cluster.servers[dead].dir(), Duration::from_secs(3)).await;
    assert_eq!(cluster.spawns().len(), 1, "nobody takes over before the lease is over");
    let second = cluster.spawned(2, TAKEN_OVER_WITHIN).await.remove(1);
    assert!(killed.elapsed() >= Duration::from_secs(5), "its lease was not over yet: {:?}", killed.elapsed());
    assert_eq!(cluster.server_of(&second), heir);
    assert_eq!((first.run_id(), first.session.as_str()), (second.run_id(), second.session.as_str()), "same run, same conversation");
    let mut client = Client::connect(&cluster.servers[heir]).await;
    let run = client.ended(&run).await;
    assert_eq!((run.state(), run.attempt), (v1::RunState::Succeeded, 2));
    assert_eq!(run.attempts[0].exit(), v1::AttemptExit::Interrupted);
    // It comes back as another worker, and works.
    cluster.servers[dead].start();
    assert_eq!(ask(cluster.database(), "SELECT count(*) FROM workers WHERE state = 'live'"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_worker_loses_its_agents_before_others_take_over_and_writes_nothing_more() {
    let Some(cluster) = Cluster::start(2) else { return };
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret, run) = long_run(&mut client).await;
    let first = cluster.spawned(1, SOON).await.remove(0);
    let (frozen, heir) = (cluster.server_of(&first), 1 - cluster.server_of(&first));
    kept(cluster.database()).await;
    cluster.servers[frozen].signal(Signal::SIGSTOP);
    // It cannot do anything: its watchdog does, while nobody may have taken over yet.
    processes::none_remains(cluster.servers[frozen].dir(), Duration::from_secs(6)).await;
    assert_eq!(cluster.spawns().len(), 1, "its agents are gone before anybody takes over");
    let second = cluster.spawned(2, TAKEN_OVER_WITHIN).await.remove(1);
    assert_eq!(cluster.server_of(&second), heir);
    let mut client = Client::connect(&cluster.servers[heir]).await;
    let ended = client.ended(&run).await;
    assert_eq!((ended.state(), ended.attempt), (v1::RunState::Succeeded, 2));
    cluster.servers[frozen].signal(Signal::SIGCONT);
    // The one that slept wakes as another worker, and works again; what it held is not its any more.
    let begin = Instant::now();
    while ask(cluster.database(), "SELECT count(*) FROM workers WHERE state = 'live'") != "2" {
        assert!(begin.elapsed() < SOON, "it does not become a worker again:\n{}", cluster.servers[frozen].log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (mut client, hook) = (Client::connect(&cluster.servers[frozen]).await, hook_of(&cluster.servers[frozen], &url));
    let again = client.run(&run).await;
    assert_eq!((again.state(), again.attempt, again.last_sequence), (ended.state(), 2, ended.last_sequence), "ends never change");
    let answer = hook::github(&hook, &secret, "issue_comment", "d-2", &hook::comment(412, "and now?")).await.expect("answered");
    assert_eq!(client.ended(&answer.run_id()).await.state(), v1::RunState::Succeeded);
    crate::threads::assert_no_overlap(&cluster.spawns());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_on_sqlite_leaves_no_process_and_goes_on_when_it_wakes() {
    let server = Setup::fake().with(SHORT_LEASES).start();
    let mut client = Client::connect(&server).await;
    let (_, _, run) = long_run(&mut client).await;
    let first = spawned(&server.journal_path(), 1, SOON).await.remove(0);
    server.signal(Signal::SIGSTOP);
    processes::none_remains(server.dir(), Duration::from_secs(10)).await;
    server.signal(Signal::SIGCONT);
    let second = spawned(&server.journal_path(), 2, SOON).await.remove(1);
    assert_eq!((first.run_id(), &first.session), (second.run_id(), &second.session));
    let run = client.ended(&run).await;
    assert_eq!((run.state(), run.attempt), (v1::RunState::Succeeded, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watchdog_that_dies_is_replaced() {
    let mut server = Setup::fake().with(SHORT_LEASES).start();
    let mut client = Client::connect(&server).await;
    let watchdog = || processes::children(server.pid(), "watchdog");
    let first = watchdog();
    assert_eq!(first.len(), 1);
    kill(Pid::from_raw(first[0]), Signal::SIGKILL).expect("it is there");
    let begin = Instant::now();
    while watchdog().iter().all(|pid| first.contains(pid)) {
        assert!(begin.elapsed() < Duration::from_secs(5), "there is no other watchdog:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    long_run(&mut client).await;
    spawned(&server.journal_path(), 1, SOON).await;
    server.kill();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_long_ends_agents_and_runs_go_on_after() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    // Long enough for a PostgreSQL that recovers on a busy machine.
    let leases = SHORT_LEASES.replace("lease_seconds = 6", "lease_seconds = 18").replace("fence_seconds = 4", "fence_seconds = 12");
    let mut cluster = Cluster::new(Setup { database: Some(postgres.url()), ..Setup::fake() }.with(&leases));
    cluster.add("all");
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret, run) = long_run(&mut client).await;
    cluster.spawned(1, SOON).await;
    // A short absence harms nothing.
    postgres.crash();
    postgres.start_again();
    kept(&postgres.url()).await;
    assert_eq!((cluster.spawns().len(), processes::of_runs(cluster.servers[0].dir()).is_empty()), (1, false), "the agent went on");
    // A long one ends the agents; the run goes on afterwards, and no crash is counted against it.
    postgres.crash();
    let refused = hook::github(&url, &secret, "issue_comment", "d-2", &hook::comment(413, "hello")).await.expect("answered");
    assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true), "nothing is acked that is not there");
    processes::none_remains(cluster.servers[0].dir(), Duration::from_secs(20)).await;
    postgres.start_again();
    cluster.spawned(2, TAKEN_OVER_WITHIN).await;
    let mut client = Client::connect(&cluster.servers[0]).await;
    let run = client.ended(&run).await;
    assert_eq!((run.state(), run.attempt), (v1::RunState::Succeeded, 2));
    assert_eq!(postgres.ask("SELECT sum(interruptions) FROM runs"), "0");
    let answer = hook::github(&url, &secret, "issue_comment", "d-2", &hook::comment(413, "hello")).await.expect("answered");
    assert_eq!(answer.outcome(), "queued", "the sender's second try");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_is_now_and_leaves_no_process() {
    let mut server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (_, _, run) = long_run(&mut client).await;
    spawned(&server.journal_path(), 1, SOON).await;
    server.signal(Signal::SIGTERM);
    let begin = Instant::now();
    while !server.log().contains("stopping") {
        assert!(begin.elapsed() < SOON, "it does not stop");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!processes::of_runs(server.dir()).is_empty(), "live runs may end first");
    server.signal(Signal::SIGTERM);
    // Far less than the time that runs may take to end.
    let begin = Instant::now();
    server.stop();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    server.start();
    let mut client = Client::connect(&server).await;
    let spawns = spawned(&server.journal_path(), 2, SOON).await;
    assert_eq!(spawns[0].run_id(), spawns[1].run_id());
    assert_eq!(client.run(&run).await.attempt, 2);
}

#[test]
fn two_servers_do_not_share_a_data_directory_or_an_sqlite_file() {
    let server = Setup::fake().start();
    let said = Server::refused(Setup::fake(), &server.data());
    assert!(said.contains("`data_dir`") && said.contains("in use by another server"), "{said}");
    let elsewhere = tempfile::tempdir().expect("temp dir");
    let database = Some(format!("sqlite://{}", server.data().join("reprise.db").display()));
    let said = Server::refused(Setup { database, ..Setup::fake() }, &elsewhere.path().join("data"));
    assert!(said.contains("`database.url`") && said.contains("in use by another server") && said.contains("PostgreSQL"), "{said}");
    let said = Server::refused(Setup { arguments: vec!["--role".to_owned(), "worker".to_owned()], ..Setup::fake() }, elsewhere.path());
    assert!(said.contains("`role` is `worker`") && said.contains("SQLite"), "{said}");
}

#[test]
fn a_postgresql_that_could_lose_an_answered_webhook_is_refused() {
    let elsewhere = tempfile::tempdir().expect("temp dir");
    for setting in ["fsync", "synchronous_commit"] {
        let Some(postgres) = Postgres::start(&[(setting, "off")]) else { return };
        let said = Server::refused(Setup { database: Some(postgres.url()), ..Setup::fake() }, elsewhere.path());
        assert!(said.contains(&format!("`{setting} = off`")) && said.contains("turn it on"), "{said}");
    }
}

#[test]
fn a_server_with_another_master_key_is_refused_once_something_is_sealed() {
    let Some(mut cluster) = Cluster::start(1) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { Client::connect(cluster.add("api")).await.github_trigger("reviews", |_| {}).await });
    let elsewhere = tempfile::tempdir().expect("temp dir");
    let said = Server::refused(Setup { database: Some(cluster.database().to_owned()), ..Setup::fake() }, elsewhere.path());
    assert!(said.contains("`master_key_file`") && said.contains("copy it"), "{said}");
}
