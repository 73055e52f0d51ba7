//! `reprise session export`.

use std::path::PathBuf;

use clap::Args;
use sha2::{Digest, Sha256};

use super::super::connection::Api;
use super::super::failure::Failure;
use super::super::id;
use super::super::plain::plain;
use super::super::save::{Saved, save};
use super::super::screen::Screen;
use super::super::words::size;
use crate::proto::v1::export_session_response::Part;
use crate::proto::v1::{ExportSessionRequest, SessionManifest};

/// What to export, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Id, or its last characters.
    session: String,
    /// Number of the conversation. Default: the present one.
    #[arg(long)]
    generation: Option<i32>,
    /// File to write. Default: the session's id with `.tar.zst`.
    #[arg(long, short)]
    output: Option<PathBuf>,
}

/// Saves the archive, once its digest is the one that the server names.
pub(super) async fn export(args: ExportArgs, api: &Api, screen: &mut Screen) -> Result<(), Failure> {
    let session_id = id::session(api, &args.session).await?;
    let path = args.output.unwrap_or_else(|| PathBuf::from(format!("{session_id}.tar.zst")));
    let request = ExportSessionRequest { session_id, generation: args.generation };
    let manifest = save(&path, async |file: &mut Saved| download(request, file, api, screen).await).await?;
    if screen.document(&manifest)? {
        return Ok(());
    }
    let files: Vec<String> = manifest.files.iter().map(|file| format!("{}  {}", size(file.size_bytes), plain(&file.name))).collect();
    screen.line(format!("{} written, sha256 checked", path.display()))?;
    screen.facts(&[("files", files.join("\n")), ("continue with", plain(&manifest.resume_command))])
}

async fn download(request: ExportSessionRequest, file: &mut Saved, api: &Api, screen: &mut Screen) -> Result<SessionManifest, Failure> {
    let mut stream = api.sessions().export_session(request).await?.into_inner();
    let (mut manifest, mut hash) = (SessionManifest::default(), Sha256::new());
    while let Some(message) = stream.message().await? {
        match message.part {
            Some(Part::Manifest(found)) => manifest = found,
            Some(Part::Chunk(chunk)) => {
                if chunk.offset != file.size() {
                    return Err(Failure::Other(format!("the export has a gap at byte {}", file.size())));
                }
                hash.update(&chunk.data);
                file.write(&chunk.data).await?;
                screen.status(&format!("{} …", size(file.size())))?;
            }
            Some(Part::Digest(digest)) => {
                screen.status("")?;
                if digest.size_bytes != file.size() || digest.sha256 != hex::encode(hash.finalize()) {
                    return Err(Failure::Other("the export is damaged: its sha256 is not the one that the server names".into()));
                }
                return Ok(manifest);
            }
            None => {}
        }
    }
    Err(Failure::Other(format!("the export broke off after {}", size(file.size()))))
}
