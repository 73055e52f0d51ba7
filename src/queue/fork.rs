//! Forks: a new session that begins with a copy of another's conversation.
//!
//! The copy is made from custody alone, part by part in short transactions, and counts once its session row is there.
//! A server that dies in between leaves parts without a session, which the next start deletes.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::transaction::transaction;
use super::{CustodyFile, Manifest, Queue};
use crate::domain::{Error, Result, RunId, RunStatus, Session, SessionId, SessionKind, SessionOrigin, TriggerId, UnixMicros, new_id};
use crate::store::entity::{conversation, run, session, transcript_part};
use crate::store::first_id_at;
use crate::store::payload::{manifest_from, manifest_to, word};
use crate::store::rows::{new_session, sessions_of};
use crate::store::sql::statement;

/// Largest part before compression, as they are made.
const PART_BYTES: usize = 256 * 1024;
/// Bytes that one transaction of a copy writes, nearly.
const AT_ONCE: usize = 512 * 1024;
/// Parts of a session that is not there, older than this, are nobody's copy in the making.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(3600);

/// What is copied.
struct Original {
    session: session::Model,
    /// The run after whose turn the copy ends.
    after: Option<run::Model>,
    agent_session_id: Uuid,
    generation: i32,
    manifest: Manifest,
    /// What the conversation had cost by then, as far as its runs are known.
    cost_nano: i64,
}

impl Queue {
    /// Copies the present conversation of a session, up to the end of a run's turn or whole, into a new session, `copy`. The
    /// session itself stays as it is. Errors: `NotFound`, `RunNotFinished`, `SessionEmpty`, `TranscriptGone`.
    pub async fn fork_session(&self, copy: SessionId, id: SessionId, after: Option<RunId>, display_name: &str) -> Result<Session> {
        let original = self.original(id, after).await?;
        match self.copy(&original, copy, display_name).await {
            Ok(made) => Ok(made),
            Err(error) => {
                // Nobody will ever look for it.
                if let Err(also) = self.drop_copy(copy).await {
                    tracing::warn!(session.id = %copy, error = %also, "the parts of a copy that failed could not be deleted");
                }
                Err(error)
            }
        }
    }

    /// Deletes a copy that no run has used.
    pub async fn drop_copy(&self, copy: SessionId) -> Result<()> {
        transaction!(self, "drop_copy", tx => {
            let unused = session::Entity::delete_many()
                .filter(session::Column::Id.eq(copy.0))
                .filter(session::Column::RunCount.eq(0))
                .filter(session::Column::ForkedFrom.is_not_null());
            unused.exec(tx).await?;
            if session::Entity::find_by_id(copy.0).one(tx).await?.is_none() {
                super::sessions::delete_belongings(tx, &[copy.0]).await?;
            }
            Ok(())
        })
    }

    /// Deletes the parts of copies that a server did not finish.
    pub(super) async fn forget_unfinished_copies(&self) -> Result<()> {
        let text = "DELETE FROM transcript_parts WHERE session_id < ? AND session_id NOT IN (SELECT id FROM sessions)";
        let before = first_id_at(UnixMicros::now().minus(ABANDONED));
        self.store().write().execute_raw(statement(self.store().backend(), text.to_owned(), vec![before.into()])).await?;
        Ok(())
    }

    async fn original(&self, id: SessionId, after: Option<RunId>) -> Result<Original> {
        let db = self.store().read();
        let row = session::Entity::find_by_id(id.0).filter(session::Column::Kind.eq(SessionKind::Thread.as_str())).one(db).await?;
        let session = row.ok_or_else(|| Error::NotFound { kind: "session", id: id.to_string() })?;
        let after = match after {
            Some(run_id) => {
                let found = run::Entity::find_by_id(run_id.0).filter(run::Column::SessionId.eq(id.0)).one(db).await?;
                let run = found.ok_or_else(|| Error::NotFound { kind: "run", id: run_id.to_string() })?;
                let status: RunStatus = word(&run.status)?;
                if !status.is_end() {
                    return Err(Error::RunNotFinished { status });
                }
                Some(run)
            }
            None if session.agent_session_id.is_none() || session.turn_count == 0 => return Err(Error::SessionEmpty),
            None => self.turn_before(&session, session.generation, i64::MAX).await?,
        };
        let generation = after.as_ref().map_or(session.generation, |run| run.generation);
        let (agent_session_id, manifest) = if generation == session.generation {
            (session.agent_session_id.ok_or(Error::SessionEmpty)?, manifest_from(&session.manifest)?)
        } else {
            let earlier = conversation::Entity::find_by_id((id.0, generation)).one(db).await?.ok_or(Error::TranscriptGone)?;
            (earlier.agent_session_id, manifest_from(&earlier.manifest)?)
        };
        let last = after.as_ref().map_or(i64::MAX, |run| run.seq);
        let costs: Vec<i64> = run::Entity::find()
            .select_only()
            .column(run::Column::CostNano)
            .filter(run::Column::SessionId.eq(id.0))
            .filter(run::Column::Generation.eq(generation))
            .filter(run::Column::Seq.lte(last))
            .into_tuple()
            .all(db)
            .await?;
        let cost_nano = costs.iter().sum();
        Ok(Original { session, after, agent_session_id, generation, manifest, cost_nano })
    }

    /// The last run before this place whose turn is in this conversation and in custody.
    pub(super) async fn turn_before(&self, session: &session::Model, generation: i32, seq: i64) -> Result<Option<run::Model>> {
        Ok(run::Entity::find()
            .filter(run::Column::SessionId.eq(session.id))
            .filter(run::Column::Generation.eq(generation))
            .filter(run::Column::Seq.lt(seq))
            .filter(run::Column::TranscriptBytes.gt(0))
            .order_by_desc(run::Column::Seq)
            .one(self.store().read())
            .await?)
    }

    async fn copy(&self, original: &Original, copy: SessionId, display_name: &str) -> Result<Session> {
        let id = new_id();
        let main = original.manifest.main().ok_or(Error::TranscriptGone)?;
        let end = match &original.after {
            // Of a file that was written anew since, it is not known where that turn ended.
            Some(run) if run.transcript_rewrite != main.rewrite || run.transcript_bytes > main.bytes || run.transcript_bytes == 0 => {
                return Err(Error::TranscriptGone);
            }
            Some(run) => run.transcript_bytes,
            None => main.bytes,
        };
        let mut manifest = Manifest { rewrite: original.manifest.rewrite, files: Vec::new() };
        for file in &original.manifest.files {
            let end = if file.path == main.path { end } else { file.bytes };
            let path = file.path.replacen(&original.agent_session_id.to_string(), &id.to_string(), 1);
            manifest.files.push(self.copy_file(original, file, end, copy, path).await?);
        }
        let row = row(original, copy, id, &manifest, display_name);
        let begun = conversation::Model {
            session_id: copy.0,
            generation: 1,
            agent_session_id: id,
            origin: SessionOrigin::Fork.to_string(),
            cause_run_id: original.after.as_ref().map(|run| run.id),
            start_time: row.create_time,
            turn_count: row.turn_count,
            from_session_id: Some(original.session.id),
            manifest: manifest_to(&manifest),
        };
        let made = transaction!(self, "fork_session", tx => {
            session::Entity::insert(row.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
            conversation::Entity::insert(begun.clone().into_active_model().reset_all()).exec_without_returning(tx).await?;
            Ok(sessions_of(tx, vec![row.clone()]).await?.pop())
        })?;
        made.ok_or_else(|| Error::internal(format!("copy {copy} was not stored")))
    }

    /// Copies a file up to `end`, and checks on the way that it is what custody says.
    async fn copy_file(&self, original: &Original, file: &CustodyFile, end: i64, copy: SessionId, path: String) -> Result<CustodyFile> {
        let mut made = CustodyFile { path, bytes: 0, sha256: String::new(), parts: 0, rewrite: file.rewrite };
        let mut hasher = Sha256::new();
        let (mut rows, mut size) = (Vec::new(), 0);
        while made.bytes < end && made.parts < file.parts {
            let key = (original.session.id, original.generation, file.rewrite, file.path.clone(), made.parts);
            let part = transcript_part::Entity::find_by_id(key).one(self.store().read()).await?.ok_or(Error::TranscriptGone)?;
            let mut piece = zstd::bulk::decompress(&part.body, PART_BYTES).map_err(Error::internal)?;
            let left = usize::try_from(end - made.bytes).unwrap_or(usize::MAX);
            let (body, sha256) = if piece.len() > left {
                piece.truncate(left);
                (zstd::bulk::compress(&piece, 3).map_err(Error::internal)?, hex::encode(Sha256::digest(&piece)))
            } else {
                (part.body, part.sha256)
            };
            hasher.update(&piece);
            let byte_to = made.bytes + i64::try_from(piece.len()).unwrap_or(i64::MAX);
            size += body.len();
            rows.push(transcript_part::Model {
                session_id: copy.0,
                generation: 1,
                rewrite: made.rewrite,
                path: made.path.clone(),
                part: made.parts,
                byte_from: made.bytes,
                byte_to,
                sha256,
                body,
            });
            (made.bytes, made.parts) = (byte_to, made.parts + 1);
            if size >= AT_ONCE {
                self.put_parts(std::mem::take(&mut rows)).await?;
                size = 0;
            }
        }
        self.put_parts(rows).await?;
        made.sha256 = hex::encode(hasher.finalize());
        if made.bytes != end || (end == file.bytes && made.sha256 != file.sha256) {
            return Err(Error::TranscriptGone);
        }
        Ok(made)
    }

    async fn put_parts(&self, rows: Vec<transcript_part::Model>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        transaction!(self, "copy_parts", tx => {
            let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
            transcript_part::Entity::insert_many(rows).exec_without_returning(tx).await?;
            Ok(())
        })
    }
}

/// The row of a copy: nothing runs in it yet, and it has used nothing itself.
fn row(original: &Original, copy: SessionId, id: Uuid, manifest: &Manifest, display_name: &str) -> session::Model {
    let from = &original.session;
    let whole = original.manifest.main().map(|main| main.bytes) == manifest.main().map(|main| main.bytes);
    let turn_count = match &original.after {
        Some(run) if !whole || original.generation != from.generation => run.turn,
        _ => from.turn_count,
    };
    session::Model {
        bucket: from.bucket,
        title: from.title.clone(),
        url: from.url.clone(),
        agent_session_id: Some(id),
        fingerprint: from.fingerprint.clone(),
        agent: from.agent.clone(),
        profile: from.profile.clone(),
        model: from.model.clone(),
        agent_version: from.agent_version.clone(),
        turn_count,
        turns_since_compaction: from.turns_since_compaction.min(turn_count),
        agent_total_cost_nano: if whole { from.agent_total_cost_nano } else { original.cost_nano },
        context_tokens: if whole { from.context_tokens } else { original.after.as_ref().map_or(0, |run| run.context_tokens) },
        manifest: manifest_to(manifest),
        transcript_bytes: manifest.bytes(),
        forked_from: Some(from.id),
        forked_run_id: original.after.as_ref().map(|run| run.id),
        display_name: display_name.to_owned(),
        // Its origin is that of a first conversation; the session it was copied from stands beside it and tells it from one.
        ..new_session(copy, TriggerId(from.trigger_id), &from.trigger_slug)
    }
}
