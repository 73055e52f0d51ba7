//! What the tests stand on: a runner over a fresh database, with the test double as its agent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agent::Profile;
use crate::domain::{
    BusyPolicy, DeliveryId, DeliveryOrigin, EntryKind, Event, NoticeCode, Requester, RequesterKind, Run, RunId, RunKind, RunLimits,
    SessionMode, Settings, Source, TriggerId, UnixMicros, samples,
};
use crate::journal::Journal;
use crate::queue::{Disposition, NewDelivery, Queue, RunRequest, RunThread};
use crate::runner::{Config, Runner, Setup};
use crate::store::{Store, scratch};

pub(super) struct Bed {
    pub(super) queue: Queue,
    pub(super) journal: Journal,
    pub(super) store: Arc<Store>,
    pub(super) setup: Setup,
    pub(super) trigger: TriggerId,
    pub(super) settings: watch::Sender<Arc<Settings>>,
    runner: Option<Runner>,
    dir: TempDir,
}

/// Built beside this test by `cargo build --workspace`.
fn fake_claude() -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let beside = test.ancestors().nth(2).expect("a target directory").join("fake-claude");
    assert!(beside.exists(), "build the workspace first: cargo build --workspace");
    beside
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::with(RunLimits::default(), |_| {}).await
    }

    pub(super) async fn with(limits: RunLimits, change: impl FnOnce(&mut Setup)) -> Self {
        let (store, dir) = scratch().await;
        let (queue, _writer) = Queue::start(store.clone(), CancellationToken::new());
        let mut trigger = samples::trigger(Source::Manual, "Review.");
        trigger.spec.run_limits = limits;
        let trigger = store.create_trigger(&trigger, &[]).await.expect("created").id;
        let profile = Profile {
            description: String::new(),
            restricted: true,
            permission_mode: "dontAsk".to_owned(),
            tools: Some(vec!["Read".to_owned()]),
            allowed_tools: Vec::new(),
            env: Vec::new(),
            mcp_config: None,
        };
        let mut setup = Setup {
            data_dir: dir.path().join("data"),
            config: Config { kill_grace_seconds: 1, ..Config::default() },
            profiles: BTreeMap::from([("untrusted".to_owned(), profile)]),
            ..Setup::default()
        };
        setup.claude.command = fake_claude().display().to_string();
        setup.claude.env.insert("FAKE_CLAUDE_JOURNAL".to_owned(), dir.path().join("spawns.jsonl").display().to_string());
        change(&mut setup);
        let journal = Journal::new(store.clone());
        let (settings, _) = watch::channel(Arc::new(Settings::default()));
        let mut bed = Self { queue, journal, store, setup, trigger, settings, runner: None, dir };
        bed.start().await;
        bed
    }

    pub(super) async fn start(&mut self) {
        let (queue, journal, settings) = (self.queue.clone(), self.journal.clone(), self.settings.subscribe());
        self.runner = Some(Runner::start(self.setup.clone(), queue, journal, settings).await.expect("started").0);
    }

    /// Stops in order, then starts again as another boot.
    pub(super) async fn restart(&mut self, patience: Duration) {
        if let Some(runner) = self.runner.take() {
            runner.drain(patience).await;
        }
        self.start().await;
    }

    /// Asks for a run with this prompt.
    pub(super) async fn ask(&self, thread: &str, prompt: &str) -> RunId {
        self.ask_as(thread, prompt, SessionMode::Default).await
    }

    pub(super) async fn ask_as(&self, thread: &str, prompt: &str, session_mode: SessionMode) -> RunId {
        let request = RunRequest {
            thread: RunThread::Key(thread.to_owned()),
            may_start: true,
            busy: BusyPolicy::Queue,
            runs_per_session_per_hour: 0,
            kind: RunKind::Turn,
            session_mode,
            prompt_override: Some(prompt.to_owned()),
            requested_by: Requester { kind: RequesterKind::Key, id: String::new(), display_name: String::new() },
        };
        let delivery = NewDelivery {
            id: DeliveryId::new(),
            trigger_id: Some(self.trigger),
            trigger_slug: "t".to_owned(),
            source: Source::Manual,
            origin: DeliveryOrigin::Manual,
            provider_delivery_id: String::new(),
            dedupe: None,
            event: Event::default(),
            thread_key: Some(thread.to_owned()),
            headers: Vec::new(),
            body_zstd: None,
            body_bytes: 0,
            receive_time: UnixMicros::now(),
            disposition: Disposition::Run(Box::new(request)),
            walk: Vec::new(),
            replay_of: None,
        };
        self.queue.accept(delivery).await.expect("accepted").run_id.expect("a run")
    }

    pub(super) async fn run(&self, id: RunId) -> Run {
        self.store.run(id).await.expect("read").expect("there")
    }

    /// The run, once `is` says so of it.
    pub(super) async fn when(&self, id: RunId, is: impl Fn(&Run) -> bool) -> Run {
        let watched = async {
            loop {
                let run = self.run(id).await;
                if is(&run) {
                    return run;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(40), watched).await {
            Ok(run) => run,
            Err(_) => panic!("still {:?}", self.run(id).await.status),
        }
    }

    pub(super) async fn ended(&self, id: RunId) -> Run {
        self.when(id, |run| run.status.is_end()).await
    }

    /// Asks and waits for the end.
    pub(super) async fn done(&self, thread: &str, prompt: &str) -> Run {
        self.ended(self.ask(thread, prompt).await).await
    }

    pub(super) async fn entries(&self, run: RunId) -> Vec<EntryKind> {
        let (mut all, mut next) = (Vec::new(), 1);
        loop {
            let page = self.store.journal_page(run, next).await.expect("read");
            let Some(last) = page.last() else { return all };
            assert_eq!(page[0].sequence, next, "no gap");
            next = last.sequence + 1;
            all.extend(page.into_iter().map(|entry| entry.kind));
        }
    }

    pub(super) async fn notices(&self, run: RunId) -> Vec<NoticeCode> {
        let entries = self.entries(run).await;
        entries.iter().filter_map(|kind| if let EntryKind::Notice { code, .. } = kind { Some(*code) } else { None }).collect()
    }

    /// Lines of the test double's own journal: `start` or `end`.
    pub(super) fn spawns(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.path().join("spawns.jsonl")).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str::<Value>(line).expect("a whole line"));
        lines.filter(|line| line["event"] == event).collect()
    }

    /// Every transcript on disk.
    pub(super) fn transcripts(&self) -> Vec<PathBuf> {
        files(&self.setup.data_dir).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")).collect()
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
