//! RunService, apart from how a watched run is encoded.

use futures::StreamExt as _;
use tonic::Request;

use super::once::Making;
use super::{Answer, Services, Streamed, answer, caller, requester, watch};
use crate::domain::{CancelMode, Result, Run, RunId, SessionMode};
use crate::proto::v1::{self, run_service_server::RunService};
use crate::rpc::convert::{run, run_filter, run_listed};
use crate::rpc::{Fields, PageTokens};

/// The longest reason for a cancel, in bytes.
const MAX_REASON: usize = 1024;

#[tonic::async_trait]
impl RunService for Services {
    type WatchRunStream = Streamed<v1::WatchRunResponse>;
    type WatchRunsStream = Streamed<v1::WatchRunsResponse>;
    type ExportRunStream = Streamed<v1::ExportRunResponse>;

    async fn list_runs(&self, request: Request<v1::ListRunsRequest>) -> Answer<v1::ListRunsResponse> {
        let request = request.into_inner();
        let (page, tokens) = PageTokens::read(&request)?;
        let filter = run_filter(&request, self.filter_trigger(&request.trigger_id).await?)?;
        let listed = self.rooms.store.list_runs(&filter, page).await?;
        let (runs, next_page_token) = tokens.fit(&listed, |run| run.id.0, run_listed);
        answer(v1::ListRunsResponse { runs, next_page_token })
    }

    async fn get_run(&self, request: Request<v1::GetRunRequest>) -> Answer<v1::GetRunResponse> {
        let found = self.find_run(Fields::id("run_id", &request.into_inner().run_id)?).await?;
        answer(v1::GetRunResponse { run: Some(run(&found)) })
    }

    async fn watch_run(&self, request: Request<v1::WatchRunRequest>) -> Answer<Streamed<v1::WatchRunResponse>> {
        let watched = self.watch(request.into_inner()).await?;
        answer(watched.map(|message| message.map(watch::Message::into_response)).boxed())
    }

    async fn watch_runs(&self, request: Request<v1::WatchRunsRequest>) -> Answer<Streamed<v1::WatchRunsResponse>> {
        answer(self.watch_list_of_runs(&request.into_inner()).await?)
    }

    async fn list_journal_entries(&self, request: Request<v1::ListJournalEntriesRequest>) -> Answer<v1::ListJournalEntriesResponse> {
        answer(self.entries(&request.into_inner()).await?)
    }

    async fn export_run(&self, request: Request<v1::ExportRunRequest>) -> Answer<Streamed<v1::ExportRunResponse>> {
        answer(self.export_lines(&request.into_inner()).await?)
    }

    async fn query_usage(&self, request: Request<v1::QueryUsageRequest>) -> Answer<v1::QueryUsageResponse> {
        answer(self.usage(&request.into_inner()).await?)
    }

    async fn cancel_run(&self, request: Request<v1::CancelRunRequest>) -> Answer<v1::CancelRunResponse> {
        let request = request.into_inner();
        let id: RunId = Fields::id("run_id", &request.run_id)?;
        let mut fields = Fields::new();
        let reason = fields.text("reason", request.reason, MAX_REASON);
        let mode = fields.choice("mode", request.mode).unwrap_or(CancelMode::Now);
        let (reason, mode) = fields.finish((reason, mode))?;
        let cancelled = match mode {
            CancelMode::Now => self.rooms.queue.request_cancel(id, &reason).await?,
            CancelMode::AfterStep => self.rooms.queue.request_cancel_after_step(id, &reason).await?,
        };
        answer(v1::CancelRunResponse { run: Some(run(&cancelled)) })
    }

    async fn retry_run(&self, request: Request<v1::RetryRunRequest>) -> Answer<v1::RetryRunResponse> {
        let principal = caller(&request)?;
        let request = request.into_inner();
        let id: RunId = Fields::id("run_id", &request.run_id)?;
        let mode = session_mode(request.session_mode)?;
        let (services, queue, by) = (self.clone(), self.rooms.queue.clone(), requester(&principal));
        let work = move |making| async move {
            let made = match services.made_run(making).await? {
                Some(made) => made,
                None => queue.enqueue_retry(RunId(making.id), id, mode, by).await?,
            };
            Ok(v1::RetryRunResponse { run: Some(run(&made)) })
        };
        answer(self.once((&principal, "RetryRun"), (&request.request_id, &request), Clone::clone, work).await?)
    }
}

impl Services {
    /// The run that an earlier try of the same call queued.
    pub(super) async fn made_run(&self, making: Making) -> Result<Option<Run>> {
        if making.again { self.rooms.store.run(RunId(making.id)).await } else { Ok(None) }
    }
}

/// Which conversation is asked for; unspecified: the trigger decides.
pub(super) fn session_mode(number: i32) -> Result<SessionMode> {
    let mut fields = Fields::new();
    let mode = fields.choice("session_mode", number).unwrap_or(SessionMode::Default);
    fields.finish(mode)
}
