//! What sessions keep on this machine beside the database.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::SessionId;
use crate::layout::{agent_dir, session_dir};

/// A disk that is slow or full of files does not hold a caller for longer than this; what was not reached is not counted.
const MEASURE_AT_MOST: Duration = Duration::from_secs(5);

/// What sessions take on this machine, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The agent's own files.
    pub(super) agent_files: u64,
    /// Scratch workspaces.
    pub(super) workspaces: u64,
}

/// Deletes the directories of sessions that are gone, and gives their size in bytes. Blocks: not for an async task.
pub fn remove(data_dir: &Path, sessions: &[SessionId]) -> u64 {
    let mut freed = 0;
    for session in sessions {
        for directory in [agent_dir(data_dir, *session), session_dir(data_dir, *session)] {
            let size = Clock::start().size(&directory);
            match remove_tree(&directory) {
                Ok(()) => freed += size,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::warn!(session.id = %session, error = %error, "a directory of a session could not be deleted"),
            }
        }
    }
    freed
}

/// Measures the directories of these sessions; none: of all. Blocks: not for an async task.
pub(super) fn measure(data_dir: &Path, sessions: Option<&[SessionId]>) -> Taken {
    let clock = Clock::start();
    let size = |of: fn(&Path, SessionId) -> PathBuf, all: &str| match sessions {
        None => clock.size(&data_dir.join(all)),
        Some(sessions) => sessions.iter().map(|session| clock.size(&of(data_dir, *session))).sum(),
    };
    Taken { agent_files: size(agent_dir, "agent"), workspaces: size(session_dir, "sessions") }
}

/// Removes a tree without following links. An agent may have taken its own rights away.
fn remove_tree(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            walk(directory, |path| _ = fs::set_permissions(path, Permissions::from_mode(0o700)));
            fs::remove_dir_all(directory)
        }
        removed => removed,
    }
}

/// Tells of each directory of a tree before it is read.
fn walk(directory: &Path, mut each: impl FnMut(&Path)) {
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        each(&directory);
        let inner = fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
    }
}

/// Free bytes for this server on the disk of its data.
#[expect(clippy::useless_conversion, reason = "other systems count blocks in fewer bits")]
pub(super) fn disk_free(data_dir: &Path) -> u64 {
    nix::sys::statvfs::statvfs(data_dir).map_or(0, |disk| u64::from(disk.blocks_available()) * u64::from(disk.fragment_size()))
}

struct Clock {
    until: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { until: Instant::now() + MEASURE_AT_MOST }
    }

    /// The size of all files below a directory; links are not followed.
    fn size(&self, directory: &Path) -> u64 {
        let mut bytes = 0;
        let mut left: Vec<PathBuf> = vec![directory.to_owned()];
        while let Some(directory) = left.pop().filter(|_| Instant::now() < self.until) {
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(found) if found.is_dir() => left.push(entry.path()),
                    Ok(found) => bytes += found.len(),
                    // It may be gone by now: sessions end while they are measured.
                    Err(_) => {}
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_apart_and_freed() {
        let dir = tempfile::tempdir().expect("temp dir");
        let (first, second) = (SessionId::new(), SessionId::new());
        let write = |directory: PathBuf, path: &str, bytes: usize| {
            let file = directory.join(path);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(&file, vec![0; bytes]).expect("written");
            file
        };
        write(agent_dir(dir.path(), first), "projects/x/a.jsonl", 100);
        write(agent_dir(dir.path(), second), "b", 7);
        let locked = write(session_dir(dir.path(), first), "work/deep/er/file", 30);
        fs::set_permissions(locked.parent().expect("a parent"), Permissions::from_mode(0o500)).expect("locked");
        assert_eq!(measure(dir.path(), None), Taken { agent_files: 107, workspaces: 30 });
        assert_eq!(measure(dir.path(), Some(&[second, SessionId::new()])), Taken { agent_files: 7, workspaces: 0 });
        assert_eq!(remove(dir.path(), &[first, SessionId::new()]), 130);
        assert_eq!(measure(dir.path(), None), Taken { agent_files: 7, workspaces: 0 });
        assert!(disk_free(dir.path()) > 0);
    }
}
