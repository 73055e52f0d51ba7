//! What sessions keep on this machine beside the database: their directories below `data_dir/sessions`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::domain::SessionId;

/// A disk that is slow or full of files does not hold a caller for longer than this; what was not reached is not counted.
const MEASURE_AT_MOST: Duration = Duration::from_secs(5);

/// Where a session keeps its files on this machine.
pub(super) fn of(data_dir: &Path, session: SessionId) -> PathBuf {
    data_dir.join("sessions").join(session.to_string())
}

/// Deletes the directories of sessions that are gone, and gives their size in bytes. Blocks: not for an async task.
pub fn remove(data_dir: &Path, sessions: &[SessionId]) -> u64 {
    let mut freed = 0;
    for session in sessions {
        let directory = of(data_dir, *session);
        let size = Measure::begin().of(&directory);
        match fs::remove_dir_all(&directory) {
            Ok(()) => freed += size,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(session.id = %session, error = %error, "the directory of a session could not be deleted"),
        }
    }
    freed
}

/// What sessions take on this machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// The agent's own files.
    pub(super) agent_files: u64,
    /// Scratch workspaces.
    pub(super) workspaces: u64,
}

/// Measures the directories of these sessions; none: of all. Blocks: not for an async task.
pub(super) fn measure(data_dir: &Path, sessions: Option<&[SessionId]>) -> Taken {
    let directories: Vec<PathBuf> = match sessions {
        Some(sessions) => sessions.iter().map(|session| of(data_dir, *session)).collect(),
        None => fs::read_dir(data_dir.join("sessions")).into_iter().flatten().flatten().map(|entry| entry.path()).collect(),
    };
    let clock = Measure::begin();
    directories.iter().fold(Taken::default(), |taken, directory| {
        let workspace = clock.of(&directory.join("workspace"));
        let all = clock.of(directory);
        Taken { agent_files: taken.agent_files + all.saturating_sub(workspace), workspaces: taken.workspaces + workspace }
    })
}

/// Free bytes for this server on the disk of its data.
pub(super) fn disk_free(data_dir: &Path) -> u64 {
    nix::sys::statvfs::statvfs(data_dir).map_or(0, |disk| u64::from(disk.blocks_available()) * u64::from(disk.fragment_size()))
}

struct Measure {
    until: Instant,
}

impl Measure {
    fn begin() -> Self {
        Self { until: Instant::now() + MEASURE_AT_MOST }
    }

    /// The size of all files below `path`; links are not followed.
    fn of(&self, path: &Path) -> u64 {
        let mut bytes = 0;
        let mut left = vec![path.to_owned()];
        while let Some(directory) = left.pop() {
            if Instant::now() > self.until {
                break;
            }
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
        let write = |session, path: &str, bytes: usize| {
            let file = of(dir.path(), session).join(path);
            fs::create_dir_all(file.parent().expect("a parent")).expect("made");
            fs::write(file, vec![0; bytes]).expect("written");
        };
        write(first, "config/projects/x/a.jsonl", 100);
        write(first, "workspace/deep/er/file", 30);
        write(second, "config/b", 7);
        assert_eq!(measure(dir.path(), None), Taken { agent_files: 107, workspaces: 30 });
        assert_eq!(measure(dir.path(), Some(&[second, SessionId::new()])), Taken { agent_files: 7, workspaces: 0 });
        assert_eq!(remove(dir.path(), &[first, SessionId::new()]), 130);
        assert_eq!(measure(dir.path(), None), Taken { agent_files: 7, workspaces: 0 });
        assert!(disk_free(dir.path()) > 0);
    }
}
