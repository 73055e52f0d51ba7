//! What is in custody of a conversation's files.

/// Which files of a conversation are in custody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Counts whole rewrites; parts are stored under it.
    pub rewrite: i32,
    /// The files, by path relative to the agent's project directory (`<id>.jsonl`, `<id>/subagents/…`).
    pub files: Vec<CustodyFile>,
}

/// One file in custody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustodyFile {
    /// Relative path, `/`-separated.
    pub path: String,
    /// Its size.
    pub bytes: i64,
    /// Hex SHA-256 of the whole file.
    pub sha256: String,
    /// How many parts hold it.
    pub parts: i32,
    /// Which rewrite its parts are stored under.
    pub rewrite: i32,
}

impl Manifest {
    /// The transcript itself: the file that is in no folder.
    #[must_use]
    pub fn main(&self) -> Option<&CustodyFile> {
        self.files.iter().find(|file| !file.path.contains('/'))
    }

    /// The size of all files together.
    #[must_use]
    pub fn bytes(&self) -> i64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
