//! A clock that a test sets, for the real server.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

/// The time of day in processes that are started with [`Clock::environment`].
#[derive(Debug)]
pub(crate) struct Clock {
    dir: TempDir,
    offset: File,
}

impl Clock {
    /// One that is right.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/clock.c");
        // Rust links with it, so it is there.
        let made = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(dir.path().join("clock.so")).arg(source).output();
        let made = made.expect("cc runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let offset = OpenOptions::new().write(true).create_new(true).open(dir.path().join("offset")).expect("made");
        let clock = Self { dir, offset };
        clock.set(0);
        clock
    }

    /// Sets it this many seconds off.
    pub(crate) fn set(&self, seconds: i64) {
        self.offset.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0).expect("set");
    }

    /// What a process needs to go by it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| -> PathBuf { self.dir.path().join(name) };
        vec![
            ("LD_PRELOAD".to_owned(), path("clock.so").display().to_string()),
            ("TEST_CLOCK".to_owned(), path("offset").display().to_string()),
        ]
    }
}

/// In seconds.
pub(crate) const HOUR: i64 = 3600;
/// In seconds.
pub(crate) const DAY: i64 = 24 * HOUR;
/// How long anything may take that waits for nothing.
pub(crate) const SOON: Duration = Duration::from_secs(20);
