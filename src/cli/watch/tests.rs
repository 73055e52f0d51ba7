//! A watched run across lost connections.

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, async_trait};

use super::*;
use crate::proto::v1::run_service_server::{RunService, RunServiceServer};
use crate::proto::v1::{self, OutcomeEntry, TextEntry};

#[test]
fn text_that_is_being_written_follows_its_offsets() {
    let mut writing = Writing::default();
    for (offset, text) in [(0, "Héllo"), (5, " wörld"), (6, "there")] {
        writing.take("a", offset, text);
    }
    assert_eq!(writing.text, "Héllo there");
    writing.take("b", 0, "next");
    assert_eq!(writing.tail().as_deref(), Some("next"));
}

#[test]
fn only_a_lost_server_is_looked_for_again() {
    assert!(is_passing(&Status::unavailable("gone").into()));
    for status in [Status::not_found("x"), Status::unauthenticated("x"), Status::internal("x"), Status::out_of_range("x")] {
        assert!(!is_passing(&status.into()));
    }
}

/// A server whose first stream breaks after two entries.
#[derive(Clone, Default)]
struct Breaking {
    asked: Arc<Mutex<Vec<Option<Position>>>>,
}

fn text(sequence: i32, text: &str) -> WatchRunResponse {
    let kind = Kind::Text(TextEntry { block_id: String::new(), text: text.into() });
    WatchRunResponse { sequence, event: Some(Event::Entry(JournalEntry { sequence, kind: Some(kind), ..JournalEntry::default() })) }
}

fn snapshot(sequence: i32, state: RunState) -> WatchRunResponse {
    let run = Run { id: "run_01h455vb4pex5vsknk084sa91c".into(), state: state.into(), ..Run::default() };
    WatchRunResponse { sequence, event: Some(Event::Run(run)) }
}

#[async_trait]
impl RunService for Breaking {
    type WatchRunStream = BoxStream<WatchRunResponse>;
    type WatchRunsStream = BoxStream<v1::WatchRunsResponse>;
    type ExportRunStream = BoxStream<v1::ExportRunResponse>;

    async fn watch_run(&self, request: Request<WatchRunRequest>) -> Result<Response<BoxStream<WatchRunResponse>>, Status> {
        let mut asked = self.asked.lock().expect("not poisoned");
        asked.push(request.into_inner().position);
        let messages = match asked.len() {
            1 => vec![Ok(snapshot(0, RunState::Running)), Ok(text(1, "one")), Ok(text(2, "two")), Err(Status::unavailable("stopping"))],
            2 => return Err(Status::unavailable("not yet")),
            _ => {
                let kind = Kind::Outcome(OutcomeEntry { state: RunState::Failed.into(), ..OutcomeEntry::default() });
                let outcome = JournalEntry { sequence: 4, kind: Some(kind), ..JournalEntry::default() };
                let outcome = WatchRunResponse { sequence: 4, event: Some(Event::Entry(outcome)) };
                vec![Ok(snapshot(2, RunState::Running)), Ok(text(3, "three")), Ok(outcome), Ok(snapshot(4, RunState::Failed))]
            }
        };
        Ok(Response::new(Box::pin(tokio_stream::iter(messages))))
    }

    async fn list_runs(&self, _: Request<v1::ListRunsRequest>) -> Result<Response<v1::ListRunsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_run(&self, _: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch_runs(&self, _: Request<v1::WatchRunsRequest>) -> Result<Response<Self::WatchRunsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_journal_entries(
        &self,
        _: Request<v1::ListJournalEntriesRequest>,
    ) -> Result<Response<v1::ListJournalEntriesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn export_run(&self, _: Request<v1::ExportRunRequest>) -> Result<Response<Self::ExportRunStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn query_usage(&self, _: Request<v1::QueryUsageRequest>) -> Result<Response<v1::QueryUsageResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel_run(&self, _: Request<v1::CancelRunRequest>) -> Result<Response<v1::CancelRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn retry_run(&self, _: Request<v1::RetryRunRequest>) -> Result<Response<v1::RetryRunResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test]
async fn a_lost_stream_goes_on_after_the_last_entry() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    let service = Breaking::default();
    let asked = Arc::clone(&service.asked);
    let server = tonic::transport::Server::builder().add_service(RunServiceServer::new(service));
    let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
    let (mut screen, recording) = Screen::recorded(80);
    let api = Api::new(&address, None, None).expect("an address");
    let run = tokio::select! {
        run = watch(&api, "run_01h455vb4pex5vsknk084sa91c", WatchOptions::default(), &mut screen) => run.expect("it ends"),
        _ = serving => panic!("the server ended first"),
    };
    assert_eq!(exit_of(&run), Some(Exit::RunFailed));
    assert_eq!(*asked.lock().expect("not poisoned"), [None, Some(Position::AfterSequence(2)), Some(Position::AfterSequence(2))]);
    let texts: Vec<String> = recording.lines().iter().filter_map(|line| line.strip_prefix("00:00 ").map(str::to_owned)).collect();
    assert_eq!(texts, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_server_that_was_never_there_is_said_at_once() {
    let (mut screen, _) = Screen::recorded(80);
    let api = Api::new("http://127.0.0.1:1", None, None).expect("an address");
    let failure = watch(&api, "run_x", WatchOptions::default(), &mut screen).await.expect_err("nobody listens");
    assert_eq!(failure.code(), 6);
    assert!(failure.lines("http://127.0.0.1:1")[0].contains("cannot reach http://127.0.0.1:1"));
}
