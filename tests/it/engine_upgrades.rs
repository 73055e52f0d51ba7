//! A database of each earlier schema, with a queue at work in it, goes on under today's server: what waited runs, what was live
//! goes on, what was said is remembered, what came before is known again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use migration::{Migrator, MigratorTrait};
use reprise::proto::v1::{self, RunState};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

use crate::support::client::Client;
use crate::support::cluster::{SHORT_LEASES, assert_sound, spawned};
use crate::support::postgres::ask;
use crate::support::server::{Server, Setup};
use crate::support::{hook, processes};

const SOON: Duration = Duration::from_secs(30);
/// The first schema that could hold runs.
const FIRST: usize = 4;
const WORD: &str = "walrus";
/// How many servers go on at the same time.
const AT_ONCE: usize = 3;

/// One run at a time, and a lease that ends soon after its server died.
fn setup(database: Option<String>) -> Setup {
    Setup { database, ..Setup::fake() }.with(&SHORT_LEASES.replace("[runner]\n", "[runner]\nslots = 1\n"))
}

/// The same with leases that outlast a machine that is busy with several servers.
fn upgraded(database: Option<String>) -> Setup {
    let config = setup(None).config.replace("lease_seconds = 6", "lease_seconds = 60").replace("fence_seconds = 4", "fence_seconds = 40");
    Setup { database, config, ..Setup::fake() }
}

/// What was sent before the upgrade.
#[derive(Debug, Clone, Default)]
struct Before {
    hooks: Vec<(String, String)>,
    /// Hook, thread, text, run; the delivery id is the place.
    sent: Vec<(usize, i64, &'static str, String)>,
}

impl Before {
    async fn post(&self, server: &Server, hook: usize, delivery: &str, thread: i64, text: &str) -> hook::Answer {
        let (url, secret) = &self.hooks[hook];
        let url = format!("{}{}", server.url, &url[url.find("/hooks").expect("a path")..]);
        hook::github(&url, secret, "issue_comment", delivery, &hook::comment(thread, text)).await.expect("answered")
    }

    async fn send(&mut self, server: &Server, hook: usize, thread: i64, text: &'static str) -> String {
        let answer = self.post(server, hook, &format!("d-{}", self.sent.len()), thread, text).await;
        assert!(["queued", "coalesced"].contains(&answer.outcome().as_str()), "{answer:?}");
        self.sent.push((hook, thread, text, answer.run_id()));
        answer.run_id()
    }
}

/// A server that died with one run that had ended, one live, some that wait, and one that was cancelled.
async fn fill(database: Option<String>) -> (Server, Before) {
    let mut server = setup(database).start();
    let mut client = Client::connect(&server).await;
    let mut before = Before::default();
    before.hooks.push(client.github_trigger("reviews", |_| {}).await);
    let bursts = client.github_trigger("bursts", |trigger| {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let coalesce = v1::CoalescePolicy { quiet_period: seconds(3), max_wait: seconds(10), ..Default::default() };
        trigger.busy = Some(v1::BusyPolicy { policy: Some(v1::busy_policy::Policy::Coalesce(coalesce)) });
    });
    before.hooks.push(bursts.await);
    let ended = before.send(&server, 0, 1, "the word is walrus").await;
    assert_eq!(client.ended(&ended).await.state(), RunState::Succeeded);
    before.send(&server, 0, 2, "event 0 of thread 2 [[sleep: 5]]").await;
    spawned(&server.journal_path(), 2, SOON).await;
    before.send(&server, 0, 2, "event 1 of thread 2").await;
    before.send(&server, 0, 3, "waits for a place").await;
    before.send(&server, 1, 4, "waits for quiet").await;
    before.send(&server, 1, 4, "and so does this").await;
    let cancelled = before.send(&server, 0, 5, "never begins").await;
    let cancelled = client.runs.cancel_run(v1::CancelRunRequest { run_id: cancelled, ..Default::default() }).await.expect("cancelled");
    assert_eq!(cancelled.into_inner().run.expect("a run").state(), RunState::Cancelled);
    server.kill();
    processes::none_remains(server.dir(), Duration::from_secs(5)).await;
    (server, before)
}

/// Everything that a schema is, line by line.
async fn schema(db: &DatabaseConnection) -> Vec<String> {
    let text = if db.get_database_backend() == DbBackend::Postgres {
        "SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable, column_default) FROM information_schema.columns \
         WHERE table_schema = 'public' UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' \
         UNION ALL SELECT concat_ws(' ', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace = 'public'::regnamespace \
         UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    } else {
        "SELECT m.name || ' ' || c.name || ' ' || c.type || ' ' || c.\"notnull\" || ' ' || coalesce(c.dflt_value, '') || ' ' || c.pk \
         FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table' \
         UNION ALL SELECT sql FROM sqlite_master WHERE type <> 'table' AND sql IS NOT NULL ORDER BY 1"
    };
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), text)).await.expect("asked");
    rows.iter().map(|row| row.try_get_by_index(0).expect("a text")).collect()
}

/// Takes the database back to its schema of so many steps, which is then exactly what a server of that time made.
async fn take_back(url: &str, fresh: &str, steps: usize) {
    let db = Database::connect(url).await.expect("connected");
    let all = Migrator::migrations().len();
    Migrator::down(&db, Some(u32::try_from(all - steps).expect("small"))).await.expect("down");
    let then = Database::connect(fresh).await.expect("connected");
    Migrator::up(&then, Some(u32::try_from(steps).expect("small"))).await.expect("up");
    assert_eq!(schema(&db).await, schema(&then).await, "the schema of step {steps}");
    db.close().await.expect("closed");
    then.close().await.expect("closed");
}

/// Today's server on the data and the database of an earlier one.
async fn goes_on(data: PathBuf, database: Option<String>, before: Before, steps: usize) {
    let home = tempfile::tempdir().expect("temp dir");
    let url = database.clone().unwrap_or_else(|| format!("sqlite:{}", data.join("reprise.db").display()));
    let mut server = Setup { data: Some(data), journal: Some(home.path().join("journal")), ..upgraded(database) }.start();
    let mut client = Client::connect(&server).await;
    for (n, (_, _, text, run)) in before.sent.iter().enumerate() {
        let run = client.ended(run).await;
        let wanted = if n == 6 { RunState::Cancelled } else { RunState::Succeeded };
        let attempts = [1, 2, 1, 1, 1, 1, 0][n];
        assert_eq!((run.state(), run.attempt), (wanted, attempts), "step {steps}, `{text}`: {:?}", run.failure);
    }
    let (entries, ended) = client.watch(&before.sent[0].3).await;
    assert_eq!(entries.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), (1..=ended.last_sequence).collect::<Vec<_>>());
    let spawns = spawned(&server.journal_path(), 4, SOON).await;
    let second: Vec<&str> =
        spawns.iter().filter(|one| one.prompt.contains(" of thread 2") || one.resumed()).map(|one| one.run_id()).collect();
    assert_eq!(second, [&before.sent[1].3, &before.sent[2].3], "step {steps}: in order");
    for (n, (hook, thread, text, run)) in before.sent.iter().enumerate() {
        let again = before.post(&server, *hook, &format!("d-{n}"), *thread, text).await;
        assert_eq!((again.outcome().as_str(), &again.run_id()), ("duplicate", run), "step {steps}, d-{n}");
    }
    let answer = before.post(&server, 0, "next", 1, &format!("[[recall: {WORD}]]")).await;
    let next = client.ended(&answer.run_id()).await;
    assert_eq!(next.result_text, format!("recall yes: {WORD}"), "step {steps}: the session goes on");
    server.stop();
    eprintln!("step {steps}: are the invariants sound?");
    assert_sound(&url, &server.data());
}

fn copied(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_schema_migrates_with_a_live_queue() {
    let (server, before) = fill(None).await;
    let place = tempfile::tempdir().expect("temp dir");
    let mut going = tokio::task::JoinSet::new();
    for steps in FIRST..Migrator::migrations().len() {
        let data = place.path().join(format!("data-{steps}"));
        copied(&server.data(), &data);
        let url = |file: &Path| format!("sqlite://{}?mode=rwc", file.display());
        take_back(&url(&data.join("reprise.db")), &url(&place.path().join(format!("fresh-{steps}.db"))), steps).await;
        going.spawn(goes_on(data, None, before.clone(), steps));
        if going.len() == AT_ONCE {
            going.join_next().await.expect("one").expect("it goes on");
        }
    }
    going.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_schema_migrates_with_a_live_queue_on_postgresql() {
    let Some(database) = crate::migrations::postgres() else { return };
    let (server, before) = fill(Some(database.clone())).await;
    let place = tempfile::tempdir().expect("temp dir");
    let name = database.rsplit('/').next().expect("a name");
    let mut going = tokio::task::JoinSet::new();
    for steps in FIRST..Migrator::migrations().len() {
        let data = place.path().join(format!("data-{steps}"));
        copied(&server.data(), &data);
        let fresh = crate::migrations::postgres().expect("there is one");
        let copy = format!("{name}_{steps}");
        ask(&fresh, &format!("CREATE DATABASE {copy} TEMPLATE {name}"));
        let url = database.replace(name, &copy);
        take_back(&url, &fresh, steps).await;
        going.spawn(goes_on(data, Some(url), before.clone(), steps));
        if going.len() == AT_ONCE {
            going.join_next().await.expect("one").expect("it goes on");
        }
    }
    going.join_all().await;
}

#[tokio::test]
async fn a_migration_that_is_cut_off_leaves_nothing_and_is_made_again() {
    let dir = tempfile::tempdir().expect("temp dir");
    let mut urls = vec![format!("sqlite://{}?mode=rwc", dir.path().join("cut.db").display())];
    urls.extend(crate::migrations::postgres());
    for url in urls {
        let db = Database::connect(&url).await.expect("connected");
        Migrator::up(&db, Some(4)).await.expect("up");
        // The second of the columns that the next one adds is there already: it fails in its middle.
        db.execute_unprepared("ALTER TABLE api_keys ADD COLUMN made_by TEXT").await.expect("added");
        let half = schema(&db).await;
        Migrator::up(&db, None).await.expect_err("it cannot be applied");
        assert_eq!(schema(&db).await, half, "nothing of it stays");
        db.execute_unprepared("ALTER TABLE api_keys DROP COLUMN made_by").await.expect("dropped");
        Migrator::up(&db, None).await.expect("up");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let dir = tempfile::tempdir().expect("temp dir");
    let sqlite = format!("sqlite://{}", dir.path().join("new.db").display());
    for url in [Some(sqlite), crate::migrations::postgres()].into_iter().flatten() {
        let db = Database::connect(format!("{url}{}", if url.starts_with("sqlite") { "?mode=rwc" } else { "" })).await.expect("connected");
        Migrator::up(&db, None).await.expect("up");
        db.execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20990101_000001_tomorrow', 1)")
            .await
            .expect("noted");
        db.close().await.expect("closed");
        let said = Server::refused(Setup { database: Some(url), ..Setup::fake() }, &dir.path().join("data"));
        assert!(said.contains("`database.url`") && said.contains("a newer version of Reprise") && said.contains("tomorrow"), "{said}");
    }
}
