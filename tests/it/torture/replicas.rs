//! Three servers on one PostgreSQL: each is killed and frozen for longer than its lease, and the database dies too.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Dice, Form, all_succeeded, are_gone, is_long, was_ready_in};
use crate::support::claude::spawns;
use crate::support::cluster::{Cluster, SHORT_LEASES};
use crate::support::load::Load;
use crate::support::postgres::Postgres;
use crate::support::processes;
use crate::support::server::Setup;

const SHORT: Form = Form { threads: 12, events: 20, kills: 15, span: Duration::from_secs(45) };
const LONG: Form = Form { threads: 200, events: 50, kills: 100, span: Duration::from_secs(300) };
/// How often the database dies.
const CRASH_EVERY: Duration = Duration::from_secs(20);
/// How often a server is frozen.
const FREEZE_EVERY: Duration = Duration::from_secs(15);

/// Three servers, their database, and what is done to them.
struct Trouble {
    postgres: Postgres,
    cluster: Cluster,
    dice: Dice,
    /// Who stands still, and until when.
    frozen: Option<(usize, Instant)>,
    slowest: Duration,
    freezes: u32,
    crashes: u32,
}

impl Trouble {
    /// `kill -9`, also of one that stands still, and a start.
    async fn kill(&mut self) {
        let victim = self.dice.index(self.cluster.servers.len());
        if self.frozen.is_some_and(|(frozen, _)| frozen == victim) {
            self.frozen = None;
        }
        let server = &mut self.cluster.servers[victim];
        server.kill();
        let held = processes::marked(server.dir());
        if self.dice.roll(3) == 0 {
            processes::none_remains(server.dir(), Duration::from_secs(5)).await;
        }
        let began = Instant::now();
        server.start();
        self.slowest = self.slowest.max(began.elapsed());
        are_gone(&held);
    }

    /// The database dies as in a power cut; now and then a server dies before it is back.
    fn crash(&mut self) {
        self.postgres.crash();
        let victim = self.dice.index(self.cluster.servers.len());
        let with_a_server = self.dice.roll(2) == 0 && self.frozen.is_none_or(|(frozen, _)| frozen != victim);
        if with_a_server {
            self.cluster.servers[victim].kill();
        }
        self.postgres.start_again();
        if with_a_server {
            self.cluster.servers[victim].start();
        }
        self.crashes += 1;
    }

    /// One stands still for longer than its lease, which others take over.
    fn freeze(&mut self) {
        let victim = self.dice.index(self.cluster.servers.len());
        self.cluster.servers[victim].signal(Signal::SIGSTOP);
        self.frozen = Some((victim, Instant::now() + Duration::from_millis(8_000 + self.dice.roll(3_000))));
        self.freezes += 1;
    }

    fn thaw(&mut self) {
        if let Some((frozen, _)) = self.frozen.take() {
            self.cluster.servers[frozen].signal(Signal::SIGCONT);
        }
    }

    /// All of it, until there were so many kills.
    async fn go_on(&mut self, load: &Load, form: Form) {
        let mut crash_at = Instant::now() + CRASH_EVERY;
        let mut freeze_at = Instant::now() + FREEZE_EVERY / 3;
        for _ in 0..form.kills {
            let kill_at = Instant::now() + self.dice.about(form.span / form.kills);
            loop {
                let thaw_at = self.frozen.map(|(_, until)| until);
                let next = [Some(kill_at), Some(crash_at), self.frozen.is_none().then_some(freeze_at), thaw_at];
                let next = next.into_iter().flatten().min().expect("there is a kill");
                tokio::time::sleep_until(next.into()).await;
                if thaw_at == Some(next) {
                    self.thaw();
                } else if next == crash_at {
                    self.crash();
                    crash_at = Instant::now() + CRASH_EVERY;
                } else if next == freeze_at {
                    self.freeze();
                    freeze_at = Instant::now() + FREEZE_EVERY;
                } else {
                    break;
                }
                *load.targets.lock().await = self.cluster.urls();
            }
            self.kill().await;
            *load.targets.lock().await = self.cluster.urls();
        }
        self.thaw();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_the_database_die_under_load_and_nothing_is_lost_or_doubled() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let form = if is_long() { LONG } else { SHORT };
    let mut setup = Setup { database: Some(postgres.url()), ..Setup::fake() }.with(SHORT_LEASES);
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut cluster = Cluster::new(setup);
    for _ in 0..3 {
        cluster.add("all");
    }
    let mut load = Load::on(&cluster.servers[0], form.threads, form.events, "[[sleep: 0.2]]").await;
    load.pause = form.span / form.events;
    *load.targets.lock().await = cluster.urls();
    let senders = load.send();
    let mut trouble = Trouble { postgres, cluster, dice: Dice::new(), frozen: None, slowest: Duration::ZERO, freezes: 0, crashes: 0 };
    trouble.go_on(&load, form).await;
    let acked = Load::acked(senders).await;
    assert_eq!(acked.len(), usize::try_from(form.threads * form.events).expect("small"), "every delivery was acked");
    let Trouble { postgres, mut cluster, slowest, freezes, crashes, .. } = trouble;
    all_succeeded(&postgres.url(), acked.len(), Duration::from_secs(if is_long() { 1200 } else { 120 })).await;
    let spawns = spawns(&cluster.journal());
    let again = postgres.ask("SELECT count(*) FROM attempts WHERE exit = 'interrupted'");
    eprintln!(
        "{} kills, {freezes} freezes, {crashes} crashes of PostgreSQL, {} runs, {} processes, {again} attempts interrupted; ready after at most {slowest:?}",
        form.kills,
        acked.len(),
        spawns.len()
    );
    Load::judge(&spawns, &acked);
    was_ready_in(slowest);
    cluster.assert_sound();
    for server in &mut cluster.servers {
        server.stop();
        processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    }
    assert_eq!(postgres.ask("SELECT count(*) FROM workers WHERE state <> 'dead'"), "0", "every worker signed off");
}
