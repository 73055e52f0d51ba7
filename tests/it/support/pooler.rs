//! PgBouncer between servers and PostgreSQL.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running PgBouncer. Ends with the test.
#[derive(Debug)]
pub(crate) struct Pooler {
    child: Child,
    _dir: TempDir,
    /// The database that it was made for, behind it.
    pub(crate) url: String,
}

/// Where it is: `REPRISE_TEST_PGBOUNCER`, or where it is installed.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("REPRISE_TEST_PGBOUNCER").map(PathBuf::from);
    named.into_iter().chain(["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(PathBuf::from)).find(|path| path.exists())
}

/// Whether the one that is installed follows prepared statements from connection to connection.
pub(crate) fn follows_statements() -> bool {
    let said = Command::new(program().expect("it is there")).arg("--version").output().expect("runs");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let version = said.split_whitespace().find_map(|word| word.strip_prefix("1.")?.split('.').next()?.parse::<u32>().ok());
    version.is_some_and(|minor| minor >= 21)
}

impl Pooler {
    /// One in this mode before the database; none: it is not installed here.
    pub(crate) fn start(database: &str, mode: &str) -> Option<Self> {
        let program = program()?;
        let dir = tempfile::tempdir().expect("temp dir");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let (server, name) = database.rsplit_once('/').expect("a database name");
        let (user, address) = server.trim_start_matches("postgres://").split_once('@').expect("a user");
        let (host, server_port) = address.split_once(':').expect("a port");
        // Fewer connections than the servers have, so that they share them.
        let mut config = format!(
            "[databases]\n{name} = host={host} port={server_port} user={user} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\nidle_transaction_timeout = 3\n\
             default_pool_size = {}\nignore_startup_parameters = extra_float_digits, options\n",
            if mode == "session" { 50 } else { 8 }
        );
        if follows_statements() {
            config.push_str("max_prepared_statements = 500\n");
        }
        let path = dir.path().join("pgbouncer.ini");
        std::fs::write(&path, config).expect("written");
        let mut command = Command::new(&program);
        if nix::unistd::geteuid().is_root() {
            // It refuses to run as root.
            assert!(Command::new("chown").args(["-R", "nobody"]).arg(dir.path()).status().expect("runs").success());
            command.args(["-u", "nobody"]);
        }
        let child = command.arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "PgBouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, _dir: dir, url: format!("postgres://{user}@127.0.0.1:{port}/{name}") })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
