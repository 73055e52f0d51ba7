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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).expect("read").flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_is_there_whole_or_as_it_was() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("run.jsonl.zst");
        let broken = save(&path, async |file: &mut Saved| {
            file.write(b"half").await?;
            Err::<(), _>(Failure::Other("the stream broke".to_owned()))
        });
        assert!(matches!(broken.await, Err(Failure::Other(_))));
        assert!(names(dir.path()).is_empty());
        let whole = async |text: &'static str| {
            save(&path, async |file: &mut Saved| {
                file.write(text.as_bytes()).await?;
                Ok(file.size())
            })
            .await
        };
        assert_eq!(whole("first").await.ok(), Some(5));
        let broken = save(&path, async |_: &mut Saved| Err::<(), _>(Failure::Other("nothing came".to_owned())));
        assert!(broken.await.is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("kept"), "first");
        assert_eq!(whole("second").await.ok(), Some(6));
        assert_eq!(
            (std::fs::read_to_string(&path).expect("there"), names(dir.path())),
            ("second".to_owned(), vec!["run.jsonl.zst".into()])
        );
        let nowhere = save(&dir.path().join("no/dir"), async |_: &mut Saved| Ok(())).await;
        assert!(nowhere.is_err_and(|failure| failure.to_string().contains("no/dir")));
    }
}
