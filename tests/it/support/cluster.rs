//! Servers that share one PostgreSQL, each with a data directory, a home and a path of its own.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::claude::{Spawn, spawns};
use super::server::{Server, Setup};

/// Leases that are short, and long enough for a busy machine.
pub(crate) const SHORT_LEASES: &str = "[worker]\nlease_seconds = 6\nheartbeat_seconds = 1\nfence_seconds = 4\ngrace_seconds = 1\n[runner]\nkill_grace_seconds = 1\ncheckpoint_seconds = 1\n[server]\ndrain_timeout_seconds = 3\n";
/// When a worker that holds such a lease is taken over at the latest, on a busy machine.
pub(crate) const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(30);

/// Servers on one database, with one test double and one journal of it. Ends with the test.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
    dir: TempDir,
    setup: Setup,
}

impl Cluster {
    /// No server yet. `setup` has the database.
    pub(crate) fn new(setup: Setup) -> Self {
        assert!(setup.database.as_ref().is_some_and(|url| url.starts_with("postgres")), "servers share PostgreSQL");
        let dir = tempfile::tempdir().expect("temp dir");
        let key = dir.path().join("master.key");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key).expect("made");
        std::io::Write::write_all(&mut &file, "5e".repeat(32).as_bytes()).expect("written");
        // Before the sections of the given configuration, since it belongs to none.
        let config = format!("master_key_file = {:?}\n{}", key.display().to_string(), setup.config);
        let setup = Setup { config, journal: Some(dir.path().join("fake-claude.jsonl")), ..setup };
        Self { servers: Vec::new(), dir, setup }
    }

    /// Servers with the test double and short leases on a new database of the test run's PostgreSQL; none: there is none.
    pub(crate) fn start(count: usize) -> Option<Self> {
        let database = crate::migrations::postgres()?;
        let mut cluster = Self::new(Setup { database: Some(database), ..Setup::fake() }.with(SHORT_LEASES));
        for _ in 0..count {
            cluster.add("all");
        }
        Some(cluster)
    }

    /// One more server, in this role.
    pub(crate) fn add(&mut self, role: &str) -> &mut Server {
        self.add_with(role, Vec::new())
    }

    /// The same, with variables of its own.
    pub(crate) fn add_with(&mut self, role: &str, environment: Vec<(String, String)>) -> &mut Server {
        let setup = Setup { arguments: vec!["--role".to_owned(), role.to_owned()], environment, ..self.setup.clone() };
        self.servers.push(setup.start());
        self.servers.last_mut().expect("just added")
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> &str {
        self.setup.database.as_deref().expect("it has one")
    }

    /// Where the servers are.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.url.clone()).filter(|url| !url.is_empty()).collect()
    }

    /// Fails unless `reprise doctor` finds the invariants of the database to hold.
    pub(crate) fn assert_sound(&self) {
        assert_sound(self.database(), &self.dir.path().join("doctor"));
    }

    /// What really started and ended, whichever server asked for it.
    pub(crate) fn spawns(&self) -> Vec<Spawn> {
        spawns(&self.journal())
    }

    /// Where the test double writes.
    pub(crate) fn journal(&self) -> PathBuf {
        self.dir.path().join("fake-claude.jsonl")
    }

    /// Waits for so many starts, and gives them.
    pub(crate) async fn spawned(&self, count: usize, within: Duration) -> Vec<Spawn> {
        spawned(&self.journal(), count, within).await
    }

    /// Which server's process this was.
    pub(crate) fn server_of(&self, spawn: &Spawn) -> usize {
        let at = |server: &Server| spawn.cwd.starts_with(&*server.data().to_string_lossy());
        self.servers.iter().position(at).unwrap_or_else(|| panic!("no server has {}", spawn.cwd))
    }
}

/// Fails unless `reprise doctor` finds the invariants of a database to hold. One that could not ask it, on a machine that is busy
/// with other tests, asks again.
pub(crate) fn assert_sound(database: &str, data: &Path) {
    let doctor = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_reprise"))
            .args(["doctor", "--data-dir"])
            .arg(data)
            .env("REPRISE__DATABASE__URL", database)
            .output()
            .expect("runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let mut said = doctor();
    for _ in 0..2 {
        if said.contains("invariants of the database") {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
        said = doctor();
    }
    assert!(said.contains("ok       invariants of the database"), "{said}");
}

/// Waits for so many starts in a journal of the test double, and gives them.
pub(crate) async fn spawned(journal: &Path, count: usize, within: Duration) -> Vec<Spawn> {
    let begin = Instant::now();
    loop {
        let so_far = spawns(journal);
        if so_far.len() >= count {
            return so_far;
        }
        assert!(begin.elapsed() < within, "{} of {count} agents started in {within:?}", so_far.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
