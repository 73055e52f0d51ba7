//! What a live run says while the database is away: kept on disk, in order, until it is back.

use std::io::SeekFrom;
use std::path::Path;

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

use crate::domain::{Error, JournalEntry, Result};
use crate::journal::{LinePart, NewEntry, chunk, lines};

/// Batches of entries in a file that has no name any more: it goes with the process, however that ends.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    bytes: u64,
    /// How much it takes; then its agent is not read until there is room.
    limit: u64,
    batches: usize,
}

impl Spool {
    /// An empty one, on the disk that `dir` is on.
    pub(super) async fn new(dir: &Path, limit: u64) -> Result<Self> {
        let failed = |error: std::io::Error| Error::internal(format!("no spool in `{}`: {error}", dir.display()));
        let path = dir.join(format!("spool-{}", Uuid::now_v7().simple()));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).await.map_err(failed)?;
        fs::remove_file(&path).await.map_err(failed)?;
        Ok(Self { file, bytes: 0, limit, batches: 0 })
    }

    /// Whether it takes more.
    pub(super) const fn has_room(&self) -> bool {
        self.bytes < self.limit
    }

    /// Adds a batch. When that fails what was there before is still whole.
    pub(super) async fn push(&mut self, entries: &[NewEntry], parts: &[LinePart]) -> Result<()> {
        let bodies = [chunk::encode(&entries.iter().cloned().map(numbered).collect::<Vec<_>>()), lines::encode(parts)];
        let mut length = 0;
        let written = async {
            self.file.seek(SeekFrom::Start(self.bytes)).await?;
            for body in bodies {
                let size = u32::try_from(body.len()).map_err(std::io::Error::other)?;
                self.file.write_all(&size.to_le_bytes()).await?;
                self.file.write_all(&body).await?;
                length += 4 + u64::from(size);
            }
            self.file.flush().await
        };
        written.await.map_err(|error: std::io::Error| Error::internal(format!("the spool cannot be written: {error}")))?;
        self.bytes += length;
        self.batches += 1;
        Ok(())
    }

    /// From the first batch on.
    pub(super) async fn rewind(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0)).await.map(|_| ()).map_err(Error::internal)
    }

    /// The next batch, after [`Spool::rewind`].
    pub(super) async fn next(&mut self) -> Result<Option<(Vec<NewEntry>, Vec<LinePart>)>> {
        if self.batches == 0 {
            return Ok(None);
        }
        let (entries, parts) = (self.body().await?, self.body().await?);
        self.batches -= 1;
        Ok(Some((chunk::decode(&entries)?.into_iter().map(unnumbered).collect(), lines::decode(&parts)?)))
    }

    async fn body(&mut self) -> Result<Vec<u8>> {
        let read = async {
            let mut body = vec![0; usize::try_from(self.file.read_u32_le().await?).unwrap_or(0)];
            self.file.read_exact(&mut body).await?;
            Ok(body)
        };
        read.await.map_err(|error: std::io::Error| Error::internal(format!("the spool cannot be read: {error}")))
    }
}

/// Sequences come with the journal; here none counts.
fn numbered(entry: NewEntry) -> JournalEntry {
    let NewEntry { time, parent_tool_use_id, truncated, raw, kind } = entry;
    JournalEntry { sequence: 0, attempt: 0, time, parent_tool_use_id, truncated, raw, kind }
}

fn unnumbered(entry: JournalEntry) -> NewEntry {
    let JournalEntry { time, parent_tool_use_id, truncated, raw, kind, .. } = entry;
    NewEntry { time, parent_tool_use_id, truncated, raw, kind }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EntryKind, UnixMicros};

    fn said(text: &str) -> NewEntry {
        let kind = EntryKind::Text { block_id: "b".to_owned(), text: text.to_owned() };
        NewEntry { time: UnixMicros(7), parent_tool_use_id: "t".to_owned(), truncated: true, raw: "{}".to_owned(), kind }
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_in_order_and_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::new(dir.path(), 1000).await.expect("made");
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 0);
        let long: String = (0..10_000).map(|n| format!("{n} ")).collect();
        let batches = [vec![said("one"), said("two")], vec![said("three")], vec![said(&long)]];
        let parts = LinePart::split(&LinePart::of(3, 1, UnixMicros(7)), b"a line\n\xff");
        for batch in &batches {
            spool.push(batch, &parts).await.expect("pushed");
        }
        assert!(!spool.has_room(), "the last one went past the limit, and is whole");
        spool.rewind().await.expect("rewound");
        for batch in batches {
            assert_eq!(spool.next().await.expect("read"), Some((batch, parts.clone())));
        }
        assert_eq!(spool.next().await.expect("read"), None);
    }
}
