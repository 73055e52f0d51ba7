//! The database is away while an agent says a lot: it goes on, and all that it said is in the journal afterwards, in order.

use std::fs;
use std::time::{Duration, Instant};

use reprise::proto::v1::{self, RunState};

use crate::support::claude::spawns;
use crate::support::client::Client;
use crate::support::cluster::{Cluster, spawned};
use crate::support::postgres::Postgres;
use crate::support::server::{Server, Setup};
use crate::support::{hook, processes};

const SOON: Duration = Duration::from_secs(60);
/// The fence is far off: the agent may go on while the database is away.
const LEASES: &str =
    "[worker]\nlease_seconds = 240\nheartbeat_seconds = 1\nfence_seconds = 200\ngrace_seconds = 1\n[runner]\nkill_grace_seconds = 1\n";
/// More than ten megabytes, as the agent prints them.
const LINES: usize = 16_000;

/// The size of the file without a name in which a server keeps what a run says; none: there is none.
fn spool(server: &Server) -> Option<u64> {
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).ok()?.flatten();
    let found = open.map(|entry| entry.path()).find(|path| {
        fs::read_link(path).is_ok_and(|file| file.to_string_lossy().contains("/spool-") && file.to_string_lossy().ends_with("(deleted)"))
    });
    Some(fs::metadata(found?).ok()?.len())
}

/// A run that begins to say a lot when the database has gone.
async fn talk(postgres: &Postgres, config: &str) -> (Cluster, String) {
    let setup = Setup { database: Some(postgres.url()), ..Setup::fake() }.with(&format!("{LEASES}{config}"));
    let mut cluster = Cluster::new(setup);
    cluster.add("all");
    let mut client = Client::connect(&cluster.servers[0]).await;
    let no_limit = |trigger: &mut v1::Trigger| trigger.run_limits = Some(v1::RunLimits { max_cost_usd: Some(0.0), ..Default::default() });
    let (url, secret) = client.github_trigger("reviews", no_limit).await;
    let text = format!("[[sleep: 3]] [[lines: {LINES}]] [[say: the end]]");
    let answer = hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, &text)).await.expect("answered");
    spawned(&cluster.journal(), 1, SOON).await;
    // The run is up, so what follows is what it says.
    let begin = Instant::now();
    while client.run(&answer.run_id()).await.state() != RunState::Running {
        assert!(begin.elapsed() < SOON, "it is not up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    postgres.crash();
    (cluster, answer.run_id())
}

/// The run ended well in its first attempt, and its journal has every line.
async fn all_is_there(server: &Server, run: &str) {
    let mut client = Client::connect(server).await;
    let begin = Instant::now();
    while matches!(client.run(run).await.state(), RunState::Running | RunState::Cancelling) {
        assert!(begin.elapsed() < 3 * SOON, "it does not come to its end:\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let ended = client.run(run).await;
    assert_eq!((ended.state(), ended.attempt, ended.result_text.as_str()), (RunState::Succeeded, 1, "the end"), "{:?}", ended.failure);
    let (entries, _) = client.watch(run).await;
    assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), (1..=ended.last_sequence).collect::<Vec<_>>(), "no gap");
    let said = entries.iter().filter_map(|entry| match &entry.kind {
        Some(v1::journal_entry::Kind::Text(text)) => text.text.strip_prefix("line ")?.split(' ').next()?.parse::<usize>().ok(),
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), (0..LINES).collect::<Vec<_>>(), "all that it said, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_goes_on_while_the_database_is_away_and_all_that_it_said_is_in_the_journal() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let (cluster, run) = talk(&postgres, "").await;
    let begin = Instant::now();
    let mut kept = 0;
    while spawns(&cluster.journal())[0].end_us.is_none() {
        kept = kept.max(spool(&cluster.servers[0]).unwrap_or(0));
        assert!(begin.elapsed() < SOON, "the agent does not come to its end:\n{}", cluster.servers[0].log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(kept > 100_000, "what it says is on disk: {kept} bytes");
    postgres.start_again();
    all_is_there(&cluster.servers[0], &run).await;
    assert_eq!(spool(&cluster.servers[0]), None, "the file is gone");
    assert_eq!(postgres.ask("SELECT count(*) FROM attempts"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_more_than_may_be_kept_waits_and_nothing_is_lost() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let (cluster, run) = talk(&postgres, "spool_limit_bytes = 200000\n").await;
    let begin = Instant::now();
    while !cluster.servers[0].log().contains("its agent waits for the database") {
        assert!(begin.elapsed() < SOON, "nobody is told that the agent waits");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let full = spool(&cluster.servers[0]).expect("there is one");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(spool(&cluster.servers[0]), Some(full), "it does not grow further");
    assert!((200_000..400_000).contains(&full), "{full} bytes");
    assert_eq!(spawns(&cluster.journal())[0].end_us, None, "the agent waits");
    assert!(!processes::of_runs(cluster.servers[0].dir()).is_empty());
    postgres.start_again();
    all_is_there(&cluster.servers[0], &run).await;
}
