//! A PostgreSQL of the bench's own: on loopback, on a disk, durable as one in production is.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::report::Report;

/// Where Debian and its kin keep the server's programs, a folder for each version.
const PROGRAMS: &str = "/usr/lib/postgresql";
/// What differs from a server as it is installed. More room for shared buffers, since the tables are large, and checkpoints by
/// size as on any server that is written to; what makes a commit durable is left on.
const SETTINGS: [(&str, &str); 7] = [
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "100"),
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("log_min_messages", "warning"),
];

/// A running PostgreSQL. Ends with its owner.
#[derive(Debug)]
pub(crate) struct Postgres {
    dir: TempDir,
    programs: PathBuf,
    port: u16,
}

/// Starts one for this part of the bench; none, and the report says so: it is not installed here.
pub(crate) fn start_for(part: &str, report: &mut Report) -> Result<Option<Postgres>> {
    let Some(programs) = programs() else {
        report.miss(part, &format!("the server of PostgreSQL is not installed ({PROGRAMS}/*/bin/initdb)"));
        return Ok(None);
    };
    Postgres::start(programs).map(Some)
}

fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(PROGRAMS).into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    found.sort();
    found.into_iter().rev().find(|programs| programs.join("initdb").exists())
}

/// PostgreSQL refuses to run as root.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// A program of PostgreSQL, as its user.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Postgres {
    fn start(programs: PathBuf) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(dir.path()))?;
        }
        let data = dir.path().join("data");
        let initdb = ["-U", "reprise", "--auth=trust", "-E", "UTF8", "--no-instructions"];
        run(command(&programs.join("initdb")).arg("-D").arg(&data).args(initdb))?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let settings: String = SETTINGS.iter().map(|(name, value)| format!("{name} = '{value}'\n")).collect();
        let own = format!("port = {port}\nunix_socket_directories = '{}'\n", dir.path().display());
        std::fs::write(data.join("postgresql.auto.conf"), settings + &own)?;
        let postgres = Self { dir, programs, port };
        let log = data.join("server.log");
        run(postgres.control().arg("-l").arg(log).args(["-w", "-s", "start"]))?;
        Ok(postgres)
    }

    fn control(&self) -> Command {
        let mut control = command(&self.programs.join("pg_ctl"));
        control.arg("-D").arg(self.dir.path().join("data"));
        control
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://reprise@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database, and says where it is.
    pub(crate) async fn database(&self, name: &str) -> Result<String> {
        let mut admin = PgConnection::connect(&self.url("postgres")).await?;
        admin.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        admin.close().await?;
        Ok(self.url(name))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _gone = self.control().args(["-s", "-m", "immediate", "stop"]).stdin(Stdio::null()).output();
    }
}
