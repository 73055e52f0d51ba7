//! Three servers on one PostgreSQL that stop in order and come back, one after the other, under load.

use std::time::Duration;

use super::{all_succeeded, is_long};
use crate::support::cluster::{Cluster, SHORT_LEASES};
use crate::support::load::Load;
use crate::support::postgres::ask;
use crate::support::processes;
use crate::support::server::Setup;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_nothing_and_is_no_crash_of_any_run() {
    let Some(database) = crate::migrations::postgres() else { return };
    let mut setup = Setup { database: Some(database.clone()), ..Setup::fake() }.with(SHORT_LEASES);
    setup.agent_env.push(("FAKE_CLAUDE_TICK_MS".to_owned(), "25".to_owned()));
    let mut cluster = Cluster::new(setup);
    for _ in 0..3 {
        cluster.add("all");
    }
    let (threads, events, restarts) = if is_long() { (50, 40, 30) } else { (10, 8, 3) };
    let load = Load::on(&cluster.servers[0], threads, events, "[[sleep: 0.5]]").await;
    *load.targets.lock().await = cluster.urls();
    let senders = load.send();
    for restart in 0..restarts {
        let server = restart % 3;
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.servers[server].stop();
        processes::none_remains(cluster.servers[server].dir(), Duration::from_secs(1)).await;
        cluster.servers[server].start();
        *load.targets.lock().await = cluster.urls();
    }
    let acked = Load::acked(senders).await;
    all_succeeded(&database, acked.len(), Duration::from_secs(if is_long() { 600 } else { 120 })).await;
    Load::judge(&cluster.spawns(), &acked);
    assert_eq!(ask(&database, "SELECT sum(interruptions) FROM runs"), "0");
    cluster.assert_sound();
}
