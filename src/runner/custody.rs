//! Transcripts in custody: copied into the store after each turn, put back before the next one where they are missing.
//!
//! A transcript only ever grows, so a save adds the new tail as parts. Parts count for nothing until a manifest names
//! them, and a manifest's parts are never written again: a file that did not just grow is stored anew under another rewrite.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use uuid::Uuid;

use crate::domain::{Error, Result, SessionId};
use crate::queue::{CustodyFile, Lease, Manifest, Queue, TranscriptPart};

/// Largest part before compression, and all that is held in memory of a transcript.
const PART_BYTES: usize = 256 * 1024;
/// More files than this beside one transcript are not taken.
const MAX_FILES: usize = 10_000;

/// What became of a conversation's files before a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Materialised {
    /// The transcript is neither here nor whole in custody.
    Missing,
    /// It was here.
    Kept,
    /// It was put back from custody.
    Restored {
        /// From so many parts, side files included.
        parts: usize,
    },
}

/// Makes sure that the conversation's files are in `dir`. One that custody is a prefix of is kept: it is the newer one.
pub(super) async fn materialise(
    queue: &Queue,
    session: SessionId,
    generation: i32,
    id: Uuid,
    manifest: &Manifest,
    dir: &Path,
) -> Result<Materialised> {
    restore_all(&Vault::Store { queue, session, generation }, id, manifest, dir).await
}

/// Takes the conversation's files into custody and gives the manifest that names them; it counts once it is stored.
/// Without a transcript in `dir` the manifest stays as it was.
pub(super) async fn save(queue: &Queue, lease: &Lease, generation: i32, id: Uuid, dir: &Path, manifest: &Manifest) -> Result<Manifest> {
    save_all(&Vault::Lease { queue, lease }, generation, id, dir, manifest).await
}

/// Whether the transcript holds this text, which must be one that JSON does not escape.
pub(super) async fn holds(dir: &Path, id: Uuid, text: &str) -> bool {
    let Ok(mut file) = File::open(dir.join(name_of(id))).await else { return false };
    let mut window = Vec::with_capacity(PART_BYTES + text.len());
    loop {
        let kept = window.len().min(text.len().saturating_sub(1));
        window.drain(..window.len() - kept);
        match read_part(&mut file, &mut window, PART_BYTES).await {
            Ok(0) | Err(_) => return false,
            Ok(_) if contains(&window, text.as_bytes()) => return true,
            Ok(_) => {}
        }
    }
}

/// Moves the files of a conversation that the agent cannot read out of its way.
pub(super) async fn set_aside(dir: &Path, id: Uuid) -> Result<()> {
    for name in [name_of(id), id.to_string()] {
        let (from, to) = (dir.join(&name), dir.join(format!("{name}.aside")));
        if fs::metadata(&to).await.is_ok_and(|about| about.is_dir()) {
            fs::remove_dir_all(&to).await.map_err(|error| failed(&to, &error))?;
        }
        match fs::rename(&from, &to).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&from, &error)),
            _ => {}
        }
    }
    Ok(())
}

/// Where parts are kept.
enum Vault<'a> {
    /// To write to, as long as the lease is current.
    Lease { queue: &'a Queue, lease: &'a Lease },
    /// To read from.
    Store { queue: &'a Queue, session: SessionId, generation: i32 },
    #[cfg(test)]
    Memory(&'a tests::Shelf),
}

impl Vault<'_> {
    async fn put(&self, part: TranscriptPart) -> Result<()> {
        match self {
            Self::Lease { queue, lease } => queue.save_part(lease, part).await,
            Self::Store { .. } => Err(Error::internal("parts are only written under a lease")),
            #[cfg(test)]
            Self::Memory(shelf) => shelf.put(part),
        }
    }

    async fn get(&self, file: &CustodyFile, part: i32) -> Result<Option<TranscriptPart>> {
        match self {
            Self::Store { queue, session, generation } => queue.read_part(*session, *generation, file.rewrite, &file.path, part).await,
            Self::Lease { .. } => Err(Error::internal("parts are read without a lease")),
            #[cfg(test)]
            Self::Memory(shelf) => Ok(shelf.get(file, part)),
        }
    }
}

async fn restore_all(vault: &Vault<'_>, id: Uuid, manifest: &Manifest, dir: &Path) -> Result<Materialised> {
    let main = name_of(id);
    let mut done = if fs::try_exists(dir.join(&main)).await.unwrap_or(false) { Materialised::Kept } else { Materialised::Missing };
    let mut parts = 0;
    for file in &manifest.files {
        let Some(path) = place(dir, &file.path).filter(|_| belongs(&file.path, id)) else { continue };
        if starts_with(&path, file).await {
            continue;
        }
        if restore(vault, file, &path).await? {
            parts += usize::try_from(file.parts).unwrap_or(0);
        } else {
            tracing::warn!(path = %path.display(), "a file of a conversation is not whole in custody");
        }
        if file.path == main && fs::try_exists(&path).await.unwrap_or(false) {
            done = Materialised::Kept;
        }
    }
    Ok(if done == Materialised::Kept && parts > 0 { Materialised::Restored { parts } } else { done })
}

/// Whether the file begins with all that is in custody of it.
async fn starts_with(path: &Path, known: &CustodyFile) -> bool {
    let Ok(mut file) = File::open(path).await else { return false };
    matches!(prefix(&mut file, known).await, Ok(Some(_)))
}

/// Reads as far as custody knows the file; none: it is another one.
async fn prefix(file: &mut File, known: &CustodyFile) -> std::io::Result<Option<Sha256>> {
    let mut hasher = Sha256::new();
    let mut left = usize::try_from(known.bytes).unwrap_or(usize::MAX);
    let mut buffer = Vec::new();
    while left > 0 {
        buffer.clear();
        let read = read_part(file, &mut buffer, left.min(PART_BYTES)).await?;
        if read == 0 {
            return Ok(None);
        }
        hasher.update(&buffer);
        left -= read;
    }
    Ok((hex(&hasher) == known.sha256).then_some(hasher))
}

/// Writes the file from its parts beside its place, and puts it there only when it is whole. False: it is not.
async fn restore(vault: &Vault<'_>, file: &CustodyFile, path: &Path) -> Result<bool> {
    let io = |error: std::io::Error| failed(path, &error);
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).await.map_err(io)?;
    let partial = path.with_extension("restore");
    let mut target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).await.map_err(io)?;
    let mut hasher = Sha256::new();
    let mut whole = true;
    let mut bytes = 0;
    for number in 0..file.parts {
        let Some(piece) = vault.get(file, number).await?.and_then(|part| unpacked(&part, bytes)) else {
            whole = false;
            break;
        };
        hasher.update(&piece);
        bytes += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        target.write_all(&piece).await.map_err(io)?;
    }
    whole = whole && bytes == file.bytes && hex(&hasher) == file.sha256;
    if whole {
        target.sync_all().await.map_err(io)?;
        fs::rename(&partial, path).await.map_err(io)?;
        File::open(folder).await.map_err(io)?.sync_all().await.map_err(io)?;
    } else {
        fs::remove_file(&partial).await.map_err(io)?;
    }
    Ok(whole)
}

/// The piece, if it is what was stored and continues at `from`.
fn unpacked(part: &TranscriptPart, from: i64) -> Option<Vec<u8>> {
    let piece = zstd::bulk::decompress(&part.body_zstd, PART_BYTES).ok()?;
    let length = i64::try_from(piece.len()).ok()?;
    (part.byte_from == from && part.byte_to - from == length && sha256(&piece) == part.sha256).then_some(piece)
}

async fn save_all(vault: &Vault<'_>, generation: i32, id: Uuid, dir: &Path, manifest: &Manifest) -> Result<Manifest> {
    let main = name_of(id);
    if !fs::try_exists(dir.join(&main)).await.unwrap_or(false) {
        return Ok(manifest.clone());
    }
    let mut saved = Manifest { rewrite: manifest.rewrite, files: Vec::new() };
    for path in std::iter::once(main).chain(side_files(dir, id).await) {
        let known = manifest.files.iter().find(|file| file.path == path);
        let file = save_file(vault, generation, dir, &path, known, manifest.rewrite).await?;
        saved.rewrite = saved.rewrite.max(file.rewrite);
        saved.files.push(file);
    }
    Ok(saved)
}

async fn save_file(
    vault: &Vault<'_>,
    generation: i32,
    dir: &Path,
    path: &str,
    known: Option<&CustodyFile>,
    rewrite: i32,
) -> Result<CustodyFile> {
    let place = dir.join(path);
    let io = |error: std::io::Error| failed(&place, &error);
    let mut source = File::open(&place).await.map_err(io)?;
    let mut hasher = Sha256::new();
    let mut file = CustodyFile { path: path.to_owned(), bytes: 0, sha256: String::new(), parts: 0, rewrite };
    if let Some(known) = known {
        match prefix(&mut source, known).await.map_err(io)? {
            Some(so_far) => (hasher, file) = (so_far, known.clone()),
            None => {
                file.rewrite = rewrite + 1;
                source = File::open(&place).await.map_err(io)?;
            }
        }
    }
    let mut piece = Vec::new();
    loop {
        piece.clear();
        if read_part(&mut source, &mut piece, PART_BYTES).await.map_err(io)? == 0 {
            break;
        }
        hasher.update(&piece);
        let byte_to = file.bytes + i64::try_from(piece.len()).unwrap_or(i64::MAX);
        let body_zstd = zstd::bulk::compress(&piece, 3).map_err(io)?;
        let (path, rewrite) = (file.path.clone(), file.rewrite);
        vault
            .put(TranscriptPart {
                generation,
                rewrite,
                path,
                part: file.parts,
                byte_from: file.bytes,
                byte_to,
                sha256: sha256(&piece),
                body_zstd,
            })
            .await?;
        (file.bytes, file.parts) = (byte_to, file.parts + 1);
    }
    Ok(CustodyFile { sha256: hex(&hasher), ..file })
}

/// Files of subagents and large tool results, in the folder beside the transcript; links are left out.
async fn side_files(dir: &Path, id: Uuid) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![id.to_string()];
    while let Some(folder) = open.pop() {
        let Ok(mut entries) = fs::read_dir(dir.join(&folder)).await else { continue };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let Ok(kind) = entry.file_type().await else { continue };
            let Some(path) = entry.file_name().to_str().map(|name| format!("{folder}/{name}")) else { continue };
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && !path.ends_with(".restore") && found.len() < MAX_FILES {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Fills `buffer` by up to `limit` bytes; fewer only at the end.
async fn read_part(file: &mut File, buffer: &mut Vec<u8>, limit: usize) -> std::io::Result<usize> {
    file.take(limit as u64).read_to_end(buffer).await
}

fn contains(all: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else { return true };
    let starts = all.iter().enumerate().filter(|(_, byte)| *byte == first).map(|(at, _)| at);
    starts.into_iter().any(|at| all[at..].starts_with(wanted))
}

fn name_of(id: Uuid) -> String {
    format!("{id}.jsonl")
}

/// A path within `dir`; none for one that would lead out of it.
fn place(dir: &Path, path: &str) -> Option<PathBuf> {
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_))).then(|| dir.join(path))
}

fn belongs(path: &str, id: Uuid) -> bool {
    path == name_of(id) || path.strip_prefix(&id.to_string()).is_some_and(|rest| rest.starts_with('/'))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hex(hasher: &Sha256) -> String {
    hex::encode(hasher.clone().finalize())
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::internal(format!("the transcript file `{}`: {error}", path.display()))
}

#[cfg(test)]
#[path = "custody_tests.rs"]
mod tests;
