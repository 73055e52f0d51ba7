//! One server on SQLite: `kill -9` at random moments.

use std::time::{Duration, Instant};

use super::{Dice, Form, all_succeeded, are_gone, is_long, sqlite, was_ready_in};
use crate::support::claude::spawns;
use crate::support::cluster::assert_sound;
use crate::support::load::Load;
use crate::support::processes;
use crate::support::server::{KEY, Setup};

const SHORT: Form = Form { threads: 20, events: 20, kills: 20, span: Duration::from_secs(12) };
const LONG: Form = Form { threads: 200, events: 50, kills: 100, span: Duration::from_secs(240) };

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let form = if is_long() { LONG } else { SHORT };
    let mut setup = Setup::fake().with("[runner]\ncheckpoint_seconds = 1");
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut server = setup.start();
    let mut load = Load::on(&server, form.threads, form.events, "[[sleep: 0.05]]").await;
    load.pause = form.span / form.events;
    let senders = load.send();
    let (mut dice, mut slowest) = (Dice::new(), Duration::ZERO);
    for _ in 0..form.kills {
        tokio::time::sleep(dice.about(form.span / form.kills)).await;
        server.kill();
        let held = processes::marked(server.dir());
        if dice.roll(3) == 0 {
            // Its watchdog ends them, and not only the next start.
            processes::none_remains(server.dir(), Duration::from_secs(5)).await;
        }
        let began = Instant::now();
        server.start();
        slowest = slowest.max(began.elapsed());
        *load.targets.lock().await = vec![server.url.clone()];
        are_gone(&held);
    }
    let acked = Load::acked(senders).await;
    assert_eq!(acked.len(), usize::try_from(form.threads * form.events).expect("small"), "every delivery was acked");
    let database = sqlite(&server);
    all_succeeded(&database, acked.len(), Duration::from_secs(if is_long() { 1200 } else { 120 })).await;
    let spawns = spawns(&server.journal_path());
    eprintln!("{} kills, {} runs, {} processes; ready after at most {slowest:?}", form.kills, acked.len(), spawns.len());
    Load::judge(&spawns, &acked);
    was_ready_in(slowest);
    server.stop();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    assert_sound(&database, &server.data());
    assert!(!server.log().contains(KEY), "no key in the log");
}
