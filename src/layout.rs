//! Where a session keeps its files on this machine, below the data directory.

use std::path::{Path, PathBuf};

use crate::domain::SessionId;

/// The agent's own configuration and conversations.
#[must_use]
pub fn agent_dir(data_dir: &Path, session: SessionId) -> PathBuf {
    data_dir.join("agent").join(session.to_string())
}

/// Scratch workspace, home and temporary files.
#[must_use]
pub fn session_dir(data_dir: &Path, session: SessionId) -> PathBuf {
    data_dir.join("sessions").join(session.to_string())
}
