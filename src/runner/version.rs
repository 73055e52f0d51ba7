//! Which CLI stands behind the configured command, and whether it is one that knows our flags.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::config::Setup;
use crate::domain::{Failure, FailureReason};

/// The oldest Claude Code that runs under our flags.
pub const OLDEST_CLAUDE: (u32, u32, u32) = (2, 1, 330);

const PATIENCE: Duration = Duration::from_secs(20);

/// What stands behind a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The executable.
    pub path: PathBuf,
    /// Its version; none: it did not tell one.
    pub version: Option<String>,
}

/// Finds the CLI and remembers its version for as long as its file stays the same.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    seen: Arc<Mutex<Option<(Stamp, Found)>>>,
}

type Stamp = (PathBuf, u64, u64, i64, i64);

impl Probe {
    /// The CLI, if it is there and new enough. Asks it for its version only when its file is not the one seen before.
    pub async fn check(&self, setup: &Setup) -> Result<Found, Failure> {
        let claude = &setup.claude;
        let path = resolve(&claude.command, setup.path())?;
        let stamp = stamp(&path);
        let mut seen = self.seen.lock().await;
        let found = match &*seen {
            Some((known, found)) if Some(known) == stamp.as_ref() => found.clone(),
            _ => {
                let found = Found { version: ask(&path, setup).await, path };
                *seen = stamp.map(|stamp| (stamp, found.clone()));
                found
            }
        };
        match found.version.as_deref().and_then(parse) {
            Some(version) if version < OLDEST_CLAUDE => Err(Failure::new(FailureReason::AgentUnsupported, too_old(&found))),
            _ => Ok(found),
        }
    }
}

fn too_old(found: &Found) -> String {
    let (major, minor, patch) = OLDEST_CLAUDE;
    let version = found.version.as_deref().unwrap_or_default();
    format!("`{}` is Claude Code {version}; {major}.{minor}.{patch} or newer is needed", found.path.display())
}

/// The executable behind `command`, as a shell would find it.
fn resolve(command: &str, path: &str) -> Result<PathBuf, Failure> {
    let missing = |what: String| Failure::new(FailureReason::AgentMissing, what);
    let executable = |path: &Path| path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if command.contains('/') {
        let path = PathBuf::from(command);
        return match path.metadata() {
            Err(error) => Err(missing(format!("`{command}` cannot be used: {error}"))),
            Ok(_) if executable(&path) => {
                std::path::absolute(&path).map_err(|error| missing(format!("`{command}` cannot be used: {error}")))
            }
            Ok(_) => Err(missing(format!("`{command}` is not an executable file"))),
        };
    }
    let found = std::env::split_paths(path).map(|directory| directory.join(command)).find(|candidate| executable(candidate));
    found.ok_or_else(|| missing(format!("there is no `{command}` in PATH ({path})")))
}

fn stamp(path: &Path) -> Option<Stamp> {
    path.metadata().ok().map(|file| (path.to_owned(), file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
}

/// Asks for the version; silence or nonsense is no version, and the first run will tell more.
async fn ask(path: &Path, setup: &Setup) -> Option<String> {
    let mut command = tokio::process::Command::new(path);
    command.arg("--version").env_clear().env("PATH", setup.path()).env("HOME", &setup.data_dir).env("DISABLE_AUTOUPDATER", "1");
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().next().filter(|word| parse(word).is_some())?;
    Some(version.to_owned())
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = version.split(['-', '+']).next()?.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(directory: &Path, version: &str) -> Setup {
        let path = directory.join("claude");
        std::fs::write(&path, format!("#!/bin/sh\necho x >> {}\necho '{version} (Claude Code)'\n", directory.join("asked").display()))
            .expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        let mut setup = Setup { data_dir: directory.to_owned(), ..Setup::default() };
        setup.claude.command = path.display().to_string();
        setup
    }

    #[tokio::test]
    async fn the_version_is_asked_once_until_the_file_changes() {
        let directory = tempfile::tempdir().expect("a directory");
        let setup = script(directory.path(), "2.1.330");
        let probe = Probe::default();
        for _ in 0..3 {
            assert_eq!(probe.check(&setup).await.expect("supported").version.as_deref(), Some("2.1.330"));
        }
        assert_eq!(std::fs::read_to_string(directory.path().join("asked")).expect("asked"), "x\n");
        let failure = {
            script(directory.path(), "2.1.99 ");
            probe.check(&setup).await.expect_err("too old")
        };
        assert_eq!(failure.reason, FailureReason::AgentUnsupported);
        assert!(failure.message.contains("2.1.99") && failure.message.contains("2.1.330"), "{}", failure.message);
    }

    #[tokio::test]
    async fn a_missing_or_plain_file_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut setup = Setup::default();
        let plain = directory.path().join("plain");
        std::fs::write(&plain, "text").expect("written");
        for command in ["no-such-claude".to_owned(), "/no/such/claude".to_owned(), plain.display().to_string()] {
            setup.claude.command.clone_from(&command);
            let failure = Probe::default().check(&setup).await.expect_err("cannot be used");
            assert_eq!(failure.reason, FailureReason::AgentMissing);
            assert!(failure.message.contains(&command), "{}", failure.message);
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert_eq!(parse("2.1.330"), Some(OLDEST_CLAUDE));
        assert!(parse("2.1.1000") > parse("2.1.330"));
        assert_eq!(parse("2.2.0-beta.1"), Some((2, 2, 0)));
        assert_eq!(parse("garbage"), None);
    }
}
