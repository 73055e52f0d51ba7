//! Servers that die at named points of their work: around each commit, each ack, each start and end of an agent.

use std::time::{Duration, Instant};

use super::{Dice, all_succeeded, are_gone, is_long, runs, sqlite};
use crate::support::claude::spawns;
use crate::support::cluster::{Cluster, SHORT_LEASES, assert_sound};
use crate::support::load::Load;
use crate::support::postgres::Postgres;
use crate::support::processes;
use crate::support::server::{Server, Setup};

/// What each run passes, in its order.
const POINTS: &[&str] = &[
    "accept.begun",
    "accept.written",
    "accept.committed",
    "webhook.answering",
    "claim.begun",
    "claim.written",
    "claim.committed",
    "agent.starting",
    "agent.started",
    "begin_turn.begun",
    "begin_turn.written",
    "begin_turn.committed",
    "agent.first_line",
    "agent_up.written",
    "agent_up.committed",
    "journal.written",
    "journal.committed",
    "add_usage.written",
    "add_usage.committed",
    "save_part.written",
    "save_part.committed",
    "finish.begun",
    "finish.written",
    "finish.committed",
];
/// What a start passes after a server died.
const AT_START: &[&str] = &["register_worker.written", "register_worker.committed"];

/// How often each point is tried.
fn rounds() -> u64 {
    if is_long() { 5 } else { 1 }
}

/// Lets a server go on until it dies at this point.
async fn dies_at(server: &mut Server, point: &str, load: &Load, others: &[String]) {
    server.launch(Some(point));
    let began = Instant::now();
    let mut known = false;
    while server.is_alive() {
        if !known && server.is_ready() {
            known = true;
            let urls = others.iter().cloned().chain([server.url.clone()]).collect();
            *load.targets.lock().await = urls;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{point} is not passed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    *load.targets.lock().await = others.to_vec();
}

/// Starts a server that ends some runs: none is to be live in more deaths than its trigger allows.
async fn works_on(server: &mut Server, load: &Load) {
    server.kill();
    server.start();
    *load.targets.lock().await = vec![server.url.clone()];
    let (database, began) = (sqlite(server), Instant::now());
    let before = runs(&database, "status = 'succeeded'").await;
    while runs(&database, "status = 'succeeded'").await < before + 12 {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One server, one database: dies at every point, then at the moment that a sender has its answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_at_any_point_of_its_work_loses_nothing_and_doubles_nothing() {
    let mut setup = Setup::fake().with("[runner]\ncheckpoint_seconds = 1");
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut server = setup.start();
    let mut load = Load::on(&server, 16, 10_000, "[[sleep: 0.02]]").await;
    load.pause = Duration::from_secs(1);
    let senders = load.send();
    let mut dice = Dice::new();
    for _ in 0..rounds() {
        for point in POINTS.iter().chain(AT_START) {
            server.kill();
            let held = processes::marked(server.dir());
            let count = if AT_START.contains(point) { 1 } else { 1 + dice.roll(4) };
            dies_at(&mut server, &format!("{point}:{count}"), &load, &[]).await;
            are_gone(&held);
            works_on(&mut server, &load).await;
        }
        for _ in 0..5 {
            works_on(&mut server, &load).await;
            let ack = load.acks.notified();
            ack.await;
            server.kill();
        }
    }
    works_on(&mut server, &load).await;
    load.enough.cancel();
    let acked = Load::acked(senders).await;
    let database = sqlite(&server);
    all_succeeded(&database, acked.len(), Duration::from_secs(120)).await;
    eprintln!("{} points, {} runs", POINTS.len() + AT_START.len(), acked.len());
    Load::judge(&spawns(&server.journal_path()), &acked);
    server.stop();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    assert_sound(&database, &server.data());
}

/// Three servers: one of them dies at every point, and the others go on, also with what it held.
#[tokio::test(flavor = "multi_thread")]
async fn servers_that_die_at_any_point_of_their_work_lose_nothing_and_double_nothing() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let mut setup = Setup { database: Some(postgres.url()), ..Setup::fake() }.with(SHORT_LEASES);
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut cluster = Cluster::new(setup);
    for _ in 0..3 {
        cluster.add("all");
    }
    let mut load = Load::on(&cluster.servers[0], 16, 10_000, "[[sleep: 0.02]]").await;
    load.pause = Duration::from_secs(3);
    *load.targets.lock().await = cluster.urls();
    let senders = load.send();
    let mut dice = Dice::new();
    for _ in 0..rounds() {
        for point in POINTS.iter().chain(AT_START) {
            let victim = dice.index(3);
            cluster.servers[victim].kill();
            let others = (0..3).filter(|server| *server != victim).map(|server| cluster.servers[server].url.clone()).collect::<Vec<_>>();
            let count = if AT_START.contains(point) { 1 } else { 1 + dice.roll(4) };
            dies_at(&mut cluster.servers[victim], &format!("{point}:{count}"), &load, &others).await;
            cluster.servers[victim].start();
            *load.targets.lock().await = cluster.urls();
        }
        while_taking_over(&mut cluster, &load).await;
    }
    load.enough.cancel();
    let acked = Load::acked(senders).await;
    all_succeeded(&postgres.url(), acked.len(), Duration::from_secs(120)).await;
    eprintln!("{} points, {} runs", POINTS.len() + AT_START.len(), acked.len());
    Load::judge(&spawns(&cluster.journal()), &acked);
    cluster.assert_sound();
    for server in &mut cluster.servers {
        server.stop();
        processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    }
}

/// The only one that is left dies while it takes over from the others.
async fn while_taking_over(cluster: &mut Cluster, load: &Load) {
    for moment in ["written", "committed"] {
        for server in &mut cluster.servers {
            server.kill();
        }
        dies_at(&mut cluster.servers[0], &format!("reap.{moment}:1"), load, &[]).await;
        for server in &mut cluster.servers {
            server.start();
        }
        *load.targets.lock().await = cluster.urls();
    }
}
