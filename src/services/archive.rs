//! The archive of a conversation: a `.tar.zst` made while it is sent, from the parts in custody.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::domain::{CustodyFile, Error, Manifest, Result, SessionId};
use crate::proto::v1::{self, export_session_response::Part};
use crate::queue::Queue;

/// The most of the archive in one message.
const CHUNK: usize = 64 * 1024;
/// Messages made ahead of a slow reader; when they are full the making waits.
const AHEAD: usize = 4;
const LEVEL: i32 = 3;

/// One conversation in custody.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    pub(super) session: SessionId,
    pub(super) generation: i32,
    pub(super) manifest: Manifest,
}

/// The parts of the export after its manifest: chunks, then the digest. The thread that makes them ends when the reader is
/// gone.
pub(super) fn parts(queue: Queue, conversation: Conversation) -> mpsc::Receiver<Result<Part>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let runtime = Handle::current();
    // It ends by itself with its channel, so nobody has to wait for it.
    drop(tokio::task::spawn_blocking(move || {
        let ended = write(&queue, &runtime, Arc::new(conversation), Chunks::new(&sender));
        let last = ended.map(|digest| Part::Digest(digest)).map_err(|error| fault(&error));
        let _ = sender.blocking_send(last);
    }));
    receiver
}

/// A damaged archive is a fault of ours; a reader that has gone is none, and is not there to be told.
fn fault(error: &io::Error) -> Error {
    Error::internal(format!("a transcript could not be exported: {error}"))
}

fn write(queue: &Queue, runtime: &Handle, conversation: Arc<Conversation>, chunks: Chunks<'_>) -> io::Result<v1::SessionDigest> {
    let mut archive = tar::Builder::new(zstd::stream::write::Encoder::new(chunks, LEVEL)?);
    for file in &conversation.manifest.files {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(file.bytes).map_err(io::Error::other)?);
        header.set_mode(0o600);
        header.set_cksum();
        let mut content =
            Content { queue, runtime, conversation: &conversation, file, next: 0, part: io::Cursor::default(), hash: Sha256::new() };
        archive.append_data(&mut header, &file.path, &mut content)?;
        let found = hex::encode(content.hash.finalize());
        if found != file.sha256 {
            return Err(io::Error::other(format!("`{}` is damaged in custody", file.path)));
        }
    }
    archive.into_inner()?.finish()?.finish()
}

/// A file of the conversation, read part by part.
struct Content<'a> {
    queue: &'a Queue,
    runtime: &'a Handle,
    conversation: &'a Conversation,
    file: &'a CustodyFile,
    next: i32,
    part: io::Cursor<Vec<u8>>,
    hash: Sha256,
}

impl Content<'_> {
    fn load(&mut self) -> io::Result<()> {
        let Conversation { session, generation, .. } = *self.conversation;
        let reading = self.queue.read_part(session, generation, self.file.rewrite, &self.file.path, self.next);
        let part = self.runtime.block_on(reading).map_err(io::Error::other)?;
        let part = part.ok_or_else(|| io::Error::other(format!("part {} of `{}` is missing", self.next, self.file.path)))?;
        self.part = io::Cursor::new(zstd::decode_all(part.body_zstd.as_slice())?);
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
