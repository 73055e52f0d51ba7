//! The server, wired: what starts, in which order, and how it all stops.

mod lock;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use lock::{Locks, make_data_dir};

use crate::access::Access;
use crate::changes::Changes;
use crate::config::{Config, Role, Sandbox};
use crate::domain::{Error, Result, RunId, UnixMicros};
use crate::gateway::Gateway;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::queue::Queue;
use crate::runner::{self, Probe, Runner};
use crate::secrets::Cipher;
use crate::server::{self, Health, Server};
use crate::services::{AgentFound, Facts, Rooms, Services, remove_directories};
use crate::settings::SettingsCache;
use crate::store::Store;
use crate::upkeep::Upkeep;

/// A running server.
#[derive(Debug)]
pub struct App {
    /// How senders reach it.
    pub public_url: String,
    /// The first admin key, when this start made one: shown once, by the caller.
    pub admin_key: Option<String>,
    /// Runs that were live when the server before this one died, and go on.
    pub resumed_runs: Vec<RunId>,
    stop: CancellationToken,
    closed: CancellationToken,
    drain: Duration,
    runner: Option<Runner>,
    journal: Journal,
    services: Services,
    serving: JoinHandle<Result<()>>,
    workers: Vec<JoinHandle<()>>,
    /// One server per data directory and database file: held as long as this lives.
    _locks: Locks,
}

/// What the runner is told.
#[must_use]
pub fn runner_setup(config: &Config) -> runner::Setup {
    runner::Setup {
        data_dir: fs::canonicalize(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone()),
        environment: std::env::vars().collect(),
        config: config.runner.clone(),
        claude: config.agent.claude.clone(),
        profiles: config.profiles.clone(),
        workspaces: config.workspaces.clone(),
        worker: config.worker.clone(),
        ..runner::Setup::default()
    }
}

/// What an operator should know of this configuration.
#[must_use]
pub fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.agent.sandbox == Sandbox::Off {
        warnings.push(
            "runs are not sandboxed (agent.sandbox = \"off\"): a profile bounds what the agent may do, the system does not".to_owned(),
        );
    }
    if !config.has_credential() {
        warnings.push("no credential for the model: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN under [agent.claude.env]".to_owned());
    }
    if config.server.public_url.is_empty() {
        warnings.push("server.public_url is not set: hook URLs name the listening address, which providers may not reach".to_owned());
    }
    warnings
}

impl App {
    /// Starts everything: store, recovery, queue, runner, listener. Ready when it returns.
    ///
    /// # Errors
    /// What cannot start, with the key of the configuration to change where there is one.
    pub async fn start(config: Config) -> Result<Self> {
        make_data_dir(&config.data_dir)?;
        let locks = Locks::take(&config)?;
        let server = Server::bind(config.server.clone()).await?;
        let (stop, closed) = (CancellationToken::new(), CancellationToken::new());

        let store = Arc::new(Store::open(&config.database, &config.data_dir).await?);
        store.migrate_up().await?;
        store.set_clock().await?;
        let settings = SettingsCache::load(Arc::clone(&store)).await?;
        let cipher = cipher(&config, &store).await?;
        let (access, admin_key) = Access::start(Arc::clone(&store), config.auth.clone()).await?;

        let (queue, intake_writer) = Queue::start(Arc::clone(&store), stop.clone());
        let journal = Journal::new(Arc::clone(&store));
        let intake = Intake::new(Arc::clone(&store), queue.clone(), cipher.clone());
        let setup = runner_setup(&config);
        let (runner, resumed_runs) = match config.role {
            Role::Api => (None, Vec::new()),
            Role::All | Role::Worker => start_runner(&setup, &locks, &queue, &journal, &settings).await?,
        };
        let upkeep = Upkeep::new(Arc::clone(&store), queue.clone(), settings.clone(), setup.data_dir.clone(), remove_directories);

        let changes = Changes::new(Arc::clone(&store), queue.clone(), config.server.max_watched_lists, stop.clone());
        let lists = own(changes.clone().run());
        let keys = own(access.clone().end_streams(closed.clone()));
        let public_url = server.public_url();
        let (agents_found, agents) = watch::channel(Vec::new());
        let lookout = own(look_for_agents(setup, agents_found, stop.clone()));
        let facts = facts(&config, &public_url, store.is_postgres(), agents);
        let gateway = Gateway::new(&config.gateway, intake.clone(), stop.clone());
        let rooms = Rooms {
            store: Arc::clone(&store),
            queue: queue.clone(),
            journal: journal.clone(),
            changes,
            settings,
            intake,
            access: access.clone(),
            cipher,
            facts,
        };
        let services = Services::new(rooms);
        let takes_calls = config.role != Role::Worker;
        let health = Health::new(Arc::clone(&store), stop.clone(), runner.as_ref().map(Runner::standing), takes_calls).await?;
        let router = server::router(server::Parts {
            config: config.server.clone(),
            services: services.clone(),
            gateway,
            access,
            health: health.clone(),
            takes_calls,
        })?;
        // After the router: its metrics recorder must be there when the first gauges are set.
        let upkeep = own(upkeep.run(stop.clone()));
        let health = own(health.report(closed.clone()));
        let clock = own(store.keep_clock(closed.clone()));
        let hints = own(queue.clone().pass_hints(closed.clone()));
        let exchange = own(journal.clone().exchange(closed.clone()));
        let reaper = own(queue.clone().reap_until(config.worker.lease() / 4, config.worker.grace(), stop.clone()));
        write_address(&config.data_dir, &server.local_url())?;
        let serving = own(server.serve(router, stop.clone(), closed.clone()));
        tracing::info!(url = %public_url, role = %config.role, runs.resumed = resumed_runs.len(), "ready");
        for warning in warnings(&config) {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            public_url,
            admin_key,
            resumed_runs,
            stop,
            closed,
            drain: Duration::from_secs(config.server.drain_timeout_seconds),
            runner,
            journal,
            services,
            serving,
            workers: vec![intake_writer, upkeep, lookout, lists, health, clock, hints, exchange, reaper, keys],
            _locks: locks,
        })
    }

    /// Completes when the listener failed for good.
    pub async fn ended(&mut self) {
        let _result = (&mut self.serving).await;
    }

    /// Stops: nothing new is taken (senders hear when to come again), live runs may end, then they are interrupted and go on
    /// on another server or at the next start; readers of runs are told to go on elsewhere.
    ///
    /// # Errors
    /// What the listener failed with.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        if let Some(runner) = self.runner {
            runner.drain(self.drain).await;
        }
        self.journal.close();
        self.closed.cancel();
        let served =
            if self.serving.is_finished() { Ok(()) } else { self.serving.await.unwrap_or_else(|error| Err(Error::internal(error))) };
        self.services.finished().await;
        for worker in self.workers {
            let _stopped = worker.await;
        }
        served
    }
}

/// The cipher of stored secrets, if its key is the one that they are sealed with.
async fn cipher(config: &Config, store: &Store) -> Result<Cipher> {
    let path = config.master_key_file.clone().unwrap_or_else(|| config.data_dir.join("master.key"));
    let cipher = Cipher::load(&path)?;
    if store.agree_on_master_key(&cipher.fingerprint()).await? {
        return Ok(cipher);
    }
    let problem = format!(
        "{} is not the key that the secrets in this database are sealed with; copy it from the server that made them",
        path.display()
    );
    Err(Error::field("master_key_file", problem))
}

/// The runner, with the runs that it took over and that go on.
async fn start_runner(
    setup: &runner::Setup,
    locks: &Locks,
    queue: &Queue,
    journal: &Journal,
    settings: &SettingsCache,
) -> Result<(Option<Runner>, Vec<RunId>)> {
    let setup = runner::Setup {
        host: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        place: locks.place(),
        watchdog: Some(std::env::current_exe().map_err(Error::internal)?),
        ..setup.clone()
    };
    let (runner, recovered) = Runner::start(setup, queue.clone(), journal.clone(), settings.subscribe()).await?;
    Ok((Some(runner), recovered.requeued))
}

/// What callers may know of this configuration.
fn facts(config: &Config, public_url: &str, postgres: bool, agents: watch::Receiver<Vec<AgentFound>>) -> Facts {
    Facts {
        public_url: public_url.to_owned(),
        data_dir: fs::canonicalize(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone()),
        postgres,
        default_model: config.agent.claude.model.clone(),
        profiles: config.profiles.clone(),
        workspaces: config.workspaces.keys().cloned().collect(),
        skills_dir: config.agent.claude.skills_dir.clone(),
        has_credential: config.has_credential(),
        agents,
        warnings: warnings(config),
        start_time: UnixMicros::now(),
    }
}

/// Looks for the agents once a minute, so that callers are told what is there now.
async fn look_for_agents(setup: runner::Setup, found: watch::Sender<Vec<AgentFound>>, stop: CancellationToken) {
    let probe = Probe::default();
    loop {
        let agent = match probe.check(&setup).await {
            Ok(found) => AgentFound {
                path: found.path.display().to_string(),
                version: found.version.unwrap_or_default(),
                usable: true,
                ..AgentFound::default()
            },
            Err(failure) => AgentFound { problem: failure.message, remedy: failure.reason.remedy().to_owned(), ..AgentFound::default() },
        };
        found.send_replace(vec![agent]);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// Where this server listens, for scripts: written when it is about to serve.
fn write_address(data_dir: &Path, url: &str) -> Result<()> {
    let (path, new) = (data_dir.join("address"), data_dir.join("address.new"));
    fs::write(&new, format!("{url}\n"))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|error| Error::internal(format!("{}: {error}", path.display())))
}

/// A task that the server owns and waits for when it stops.
#[expect(clippy::disallowed_methods, reason = "the one place where the server's own tasks begin")]
fn own<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}
