//! The oracle of the crash tests: a line at the start and at the end of every process, on disk
//! before the process goes on.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Where to write, if anywhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal {
    path: Option<PathBuf>,
}

impl Journal {
    /// The journal that the environment names.
    pub(crate) fn from_env() -> Self {
        Self { path: std::env::var_os("FAKE_CLAUDE_JOURNAL").filter(|p| !p.is_empty()).map(PathBuf::from) }
    }

    /// Notes that this process has begun.
    pub(crate) fn start(&self, since: SystemTime, argv: &[String], session: &str, prompt: &str) {
        self.append(&json!({
            "event": "start",
            "time_us": micros(since),
            "pid": std::process::id(),
            "argv": argv,
            "cwd": std::env::current_dir().ok(),
            "session": session,
            "run": run(),
            "prompt": prompt,
        }));
    }

    /// Notes that this process is alive, every `FAKE_CLAUDE_TICK_MS` milliseconds if that is set: what was killed leaves no
    /// other sign of how long it lived. Not synced, since it says nothing about a power cut.
    pub(crate) fn tick(&self) {
        let Some(every) = std::env::var("FAKE_CLAUDE_TICK_MS").ok().and_then(|text| text.parse().ok()) else { return };
        let journal = self.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(every));
                let line = json!({"event": "alive", "time_us": micros(SystemTime::now()), "pid": std::process::id(), "run": run()});
                let file = journal.path.as_ref().and_then(|path| OpenOptions::new().append(true).open(path).ok());
                let _ = file.map(|mut file| file.write_all(format!("\n{line}\n").as_bytes()));
            }
        });
    }

    /// Notes that this process is about to end.
    pub(crate) fn end(&self, session: &str, exit: i32) {
        self.append(&json!({
            "event": "end",
            "time_us": micros(SystemTime::now()),
            "pid": std::process::id(),
            "session": session,
            "run": run(),
            "exit": exit,
        }));
    }

    /// One write to a file opened for appending, so that lines of processes that run at the same
    /// time never mix. It begins with an end of line: a process that is killed within its write leaves half a line, which
    /// must not swallow the next one.
    fn append(&self, line: &Value) {
        let Some(path) = &self.path else { return };
        let written = OpenOptions::new().create(true).append(true).open(path).and_then(|mut file| {
            file.write_all(format!("\n{line}\n").as_bytes())?;
            file.sync_data()
        });
        if let Err(error) = written {
            // A journal with a gap would prove nothing: better no run at all.
            let _ = writeln!(std::io::stderr(), "fake-claude: cannot write the journal {}: {error}", path.display());
            std::process::exit(97);
        }
    }
}

fn run() -> Option<String> {
    std::env::var("REPRISE_RUN").ok()
}

fn micros(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}
