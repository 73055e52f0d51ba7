//! The limit for readers: the same messages from a tokio broadcast, through tonic, and nothing else.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use reprise::proto::v1::run_service_server::{RunService, RunServiceServer};
use reprise::proto::v1::{self, journal_entry::Kind, watch_run_response::Event};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{BroadcastStream, TcpListenerStream};
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status};

/// How the broadcast is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it writes its address.
    #[arg(long)]
    address: PathBuf,
    /// Lines to send, once all readers have come.
    #[arg(long)]
    lines: usize,
    /// Readers to wait for.
    #[arg(long)]
    readers: usize,
}

#[derive(Debug)]
struct Bare {
    count: usize,
    lines: broadcast::Sender<v1::WatchRunResponse>,
    readers: Arc<AtomicUsize>,
}

/// Serves until it is killed.
pub(crate) async fn serve(options: Options) -> Result<()> {
    // Holds all lines, so that no reader ever misses one.
    let (lines, _) = broadcast::channel(options.lines.max(1).next_power_of_two());
    let readers = Arc::new(AtomicUsize::new(0));
    let service = RunServiceServer::new(Bare { count: options.lines, lines: lines.clone(), readers: Arc::clone(&readers) });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    std::fs::write(&options.address, format!("http://{}", listener.local_addr()?))?;
    let mut owned = JoinSet::new();
    owned.spawn(async move {
        while readers.load(Ordering::SeqCst) < options.readers {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        for number in 1..=options.lines {
            let _nobody = lines.send(line(number));
            // Lines of a process come in bursts of about a pipe's buffer.
            if number % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await?;
    owned.shutdown().await;
    Ok(())
}

/// One line of 200 bytes as a reader gets it.
fn line(number: usize) -> v1::WatchRunResponse {
    let sequence = i32::try_from(number).unwrap_or(i32::MAX);
    let text = v1::TextEntry { block_id: format!("msg_{number:026}"), text: format!("{:x<200}", format!("line {number} ")) };
    let kind = Some(Kind::Text(text));
    let time = Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 1_000 });
    let entry = v1::JournalEntry { sequence, attempt: 1, time, kind, ..Default::default() };
    v1::WatchRunResponse { sequence, event: Some(Event::Entry(entry)) }
}

#[tonic::async_trait]
impl RunService for Bare {
    type WatchRunStream = BoxStream<v1::WatchRunResponse>;
    type WatchRunsStream = BoxStream<v1::WatchRunsResponse>;
    type ExportRunStream = BoxStream<v1::ExportRunResponse>;

    async fn watch_run(&self, _: Request<v1::WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let lines = BroadcastStream::new(self.lines.subscribe()).take(self.count);
        self.readers.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(Box::pin(lines.map(|line| line.map_err(|lagged| Status::data_loss(lagged.to_string()))))))
    }

    async fn list_runs(&self, _: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn get_run(&self, _: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn list_journal_entries(
        &self,
        _: Request<v1::ListJournalEntriesRequest>,
    ) -> Result<Response<v1::ListJournalEntriesResponse>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn query_usage(&self, _: Request<v1::QueryUsageRequest>) -> Result<Response<v1::QueryUsageResponse>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn cancel_run(&self, _: Request<v1::CancelRunRequest>) -> Result<Response<v1::CancelRunResponse>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn retry_run(&self, _: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn watch_runs(&self, _: Request<v1::WatchRunsRequest>) -> Result<Response<Self::WatchRunsStream>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }

    async fn export_run(&self, _: Request<v1::ExportRunRequest>) -> Result<Response<Self::ExportRunStream>, Status> {
        Err(Status::unimplemented("this is only a broadcast"))
    }
}
