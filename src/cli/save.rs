//! Files that are downloaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::failure::Failure;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Saved {
    file: File,
    path: PathBuf,
    size: i64,
}

impl Saved {
    /// Writes what comes next.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).await.map_err(|error| Failure::file(&self.path, &error))?;
        self.size += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        Ok(())
    }

    /// How many bytes were written.
    pub(super) const fn size(&self) -> i64 {
        self.size
    }
}

/// Writes a file beside its place and puts it there once it is whole: what breaks off leaves nothing that looks whole. What
/// is there and is no file, such as a pipe, is written itself.
pub(super) async fn save<T>(path: &Path, write: impl AsyncFnOnce(&mut Saved) -> Result<T, Failure>) -> Result<T, Failure> {
    let is_no_file = tokio::fs::metadata(path).await.is_ok_and(|found| !found.is_file());
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let open = async |at: &Path| {
        let file = File::create(at).await.map_err(failed)?;
        Ok::<_, Failure>(Saved { file, path: path.to_owned(), size: 0 })
    };
    if is_no_file {
        let mut saved = open(path).await?;
        let written = write(&mut saved).await?;
        saved.file.flush().await.map_err(failed)?;
        return Ok(written);
    }
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".partial");
    let partial = path.with_file_name(name);
    let mut saved = open(&partial).await?;
    let written = async {
        let written = write(&mut saved).await?;
        saved.file.sync_all().await.map_err(failed)?;
        tokio::fs::rename(&partial, path).await.map_err(failed)?;
        Ok(written)
    };
    let written = written.await;
    if written.is_err() {
        // The failure matters more than a rest of a file.
        let _ = tokio::fs::remove_file(&partial).await;
    }
    written
}
