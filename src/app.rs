//! The server, wired: what starts, in which order, and how it all stops.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use nix::fcntl::{Flock, FlockArg};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::config::Config;
use crate::domain::{Error, Result, RunId, WorkerId};
use crate::gateway::Gateway;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::queue::Queue;
use crate::runner::{self, Runner, watchdog};
use crate::secrets::Cipher;
use crate::server::{self, Server};
use crate::services::Services;
use crate::settings::SettingsCache;
use crate::store::Store;
use crate::upkeep::Upkeep;
use crate::metrics;

/// A running server.
#[derive(Debug)]
pub struct App {
    /// Where it listens.
    pub address: SocketAddr,
    /// How senders reach it.
    pub public_url: String,
    /// The first admin key, when this start made one: shown once, by the caller.
    pub admin_key: Option<String>,
    /// Runs that were live when the server before this one died, and go on.
    pub resumed_runs: Vec<RunId>,
    stop: CancellationToken,
    runner: Runner,
    queue_writer: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    serving: JoinHandle<Result<()>>,
    journal: Journal,
    _watchdog: watchdog::Watchdog,
    // One server per data directory: the lock is held as long as this lives.
    _lock: Flock<fs::File>,
}
