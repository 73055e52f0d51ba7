//! Starting the servers under measurement, each in a directory of its own, and talking to Reprise.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{HeaderValue, Uri};
use reprise::proto::v1::{self, run_service_client::RunServiceClient, trigger_service_client::TriggerServiceClient};
use serde_json::Value;
use tempfile::TempDir;
use tonic::codegen::InterceptedService;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::edge;
use crate::load::Sender;
use crate::process::{Process, own_role};

const KEY: &str = "rk_bench_0123456789abcdefghijklmnopqrstuvwxyz";

/// Where webhooks go, and how they are signed.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    /// `host:port`.
    pub(crate) authority: String,
    /// The same as a header.
    pub(crate) host: HeaderValue,
    pub(crate) path: Uri,
    pub(crate) secret: String,
}

impl Hook {
    fn new(url: &str, secret: String) -> Result<Self> {
        let uri: Uri = url.parse()?;
        let authority = uri.authority().context("a hook address has a host")?.to_string();
        let path = uri.path_and_query().context("a hook address has a path")?.as_str().parse()?;
        Ok(Self { host: HeaderValue::from_str(&authority)?, authority, path, secret })
    }
}

/// The bare edge, started.
#[derive(Debug)]
pub(crate) struct Edge {
    dir: TempDir,
    _process: Process,
    pub(crate) hook: Hook,
}

impl Edge {
    /// Starts it on `dir`, which may hold its database already; with a program to start for each webhook, or none.
    pub(crate) async fn start(dir: TempDir, spawn: Option<&Path>) -> Result<Self> {
        Self::start_on(dir, None, spawn).await
    }

    /// Starts it on this PostgreSQL database, which has the schema of Reprise.
    pub(crate) async fn on_postgres(url: &str) -> Result<Self> {
        Self::start_on(tempfile::tempdir()?, Some(url), None).await
    }

    async fn start_on(dir: TempDir, postgres: Option<&str>, spawn: Option<&Path>) -> Result<Self> {
        let mut command = own_role("edge")?;
        let address = dir.path().join("address");
        if let Some(url) = postgres {
            command.args(["--postgres", url]);
        }
        command.arg("--database").arg(Self::database(dir.path())).arg("--address").arg(&address);
        if let Some(program) = spawn {
            command.arg("--spawn").arg(program).env("FAKE_CLAUDE_JOURNAL", dir.path().join("agent.jsonl"));
            command.env("CLAUDE_CONFIG_DIR", dir.path().join("claude")).current_dir(dir.path());
        }
        let (process, authority) = Process::start(command, &address, &dir.path().join("log")).await?;
        let hook = Hook::new(&format!("http://{authority}/"), edge::secret())?;
        Ok(Self { dir, _process: process, hook })
    }

    /// Its database in `dir`.
    pub(crate) fn database(dir: &Path) -> PathBuf {
        dir.join("edge.db")
    }

    /// What its children wrote about themselves.
    pub(crate) fn agents(&self) -> PathBuf {
        self.dir.path().join("agent.jsonl")
    }
}

/// How Reprise is started.
#[derive(Debug)]
pub(crate) struct Setup {
    /// Its agent.
    pub(crate) agent: PathBuf,
    /// Variables of its agent.
    pub(crate) agent_env: Vec<(&'static str, String)>,
    /// The URL of its database; none: SQLite, in its directory.
    pub(crate) database: Option<String>,
    /// Runs that it takes on at once; none: as many as the setting says.
    pub(crate) slots: Option<usize>,
}

impl Setup {
    /// With the test double.
    pub(crate) fn fake() -> Result<Self> {
        Ok(Self { agent: beside("fake-claude")?, agent_env: Vec::new(), database: None, slots: None })
    }
}

/// Reprise, started.
#[derive(Debug)]
pub(crate) struct Server {
    dir: TempDir,
    pub(crate) process: Process,
    pub(crate) runs: RunServiceClient<Keyring>,
    triggers: TriggerServiceClient<Keyring>,
    url: String,
}

/// A channel with the key on each call.
pub(crate) type Keyring = InterceptedService<Channel, Keyed>;

/// Adds the key to each call.
#[derive(Debug, Clone)]
pub(crate) struct Keyed(MetadataValue<Ascii>);

impl Interceptor for Keyed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A new connection with the key.
pub(crate) async fn keyring(url: &str) -> Result<Keyring> {
    let key = Keyed(format!("Bearer {KEY}").parse()?);
    let channel = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true).connect().await?;
    Ok(InterceptedService::new(channel, key))
}

impl Server {
    /// Starts it in a new directory.
    pub(crate) async fn fresh(setup: &Setup) -> Result<Self> {
        Self::start(tempfile::tempdir()?, setup).await
    }

    /// Starts it on `dir`, which may hold its data already.
    pub(crate) async fn start(dir: TempDir, setup: &Setup) -> Result<Self> {
        let data = dir.path().join("data");
        let mut command = Command::new(beside("reprise")?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data);
        command.env("REPRISE__AUTH__ADMIN_KEY", KEY).env("REPRISE__LOG__FILTER", "warn");
        command.env("REPRISE__AGENT__CLAUDE__COMMAND", &setup.agent);
        command.env("REPRISE__AGENT__CLAUDE__ENV__FAKE_CLAUDE_JOURNAL", dir.path().join("agent.jsonl"));
        for (name, value) in &setup.agent_env {
            command.env(format!("REPRISE__AGENT__CLAUDE__ENV__{name}"), value);
        }
        if let Some(database) = &setup.database {
            command.env("REPRISE__DATABASE__URL", database);
        }
        if let Some(slots) = setup.slots {
            command.env("REPRISE__RUNNER__SLOTS", slots.to_string());
        }
        let (process, url) = Process::start(command, &data.join("address"), &dir.path().join("log")).await?;
        let keyring = keyring(&url).await?;
        let (runs, triggers) = (RunServiceClient::new(keyring.clone()), TriggerServiceClient::new(keyring));
        Ok(Self { dir, process, runs, triggers, url })
    }

    /// Its address.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Completes when it says that it is ready.
    pub(crate) async fn ready(&self) -> Result<()> {
        let host = self.url.trim_start_matches("http://");
        let mut sender = Sender::connect(host).await?;
        while sender.get(host, "/readyz").await? != http::StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Its database.
    pub(crate) fn database(dir: &Path) -> PathBuf {
        dir.join("data/reprise.db")
    }

    /// What its agents wrote about themselves.
    pub(crate) fn agents(&self) -> PathBuf {
        self.dir.path().join("agent.jsonl")
    }

    /// Ends it, and gives its directory back.
    pub(crate) fn stop(mut self) -> TempDir {
        self.process.kill();
        self.dir
    }

    /// A GitHub trigger of which each webhook is a run: nothing is filtered, merged or held back.
    pub(crate) async fn trigger(&mut self, slug: &str) -> Result<(v1::Trigger, Hook)> {
        let trigger = v1::Trigger {
            slug: slug.to_owned(),
            source: v1::Source::Github.into(),
            resume_sessions: Some(true),
            busy: Some(v1::BusyPolicy { policy: Some(v1::busy_policy::Policy::Queue(v1::QueuePolicy {})) }),
            caps: Some(v1::Caps { runs_per_session_per_hour: Some(0), ..Default::default() }),
            action: Some(v1::trigger::Action::Prompt(v1::PromptAction {
                template: "Answer the comment. {{ event.text }}".to_owned(),
                follow_up_template: None,
            })),
            ..Default::default()
        };
        let request = v1::CreateTriggerRequest { trigger: Some(trigger), ..Default::default() };
        let made = self.triggers.create_trigger(request).await?.into_inner();
        let trigger = made.trigger.context("a trigger")?;
        let hook = Hook::new(&trigger.webhook_url, made.secret)?;
        Ok((trigger, hook))
    }

    /// The run as it is now.
    pub(crate) async fn run(&mut self, run_id: &str) -> Result<v1::Run> {
        let request = v1::GetRunRequest { run_id: run_id.to_owned() };
        self.runs.get_run(request).await?.into_inner().run.context("a run")
    }
}

/// The run that an answer to a webhook names.
pub(crate) fn run_id(answer: &[u8]) -> Result<String> {
    let answer: Value = serde_json::from_slice(answer)?;
    let run = answer["run_id"].as_str().filter(|id| !id.is_empty());
    Ok(run.with_context(|| format!("the answer names no run: {answer}"))?.to_owned())
}

/// A program of the same build.
pub(crate) fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: use `make bench`, which builds it", path.display());
    Ok(path)
}
