//! Three servers on one PostgreSQL, all of which die, freeze and come back under load: a short form of the long torture.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reprise::proto::v1;
use tokio::sync::Mutex;

use crate::support::client::Client;
use crate::support::cluster::{Cluster, SHORT_LEASES};
use crate::support::load::Load;
use crate::support::postgres::{Postgres, ask};
use crate::support::processes;
use crate::support::server::Setup;

/// How long there is trouble.
const TROUBLE: Duration = Duration::from_secs(40);

/// The same numbers each time, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A trigger whose runs are only bounded by what happens to them, and the load on it.
async fn load_on(cluster: &Cluster, threads: u32, events: u32, marks: &str) -> Load {
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client
        .github_trigger("load", |trigger| {
            trigger.caps = Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() });
            trigger.retry = Some(v1::RetryPolicy { max_attempts: Some(10), ..Default::default() });
        })
        .await;
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    Load { targets: Arc::new(Mutex::new(cluster.urls())), path, secret, threads, events, marks: marks.to_owned() }
}

/// Waits until so many runs succeeded.
async fn all_succeeded(database: &str, count: usize, within: Duration) {
    let began = Instant::now();
    while ask(database, "SELECT count(*) FROM runs WHERE status = 'succeeded'") != count.to_string() {
        let states = ask(database, "SELECT string_agg(status || ' ' || failure_message, '; ') FROM runs WHERE status <> 'succeeded'");
        assert!(began.elapsed() < within, "not every run succeeded: {states}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_is_no_crash_of_any_run() {
    let Some(database) = crate::migrations::postgres() else { return };
    let mut setup = Setup { database: Some(database.clone()), ..Setup::fake() }.with(SHORT_LEASES);
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut cluster = Cluster::new(setup);
    for _ in 0..3 {
        cluster.add("all");
    }
    let load = load_on(&cluster, 10, 8, "[[sleep: 0.5]]").await;
    let senders = load.send();
    for server in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.servers[server].stop();
        processes::none_remains(cluster.servers[server].dir(), Duration::from_secs(1)).await;
        cluster.servers[server].start();
        *load.targets.lock().await = cluster.urls();
    }
    let acked = Load::acked(senders).await;
    all_succeeded(&database, acked.len(), Duration::from_secs(120)).await;
    load.judge(&cluster.spawns(), &acked);
    assert_eq!(ask(&database, "SELECT sum(interruptions) FROM runs"), "0");
    assert!(cluster.doctor().contains("ok       invariants of the database"), "{}", cluster.doctor());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_the_database_die_under_load_and_nothing_is_lost_or_doubled() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let mut setup = Setup { database: Some(postgres.url()), ..Setup::fake() }.with(SHORT_LEASES);
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut cluster = Cluster::new(setup);
    for _ in 0..3 {
        cluster.add("all");
    }
    let load = load_on(&cluster, 12, 12, "[[sleep: 0.4]]").await;
    let senders = load.send();
    let (began, mut dice, mut count) = (Instant::now(), Dice(7), [0_u32; 3]);
    while began.elapsed() < TROUBLE {
        tokio::time::sleep(Duration::from_millis(500 + dice.roll(1500))).await;
        let victim = usize::try_from(dice.roll(3)).expect("small");
        match dice.roll(6) {
            0..=2 => {
                cluster.servers[victim].kill();
                cluster.servers[victim].start();
                *load.targets.lock().await = cluster.urls();
                count[0] += 1;
            }
            3 | 4 => {
                cluster.servers[victim].signal(Signal::SIGSTOP);
                tokio::time::sleep(Duration::from_millis(500 + dice.roll(9000))).await;
                cluster.servers[victim].signal(Signal::SIGCONT);
                count[1] += 1;
            }
            _ => {
                postgres.crash();
                postgres.start_again();
                count[2] += 1;
            }
        }
    }
    let acked = Load::acked(senders).await;
    all_succeeded(&postgres.url(), acked.len(), Duration::from_secs(120)).await;
    let again = postgres.ask("SELECT count(*) FROM attempts WHERE exit = 'interrupted'");
    eprintln!(
        "{} kills, {} freezes, {} crashes of PostgreSQL; {again} attempts interrupted of {} runs",
        count[0],
        count[1],
        count[2],
        acked.len()
    );
    load.judge(&cluster.spawns(), &acked);
    assert!(cluster.doctor().contains("ok       invariants of the database"), "{}", cluster.doctor());
    for server in &mut cluster.servers {
        server.stop();
        processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    }
    assert_eq!(postgres.ask("SELECT count(*) FROM workers WHERE state <> 'dead'"), "0", "every worker signed off");
}
