//! Behind PgBouncer: what works there works as on PostgreSQL itself, and what cannot is refused at the start.

use std::time::{Duration, Instant};

use reprise::proto::v1::{self, RunState};

use crate::support::client::Client;
use crate::support::cluster::{Cluster, SHORT_LEASES, TAKEN_OVER_WITHIN};
use crate::support::hook;
use crate::support::load::Load;
use crate::support::pooler::{Pooler, follows_statements};
use crate::support::postgres::ask;
use crate::support::server::{Server, Setup};

const SOON: Duration = Duration::from_secs(20);

/// Two servers behind a pooler: order, one live turn, cancels from the other server, and a takeover.
async fn works_behind(pooler: &Pooler, database: &str) {
    let mut cluster = Cluster::new(Setup { database: Some(pooler.url.clone()), ..Setup::fake() }.with(SHORT_LEASES));
    for _ in 0..2 {
        cluster.add("all");
    }
    let mut client = Client::connect(&cluster.servers[0]).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let path = url[url.find("/hooks").expect("a path")..].to_owned();
    let load = Load::on(&cluster.servers[0], 6, 5, "").await;
    *load.targets.lock().await = cluster.urls();
    let acked = Load::acked(load.send()).await;
    let begin = Instant::now();
    while ask(database, "SELECT count(*) FROM runs WHERE status = 'succeeded'") != acked.len().to_string() {
        assert!(begin.elapsed() < Duration::from_secs(60), "not every run ended:\n{}", cluster.servers[0].log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Load::judge(&cluster.spawns(), &acked);

    let post = async |delivery: &str, thread: i64, text: &str| {
        let hook = format!("{}{path}", cluster.servers[0].url);
        hook::github(&hook, &secret, "issue_comment", delivery, &hook::comment(thread, text)).await.expect("answered").run_id()
    };
    let hangs = post("c-1", 100, "[[sleep: 60]]").await;
    let spawn = cluster.spawned(acked.len() + 1, SOON).await.pop().expect("one");
    let other = 1 - cluster.server_of(&spawn);
    let mut client = Client::connect(&cluster.servers[other]).await;
    client.runs.cancel_run(v1::CancelRunRequest { run_id: hangs.clone(), ..Default::default() }).await.expect("asked");
    assert_eq!(client.ended(&hangs).await.state(), RunState::Cancelled);

    let lives = post("c-2", 101, "[[sleep: 5]]").await;
    let spawn = cluster.spawned(acked.len() + 2, SOON).await.pop().expect("one");
    let dead = cluster.server_of(&spawn);
    cluster.servers[dead].kill();
    cluster.spawned(acked.len() + 3, TAKEN_OVER_WITHIN).await;
    let mut client = Client::connect(&cluster.servers[1 - dead]).await;
    let run = client.ended(&lives).await;
    assert_eq!((run.state(), run.attempt), (RunState::Succeeded, 2));
    cluster.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_works() {
    let Some(database) = crate::migrations::postgres() else { return };
    let Some(pooler) = Pooler::start(&database, "session") else { return };
    works_behind(&pooler, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_works_if_it_follows_prepared_statements_and_is_refused_if_not() {
    let Some(database) = crate::migrations::postgres() else { return };
    let Some(pooler) = Pooler::start(&database, "transaction") else { return };
    if follows_statements() {
        return works_behind(&pooler, &database).await;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    for attempt in 0..3 {
        let said = Server::refused(Setup { database: Some(pooler.url.clone()), ..Setup::fake() }, &dir.path().join("data"));
        assert!(said.contains("`database.url`") && said.contains("transaction mode") && said.contains("1.21"), "{attempt}: {said}");
    }
}
