//! The archive of a conversation: a `.tar.zst` made while it is sent, from the parts in custody.

use std::io::{self, Read, Write};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::domain::{CustodyFile, Error, Manifest, Result};
use crate::proto::v1::{self, export_session_response::Part};

/// The most of the archive in one message.
const CHUNK: usize = 64 * 1024;
/// Messages made ahead of a slow reader; when they are full the making waits.
const AHEAD: usize = 4;
const LEVEL: i32 = 3;

/// The parts of the export after its manifest: chunks, then the digest. `read` gives one part of a file, compressed with
/// zstd. The thread that makes them ends when the reader is gone.
pub(super) fn parts<P, F>(manifest: Manifest, read: P) -> mpsc::Receiver<Result<Part>>
where
    P: Fn(&CustodyFile, i32) -> F + Send + 'static,
    F: Future<Output = Result<Option<Vec<u8>>>>,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    let runtime = Handle::current();
    // It ends by itself with its channel, so nobody has to wait for it.
    drop(tokio::task::spawn_blocking(move || {
        let part = |file: &CustodyFile, number| runtime.block_on(read(file, number));
        let last = write(&manifest, &part, Chunks::new(&sender)).map(Part::Digest);
        // A reader that has gone is not there to be told.
        let _ = sender.blocking_send(last.map_err(|error| Error::internal(format!("a transcript could not be exported: {error}"))));
    }));
    receiver
}

type ReadPart<'a> = &'a dyn Fn(&CustodyFile, i32) -> Result<Option<Vec<u8>>>;

fn write(manifest: &Manifest, read: ReadPart<'_>, chunks: Chunks<'_>) -> io::Result<v1::SessionDigest> {
    let mut archive = tar::Builder::new(zstd::stream::write::Encoder::new(chunks, LEVEL)?);
    for file in &manifest.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(file.bytes).map_err(io::Error::other)?);
        header.set_mode(0o600);
        let mut content = Content { read, file, next: 0, part: io::Cursor::default(), hash: Sha256::new(), bytes: 0 };
        archive.append_data(&mut header, &file.path, &mut content)?;
        // A file that is not what the manifest says would break the archive's shape, or continue another conversation.
        if content.bytes != file.bytes || hex::encode(content.hash.finalize()) != file.sha256 {
            return Err(io::Error::other(format!("`{}` is damaged in custody", file.path)));
        }
    }
    archive.into_inner()?.finish()?.finish()
}

/// A file of the conversation, read part by part.
struct Content<'a> {
    read: ReadPart<'a>,
    file: &'a CustodyFile,
    next: i32,
    part: io::Cursor<Vec<u8>>,
    hash: Sha256,
    bytes: i64,
}

impl Content<'_> {
    fn load(&mut self) -> io::Result<()> {
        let part = (self.read)(self.file, self.next).map_err(io::Error::other)?;
        let part = part.ok_or_else(|| io::Error::other(format!("part {} of `{}` is missing", self.next, self.file.path)))?;
        self.part = io::Cursor::new(zstd::decode_all(part.as_slice())?);
        self.next += 1;
        Ok(())
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                self.hash.update(&buffer[..read]);
                self.bytes += i64::try_from(read).map_err(io::Error::other)?;
                return Ok(read);
            }
            if self.next >= self.file.parts {
                return Ok(0);
            }
            self.load()?;
        }
    }
}

/// Cuts the archive into chunks and hands them on.
struct Chunks<'a> {
    sender: &'a mpsc::Sender<Result<Part>>,
    pending: Vec<u8>,
    offset: i64,
    hash: Sha256,
}

impl<'a> Chunks<'a> {
    fn new(sender: &'a mpsc::Sender<Result<Part>>) -> Self {
        Self { sender, pending: Vec::with_capacity(CHUNK), offset: 0, hash: Sha256::new() }
    }

    fn send(&mut self) -> io::Result<()> {
        let data = Bytes::from(std::mem::replace(&mut self.pending, Vec::with_capacity(CHUNK)));
        self.hash.update(&data);
        let chunk = v1::SessionChunk { offset: self.offset, data };
        self.offset += i64::try_from(chunk.data.len()).map_err(io::Error::other)?;
        self.sender.blocking_send(Ok(Part::Chunk(chunk))).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    fn finish(mut self) -> io::Result<v1::SessionDigest> {
        if !self.pending.is_empty() {
            self.send()?;
        }
        Ok(v1::SessionDigest { sha256: hex::encode(self.hash.finalize()), size_bytes: self.offset })
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(CHUNK - self.pending.len());
        self.pending.extend_from_slice(&data[..taken]);
        if self.pending.len() == CHUNK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation of two files, in parts, and what was in them.
    fn custody() -> (Manifest, Vec<Vec<u8>>) {
        let noise =
            |seed: u32, length: u32| (0..length).map(|i| (i.wrapping_mul(2_654_435_761).rotate_left(seed) >> 13) as u8).collect::<Vec<_>>();
        let contents = vec![noise(3, 700_000), noise(7, 10)];
        let file = |(path, content): (&str, &Vec<u8>)| CustodyFile {
            path: path.to_owned(),
            bytes: i64::try_from(content.len()).expect("small"),
            sha256: hex::encode(Sha256::digest(content)),
            parts: i32::try_from(content.len().div_ceil(PART)).expect("small"),
            rewrite: 2,
        };
        let files = ["a.jsonl", "a/subagents/b.jsonl"].into_iter().zip(&contents).map(file).collect();
        (Manifest { rewrite: 2, files }, contents)
    }

    const PART: usize = 256 * 1024;

    async fn exported(manifest: Manifest, contents: Vec<Vec<u8>>) -> Vec<Result<Part>> {
        let mut receiver = parts(manifest, move |file, number| {
            let content = if file.path == "a.jsonl" { &contents[0] } else { &contents[1] };
            let part = content.chunks(PART).nth(usize::try_from(number).expect("a part")).map(<[u8]>::to_vec);
            async move { Ok(part.map(|part| zstd::encode_all(part.as_slice(), 1).expect("compressed"))) }
        });
        let mut all = Vec::new();
        while let Some(part) = receiver.recv().await {
            all.push(part);
        }
        all
    }

    #[tokio::test]
    async fn an_archive_unpacks_to_what_is_in_custody() {
        let (manifest, contents) = custody();
        let mut archive = Vec::new();
        let mut digest = None;
        for part in exported(manifest.clone(), contents.clone()).await {
            match part.expect("no fault") {
                Part::Chunk(chunk) => {
                    assert!(digest.is_none() && chunk.data.len() <= CHUNK);
                    assert_eq!(usize::try_from(chunk.offset).expect("not negative"), archive.len());
                    archive.extend_from_slice(&chunk.data);
                }
                Part::Digest(found) => digest = Some(found),
                Part::Manifest(_) => panic!("the manifest is not made here"),
            }
        }
        let digest = digest.expect("a digest");
        assert_eq!(
            (digest.sha256, usize::try_from(digest.size_bytes).expect("size")),
            (hex::encode(Sha256::digest(&archive)), archive.len())
        );
        let mut unpacked = tar::Archive::new(io::Cursor::new(zstd::decode_all(archive.as_slice()).expect("zstd")));
        for ((entry, file), content) in unpacked.entries().expect("entries").zip(&manifest.files).zip(&contents) {
            let mut entry = entry.expect("an entry");
            let mut found = Vec::new();
            entry.read_to_end(&mut found).expect("read");
            assert_eq!((entry.path().expect("path").to_string_lossy().as_ref(), &found), (file.path.as_str(), content));
        }
    }

    #[tokio::test]
    async fn a_damaged_or_missing_part_ends_the_export_with_an_error() {
        let (manifest, mut contents) = custody();
        contents[0][5] ^= 1;
        let damaged = exported(manifest.clone(), contents).await;
        assert!(matches!(damaged.last(), Some(Err(Error::Internal(why))) if why.contains("a.jsonl")), "{:?}", damaged.last());
        let missing = exported(manifest, vec![vec![], vec![]]).await;
        assert!(matches!(missing.last(), Some(Err(Error::Internal(why))) if why.contains("missing")));
    }

    #[tokio::test]
    async fn a_reader_that_goes_ends_the_work() {
        let (manifest, _) = custody();
        let endless = Manifest { files: manifest.files.iter().cycle().take(2).cloned().collect(), ..manifest };
        let (alive, mut gone) = mpsc::channel::<()>(1);
        let mut receiver = parts(endless, move |_, _| {
            let _alive = &alive;
            async { Ok(Some(zstd::encode_all([0_u8; PART].as_slice(), 1).expect("compressed"))) }
        });
        drop(receiver.recv().await);
        drop(receiver);
        assert_eq!(gone.recv().await, None, "the thread has let go of its reader");
    }
}
