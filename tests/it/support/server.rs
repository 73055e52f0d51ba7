//! Starting, killing and stopping the real server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// The admin key of every test server.
pub(crate) const KEY: &str = "rk_test_0123456789abcdefghijklmnopqrstuvwxyz";

/// How a test server is set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// The agent's executable.
    pub(crate) claude: PathBuf,
    /// More lines of TOML.
    pub(crate) config: String,
    /// Variables of the agent.
    pub(crate) agent_env: Vec<(String, String)>,
    /// `sqlite:…` unless another database is wanted.
    pub(crate) database: Option<String>,
    /// Where the test double writes of its starts and ends; none: beside the server's data.
    pub(crate) journal: Option<PathBuf>,
    /// Its data directory; none: one in its temporary directory.
    pub(crate) data: Option<PathBuf>,
    /// More arguments of `serve`.
    pub(crate) arguments: Vec<String>,
    /// Variables of the server itself.
    pub(crate) environment: Vec<(String, String)>,
}

impl Setup {
    /// With the test double as its agent.
    pub(crate) fn fake() -> Self {
        Self {
            claude: fake_claude(),
            config: String::new(),
            agent_env: Vec::new(),
            database: None,
            journal: None,
            data: None,
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// With the real agent against this model.
    pub(crate) fn real(claude: PathBuf, model_url: &str) -> Self {
        let env = [("ANTHROPIC_BASE_URL", model_url), ("ANTHROPIC_API_KEY", "sk-test-key-of-nobody")];
        Self { claude, agent_env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(), ..Self::fake() }
    }

    /// The same with more configuration.
    pub(crate) fn with(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Starts a server in a new directory.
    pub(crate) fn start(self) -> Server {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut server = Server { dir, setup: self, child: None, url: String::new() };
        server.start();
        server
    }
}

/// The test double, built beside this test.
pub(crate) fn fake_claude() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_BIN_EXE_reprise")).with_file_name("fake-claude");
    assert!(beside.exists(), "build the workspace first: cargo build --workspace");
    beside
}

/// The real agent, where the test run fetched it.
pub(crate) fn real_claude() -> Option<PathBuf> {
    let path = std::env::var_os("REPRISE_TEST_CLAUDE").map(PathBuf::from).filter(|path| path.exists());
    assert!(path.is_some() || std::env::var("CI").is_err(), "REPRISE_TEST_CLAUDE is not set: under CI the real agent is not optional");
    path
}

/// A server as its users have it. Ends with the test.
#[derive(Debug)]
pub(crate) struct Server {
    dir: TempDir,
    setup: Setup,
    child: Option<Child>,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Server {
    /// Starts it (again) on the same data, and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.launch(None);
        let begin = Instant::now();
        while !self.is_ready() {
            assert!(self.is_alive(), "the server ended:\n{}", self.log());
            assert!(begin.elapsed() < Duration::from_secs(30), "the server was not ready in 30 s:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it (again) on the same data; it ends itself at this fail point.
    pub(crate) fn launch(&mut self, fail_point: Option<&str>) {
        let _gone = fs::remove_file(self.data().join("address"));
        let config = self.dir.path().join("reprise.toml");
        fs::write(&config, &self.setup.config).expect("written");
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).expect("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--data-dir")
            .arg(self.data())
            .args(&self.setup.arguments)
            .envs(self.setup.environment.clone())
            .env("REPRISE__AUTH__ADMIN_KEY", KEY)
            .env("REPRISE__AGENT__CLAUDE__COMMAND", &self.setup.claude)
            .env("REPRISE__AGENT__CLAUDE__ENV__FAKE_CLAUDE_JOURNAL", self.journal_path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log"))
            .stderr(log);
        if let Some(database) = &self.setup.database {
            command.env("REPRISE__DATABASE__URL", database);
        }
        for (name, value) in &self.setup.agent_env {
            command.env(format!("REPRISE__AGENT__CLAUDE__ENV__{name}"), value);
        }
        if let Some(fail_point) = fail_point {
            command.env("REPRISE_FAIL_POINT", fail_point);
        }
        self.child = Some(command.spawn().expect("the server starts"));
    }

    /// Whether it has said where it listens, which is then known.
    pub(crate) fn is_ready(&mut self) -> bool {
        let url = fs::read_to_string(self.data().join("address")).unwrap_or_default();
        url.trim().clone_into(&mut self.url);
        !self.url.is_empty()
    }

    /// Whether its process has not ended by itself.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("asked").is_none())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.as_ref().map_or(0, |child| child.id().try_into().expect("a pid"))
    }

    /// Starts it as [`Server::start`] does, but expects it to refuse; gives what it said.
    pub(crate) fn refused(setup: Setup, data: &Path) -> String {
        let dir = tempfile::tempdir().expect("temp dir");
        let config = dir.path().join("reprise.toml");
        fs::write(&config, &setup.config).expect("written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_reprise"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(&config).arg("--data-dir").arg(data).args(&setup.arguments);
        if let Some(database) = &setup.database {
            command.env("REPRISE__DATABASE__URL", database);
        }
        let output = command.env("REPRISE__AUTH__ADMIN_KEY", KEY).stdin(Stdio::null()).output().expect("runs");
        assert!(!output.status.success(), "it should not start");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("it is there");
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
    }

    /// Ends it as an operator would, and waits.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _gone = kill(Pid::from_raw(child.id().try_into().expect("a pid")), Signal::SIGTERM);
            child.wait().expect("reaped");
        }
    }

    /// Waits until it has ended, as it was told to before.
    pub(crate) fn ended(&mut self, within: Duration) {
        let begin = Instant::now();
        while self.child.as_mut().is_some_and(|child| child.try_wait().expect("asked").is_none()) {
            assert!(begin.elapsed() < within, "it has not ended:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child = None;
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.setup.data.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    /// Its temporary directory, for a test's own files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What the test double wrote about its starts and ends.
    pub(crate) fn journal_path(&self) -> PathBuf {
        self.setup.journal.clone().unwrap_or_else(|| self.dir.path().join("fake-claude.jsonl"))
    }

    /// Changes the database behind the server's back, as time or a fault would.
    pub(crate) async fn sql(&self, sql: &'static str) {
        use sqlx::{Connection as _, Executor as _};
        let url = format!("sqlite://{}", self.data().join("reprise.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the database opens");
        connection.execute("PRAGMA busy_timeout = 5000").await.expect("waits");
        connection.execute(sql).await.expect(sql);
        connection.close().await.expect("closed");
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("server.log")
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- server log ---\n{}", self.log());
        }
        self.kill();
    }
}
