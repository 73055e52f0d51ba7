//! A PostgreSQL of a test's own, which it may restart, freeze and starve.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A running PostgreSQL. Ends with the test.
#[derive(Debug)]
pub(crate) struct Postgres {
    dir: TempDir,
    bin: PathBuf,
    port: u16,
}

/// Where the newest server of PostgreSQL is, if it is installed.
fn bin() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    found.sort();
    found.into_iter().rev().find(|bin| bin.join("initdb").exists())
}

/// A command of PostgreSQL, which refuses to run as root.
fn command(program: &Path) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Postgres {
    /// Starts one with these settings; none: it is not installed here (under CI that is a failure).
    pub(crate) fn start(settings: &[(&str, &str)]) -> Option<Self> {
        let Some(bin) = bin() else {
            assert!(std::env::var("CI").is_err(), "the server of PostgreSQL is not installed: under CI it is not optional");
            return None;
        };
        let dir = tempfile::tempdir().expect("temp dir");
        if nix::unistd::geteuid().is_root() {
            run(Command::new("chown").arg("postgres").arg(dir.path()));
        }
        let data = dir.path().join("data");
        run(command(&bin.join("initdb")).arg("-D").arg(&data).args(["-U", "reprise", "--auth=trust", "-E", "UTF8", "--no-instructions"]));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let postgres = Self { dir, bin, port };
        let fixed = [("listen_addresses", "127.0.0.1"), ("max_connections", "200"), ("log_min_messages", "warning")];
        let lines: Vec<String> = fixed.iter().chain(settings).map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        let sockets = format!("port = {port}\nunix_socket_directories = '{}'\n", postgres.dir.path().display());
        std::fs::write(data.join("postgresql.auto.conf"), lines.concat() + &sockets).expect("configured");
        postgres.control("start");
        Some(postgres)
    }

    fn control(&self, what: &str) {
        let log = self.dir.path().join("data/server.log");
        run(command(&self.bin.join("pg_ctl")).arg("-D").arg(self.dir.path().join("data")).arg("-l").arg(log).args([
            "-w",
            "-s",
            "-m",
            "immediate",
            what,
        ]));
    }

    /// Where servers find it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://reprise@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as a power cut would.
    pub(crate) fn crash(&self) {
        self.control("stop");
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        self.control("start");
    }

    /// What one statement gives, as text.
    pub(crate) fn ask(&self, sql: &str) -> String {
        ask(&self.url(), sql)
    }
}

/// What one statement gives, as text.
pub(crate) fn ask(url: &str, sql: &str) -> String {
    let output = Command::new("psql").args([url, "-qtAc", sql]).output().expect("psql runs");
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut stop = command(&self.bin.join("pg_ctl"));
        let _gone = stop.arg("-D").arg(self.dir.path().join("data")).args(["-s", "-m", "immediate", "stop"]).output();
    }
}
