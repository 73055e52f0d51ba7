//! Readers of a run. One reads every field; the others look at the sequence alone, so that what is measured is the server
//! and not a hundred decoders beside it on the same machine.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, decode_varint, skip_field};
use reprise::proto::v1::{self, journal_entry::Kind, watch_run_response::Event};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status, Streaming};

use crate::server::{Keyring, keyring};

/// Fields of `WatchRunResponse`: its sequence, and an entry.
const SEQUENCE: u32 = 1;
const ENTRY: u32 = 3;
/// Fields of `JournalEntry`: the first kind of entry, and a text.
const FIRST_KIND: u32 = 7;
const TEXT: u32 = 9;

/// What one reader saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// When the first line came.
    pub(crate) first: Instant,
    /// When the last line came.
    pub(crate) last: Instant,
    /// When the stream ended.
    pub(crate) end: Instant,
    pub(crate) lines: usize,
}

/// One reader, with a connection of its own.
#[derive(Debug)]
pub(crate) struct Reader {
    messages: Streaming<Bytes>,
    whole: bool,
}

impl Reader {
    /// Begins to follow the run. `whole`: it reads every field.
    pub(crate) async fn follow(url: &str, run_id: &str, whole: bool) -> Result<Self> {
        let mut client: Grpc<Keyring> = Grpc::new(keyring(url).await?);
        client.ready().await.map_err(|error| anyhow::anyhow!("not ready: {error}"))?;
        let request = v1::WatchRunRequest { run_id: run_id.to_owned(), ..Default::default() }.encode_to_vec();
        let path = PathAndQuery::from_static("/reprise.v1.RunService/WatchRun");
        let messages = client.server_streaming(Request::new(Bytes::from(request)), path, Plain).await?.into_inner();
        Ok(Self { messages, whole })
    }

    /// Reads to the end. Nothing may be missing or out of order.
    pub(crate) async fn read(mut self) -> Result<Seen> {
        let (mut entries, mut lines, mut first, mut last) = (0_u64, 0_usize, None, None);
        while let Some(message) = self.messages.message().await? {
            let Some((sequence, is_line)) = entry(&message)? else { continue };
            entries += 1;
            ensure!(sequence == entries, "entry {sequence} came where {entries} was due");
            if is_line {
                lines += 1;
                last = Some(Instant::now());
                first = first.or(last);
                if self.whole {
                    check(message, lines)?;
                }
            }
        }
        Ok(Seen { first: first.context("no line came")?, last: last.context("no line came")?, end: Instant::now(), lines })
    }
}

/// A line must be the one that is due, and whole.
fn check(message: Bytes, due: usize) -> Result<()> {
    let Some(Event::Entry(v1::JournalEntry { kind: Some(Kind::Text(line)), .. })) = v1::WatchRunResponse::decode(message)?.event else {
        bail!("not a line")
    };
    ensure!(line.text.len() == 200 && line.text.starts_with(&format!("line {due} ")), "line {due} is {:?}", line.text);
    Ok(())
}

/// The sequence of a message that is an entry, and whether that is a line.
fn entry(message: &[u8]) -> Result<Option<(u64, bool)>> {
    let (mut rest, mut sequence) = (message, 0);
    while rest.has_remaining() {
        match decode_key(&mut rest)? {
            (SEQUENCE, _) => sequence = decode_varint(&mut rest)?,
            (ENTRY, _) => {
                let _length = decode_varint(&mut rest)?;
                return Ok(Some((sequence, kind(rest)? == TEXT)));
            }
            (field, wire) => skip_field(wire, field, &mut rest, DecodeContext::default())?,
        }
    }
    Ok(None)
}

/// Which kind of entry it is, as the number of its field.
fn kind(mut entry: &[u8]) -> Result<u32> {
    while entry.has_remaining() {
        let (field, wire) = decode_key(&mut entry)?;
        if field >= FIRST_KIND {
            return Ok(field);
        }
        skip_field(wire, field, &mut entry, DecodeContext::default())?;
    }
    Ok(0)
}

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
