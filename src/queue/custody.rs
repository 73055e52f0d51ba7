//! Transcripts in custody: parts are stored beforehand in small transactions, and count once a manifest names them.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel};

use super::transaction::transaction;
use super::{Lease, Manifest, Queue, TranscriptPart, finish, locked};
use crate::domain::{Error, Result, SessionId};
use crate::store::entity::transcript_part::{self, Column};

impl Queue {
    /// Stores one part of a transcript. It counts for nothing until `finish` or `checkpoint` names it in a manifest; fenced.
    pub async fn save_part(&self, lease: &Lease, part: TranscriptPart) -> Result<()> {
        let row = transcript_part::Model {
            session_id: lease.session_id.0,
            generation: part.generation,
            rewrite: part.rewrite,
            path: part.path,
            part: part.part,
            byte_from: part.byte_from,
            byte_to: part.byte_to,
            sha256: part.sha256,
            body: part.body_zstd,
        };
        // A part that an attempt before this one left behind without a manifest is replaced.
        let replace = OnConflict::columns([Column::SessionId, Column::Generation, Column::Rewrite, Column::Path, Column::Part])
            .update_columns([Column::ByteFrom, Column::ByteTo, Column::Sha256, Column::Body])
            .to_owned();
        transaction!(self, "save_part", tx => {
            locked::session(tx, lease.session_id.0).await?.filter(|row| row.lease_id == Some(lease.id.0)).ok_or(Error::Fenced)?;
            let insert = transcript_part::Entity::insert(row.clone().into_active_model().reset_all()).on_conflict(replace.clone());
            insert.exec_without_returning(tx).await?;
            Ok(())
        })
    }

    /// Makes saved parts count while the run is still live; fenced. Ignored when the session has moved on to another generation.
    pub async fn checkpoint(&self, lease: &Lease, generation: i32, manifest: &Manifest) -> Result<()> {
        transaction!(self, "checkpoint", tx => {
            let before =
                locked::session(tx, lease.session_id.0).await?.filter(|row| row.lease_id == Some(lease.id.0)).ok_or(Error::Fenced)?;
            if before.generation != generation {
                return Ok(());
            }
            let mut session = before.clone();
            finish::take_custody(tx, &mut session, manifest).await?;
            Ok(locked::save(tx, &before, session).await?)
        })
    }

    /// One part of a transcript in custody.
    pub async fn read_part(
        &self,
        session: SessionId,
        generation: i32,
        rewrite: i32,
        path: &str,
        part: i32,
    ) -> Result<Option<TranscriptPart>> {
        let key = (session.0, generation, rewrite, path.to_owned(), part);
        let row = transcript_part::Entity::find_by_id(key).one(self.store().read()).await?;
        Ok(row.map(|row| TranscriptPart {
            generation: row.generation,
            rewrite: row.rewrite,
            path: row.path,
            part: row.part,
            byte_from: row.byte_from,
            byte_to: row.byte_to,
            sha256: row.sha256,
            body_zstd: row.body,
        }))
    }
}
