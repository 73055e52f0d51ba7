//! SessionService.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use super::archive;
use super::once::Making;
use super::{Answer, Services, Streamed, answer, caller, directories, not_found, requester};
use crate::domain::{Error, Manifest, PageRequest, Result, RunId, Session, SessionFilter, SessionId, SessionOrder, TriggerId, UnixMicros};
use crate::proto::v1::{self, export_session_response::Part, session_service_server::SessionService};
use crate::rpc::convert::{SessionRef, count, run, session, session_filter, session_ref, storage};
use crate::rpc::{Fields, PageTokens, TraceId, status};

/// The longest reason for a reset, in bytes.
const MAX_REASON: usize = 1024;
/// The longest name of a copy, in characters.
const MAX_NAME: usize = 100;
/// Ids that the answer of a clean-up names.
const NAMED: usize = 20;

#[tonic::async_trait]
impl SessionService for Services {
    type ExportSessionStream = Streamed<v1::ExportSessionResponse>;

    async fn list_sessions(&self, request: Request<v1::ListSessionsRequest>) -> Answer<v1::ListSessionsResponse> {
        let request = request.into_inner();
        let (page, tokens) = PageTokens::read(&request)?;
        let trigger = self.filter_trigger(&request.trigger_id).await?;
        let (filter, order) = session_filter(&request, trigger, UnixMicros::now().minus(self.lifetime()))?;
        let listed = self.rooms.store.list_sessions(&filter, order, page).await?;
        let sessions = listed.items.iter().map(|listed| self.session_message(listed)).collect();
        answer(v1::ListSessionsResponse { sessions, next_page_token: tokens.next(listed.next) })
    }

    async fn get_session(&self, request: Request<v1::GetSessionRequest>) -> Answer<v1::GetSessionResponse> {
        let found = match session_ref(&request.into_inner())? {
            SessionRef::Id(id) => self.find_session(id).await?,
            SessionRef::Thread { trigger, key } => {
                let trigger = self.find_trigger("trigger_id", &trigger).await?;
                let found = self.rooms.store.session_by_key(trigger.id, &key).await?;
                found.ok_or_else(|| not_found("session", format!("{}/{key}", trigger.slug)))?
            }
        };
        answer(v1::GetSessionResponse { session: Some(self.session_message(&found)) })
    }

    async fn reset_session(&self, request: Request<v1::ResetSessionRequest>) -> Answer<v1::ResetSessionResponse> {
        let request = request.into_inner();
        let id: SessionId = Fields::id("session_id", &request.session_id)?;
        let mut fields = Fields::new();
        let reason = fields.text("reason", request.reason, MAX_REASON);
        let reason = fields.finish(reason)?;
        let reset = self.rooms.queue.reset_session(id, request.cancel_runs, request.purge, &reason).await?;
        // The directory of a run that is being cancelled is still in use; the clean-up takes it later.
        if request.purge && reset.live_run_id.is_none() {
            self.remove_directories(vec![id]).await;
        }
        answer(v1::ResetSessionResponse { session: Some(self.session_message(&reset)) })
    }

    async fn fork_session(&self, request: Request<v1::ForkSessionRequest>) -> Answer<v1::ForkSessionResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        let id: SessionId = Fields::id("session_id", &request.session_id)?;
        let mut fields = Fields::new();
        let after = fields.id_or_none("after_run_id", &request.after_run_id);
        let length = request.display_name.chars().count();
        fields.check(length <= MAX_NAME, "display_name", || format!("has {length} characters; allowed are {MAX_NAME}"));
        let after = fields.finish(after)?;
        let (services, name) = (self.clone(), request.display_name.clone());
        let work = move |making: Making| async move {
            let copy = services.forked(making, id, after, &name).await?;
            Ok(v1::ForkSessionResponse { session: Some(services.session_message(&copy)) })
        };
        answer(self.once((&principal, "ForkSession"), (&request.request_id, &request), Clone::clone, work).await?)
    }

    async fn compact_session(&self, request: Request<v1::CompactSessionRequest>) -> Answer<v1::CompactSessionResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        let id: SessionId = Fields::id("session_id", &request.session_id)?;
        let (services, queue, by) = (self.clone(), self.rooms.queue.clone(), requester(&principal));
        let work = move |making| async move {
            let made = match services.made_run(making).await? {
                Some(made) => made,
                None => queue.enqueue_compaction(RunId(making.id), id, by).await?,
            };
            Ok(v1::CompactSessionResponse { run: Some(run(&made)) })
        };
        answer(self.once((&principal, "CompactSession"), (&request.request_id, &request), Clone::clone, work).await?)
    }

    async fn clean_up_stale_sessions(&self, request: Request<v1::CleanUpStaleSessionsRequest>) -> Answer<v1::CleanUpStaleSessionsResponse> {
        let request = request.into_inner();
        let mut fields = Fields::new();
        let older_than = fields.duration("older_than", request.older_than);
        let older_than = fields.finish(older_than)?.unwrap_or_else(|| self.lifetime());
        let trigger = self.named_trigger(&request.trigger_id).await?;
        let before = UnixMicros::now().minus(older_than);
        let (cleaned, removed) = if request.validate_only {
            let would = self.rooms.queue.foresee_clean_up(before, trigger).await?;
            let measured = self.measure_directories(would.session_ids.clone()).await?;
            (would, measured)
        } else {
            let cleaned = self.rooms.queue.clean_up(before, trigger).await?;
            let removed = self.remove_directories(cleaned.session_ids.clone()).await;
            (cleaned, removed)
        };
        answer(v1::CleanUpStaleSessionsResponse {
            deleted_count: count(cleaned.session_ids.len()),
            busy_count: count(cleaned.busy_count),
            freed_bytes: cleaned.freed_bytes.saturating_add_unsigned(removed),
            remaining_count: count(cleaned.remaining_count),
            session_ids: cleaned.session_ids.iter().take(NAMED).map(ToString::to_string).collect(),
        })
    }

    async fn export_session(&self, request: Request<v1::ExportSessionRequest>) -> Answer<Streamed<v1::ExportSessionResponse>> {
        let request = request.into_inner();
        let id: SessionId = Fields::id("session_id", &request.session_id)?;
        let (message, generation, manifest) = self.export(id, request.generation).await?;
        let trace = TraceId::current();
        let first = stream::iter([Ok(Part::Manifest(message))]);
        let queue = self.rooms.queue.clone();
        let rest = archive::parts(manifest, move |file, part| {
            let (queue, path, rewrite) = (queue.clone(), file.path.clone(), file.rewrite);
            async move { Ok(queue.read_part(id, generation, rewrite, &path, part).await?.map(|part| part.body_zstd)) }
        });
        let rest = ReceiverStream::new(rest);
        let parts = first.chain(rest).map(move |part| match part {
            Ok(part) => Ok(v1::ExportSessionResponse { part: Some(part) }),
            Err(error) => Err(status(&error, &trace)),
        });
        answer(parts.boxed())
    }

    async fn get_session_storage(&self, request: Request<v1::GetSessionStorageRequest>) -> Answer<v1::GetSessionStorageResponse> {
        let trigger = self.named_trigger(&request.into_inner().trigger_id).await?;
        let now = UnixMicros::now();
        let stored = self.rooms.store.session_storage(trigger, now.minus(self.lifetime())).await?;
        let mut message = storage(&stored, now);
        let (taken, free) = self.measure(trigger).await?;
        message.agent_files_bytes = saturated(taken.agent_files);
        message.workspace_bytes = saturated(taken.workspaces);
        message.disk_free_bytes = saturated(free);
        answer(message)
    }
}

impl Services {
    /// The trigger that must exist if it is named.
    async fn named_trigger(&self, text: &str) -> Result<Option<TriggerId>> {
        if text.is_empty() {
            return Ok(None);
        }
        self.find_trigger("trigger_id", text).await.map(|trigger| Some(trigger.id))
    }

    /// The copy; that of an earlier try of the same call, if that one came so far.
    async fn forked(&self, making: Making, id: SessionId, after: Option<RunId>, name: &str) -> Result<Session> {
        let copy = SessionId(making.id);
        if making.again {
            if let Some(made) = self.rooms.store.session(copy).await? {
                return Ok(made);
            }
            self.rooms.queue.drop_copy(copy).await?;
        }
        self.rooms.queue.fork_session(copy, id, after, name).await
    }

    fn session_message(&self, found: &Session) -> v1::Session {
        session(found, self.lifetime(), UnixMicros::now())
    }

    /// How long a session may be unused before it is stale.
    fn lifetime(&self) -> Duration {
        let days = u64::try_from(self.rooms.settings.get().sessions.auto_cleanup_days).unwrap_or(0);
        Duration::from_secs(days * 86_400)
    }

    /// What an export holds, and what it is made of.
    async fn export(&self, id: SessionId, generation: Option<i32>) -> Result<(v1::SessionManifest, i32, Manifest)> {
        let found = self.find_session(id).await?;
        let generation = generation.unwrap_or(found.generation);
        let earlier = found.conversations.iter().find(|conversation| conversation.generation == generation);
        let (agent_session_id, manifest) = if generation == found.generation {
            (found.agent_session_id.ok_or(Error::SessionEmpty)?, self.rooms.store.manifest(id).await?)
        } else {
            let earlier = earlier.ok_or_else(|| not_found("conversation", format!("{id}/{generation}")))?;
            (earlier.agent_session_id, self.rooms.store.manifest_of(id, generation).await?)
        };
        let manifest = manifest.filter(|manifest| !manifest.files.is_empty()).ok_or(Error::TranscriptGone)?;
        let last_run = match found.last_run_id {
            Some(run) => self.rooms.store.run(run).await?,
            None => None,
        };
        let files = manifest.files.iter();
        let files = files.map(|file| v1::SessionFile { name: file.path.clone(), size_bytes: file.bytes, sha256: file.sha256.clone() });
        let message = v1::SessionManifest {
            session: Some(self.session_message(&found)),
            agent_session_id: agent_session_id.to_string(),
            cli_version: last_run.map(|run| run.agent_version).unwrap_or_default(),
            files: files.collect(),
            resume_command: format!("claude --resume {agent_session_id}"),
        };
        Ok((message, generation, manifest))
    }

    async fn measure(&self, trigger: Option<TriggerId>) -> Result<(directories::Taken, u64)> {
        let sessions = match trigger {
            Some(trigger) => Some(self.session_ids(trigger).await?),
            None => None,
        };
        let data_dir = self.rooms.facts.data_dir.clone();
        let measuring = move || (directories::measure(&data_dir, sessions.as_deref()), directories::disk_free(&data_dir));
        tokio::task::spawn_blocking(measuring).await.map_err(Error::internal)
    }

    /// What the directories of these sessions take.
    pub(super) async fn measure_directories(&self, sessions: Vec<SessionId>) -> Result<u64> {
        let data_dir = self.rooms.facts.data_dir.clone();
        let measuring = move || directories::measure(&data_dir, Some(&sessions));
        let taken = tokio::task::spawn_blocking(measuring).await.map_err(Error::internal)?;
        Ok(taken.agent_files + taken.workspaces)
    }

    async fn session_ids(&self, trigger: TriggerId) -> Result<Vec<SessionId>> {
        let filter = SessionFilter { trigger_id: Some(trigger), ..SessionFilter::default() };
        let mut page = PageRequest { size: crate::domain::MAX_PAGE_SIZE, after: None };
        let mut ids = Vec::new();
        loop {
            let listed = self.rooms.store.list_sessions(&filter, SessionOrder::LastUse, page).await?;
            ids.extend(listed.items.iter().map(|session| session.id));
            match listed.next {
                Some(next) => page.after = Some(next),
                None => return Ok(ids),
            }
        }
    }

    /// Deletes the directories of sessions that are gone, and gives their size.
    pub(super) async fn remove_directories(&self, sessions: Vec<SessionId>) -> u64 {
        let data_dir = self.rooms.facts.data_dir.clone();
        tokio::task::spawn_blocking(move || directories::remove(&data_dir, &sessions)).await.unwrap_or(0)
    }
}

fn saturated(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
