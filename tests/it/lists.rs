//! Lists that are watched: runs and deliveries, on both databases, and through a stop of the server.

use std::collections::HashMap;
use std::time::Duration;

use reprise::proto::v1::{self, watch_deliveries_response as deliveries, watch_runs_response as runs};
use tonic::Streaming;
use tonic_types::StatusExt;

use crate::migrations::postgres;
use crate::support::client::Client;
use crate::support::hook;
use crate::support::server::{Server, Setup};

async fn message<T>(stream: &mut Streaming<T>) -> Result<T, tonic::Status> {
    let next = tokio::time::timeout(Duration::from_secs(20), stream.message()).await.expect("something is told within 20 s");
    next.map(|message| message.expect("it goes on"))
}

async fn watch_runs(client: &mut Client, request: v1::WatchRunsRequest) -> Streaming<v1::WatchRunsResponse> {
    client.runs.watch_runs(request).await.expect("watched").into_inner()
}

/// Every state of each run that is told until this one has ended.
async fn until_end(stream: &mut Streaming<v1::WatchRunsResponse>, run_id: &str) -> HashMap<String, Vec<v1::RunState>> {
    let mut told: HashMap<String, Vec<v1::RunState>> = HashMap::new();
    while told.get(run_id).and_then(|states| states.last()) != Some(&v1::RunState::Succeeded) {
        if let Some(runs::Event::Run(run)) = message(stream).await.expect("a message").event {
            assert!(run.attempts.is_empty());
            told.entry(run.id.clone()).or_default().push(run.state());
        }
    }
    told
}

async fn lists_are_watched(server: &Server) {
    let mut client = Client::connect(server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let send = async |n: i64| {
        let comment = hook::comment(n, "hello");
        hook::github(&url, &secret, "issue_comment", &format!("d-{n}"), &comment).await.expect("answered").run_id()
    };
    let first = send(1).await;
    client.ended(&first).await;

    let mut stream = watch_runs(&mut client, v1::WatchRunsRequest { trigger_id: "reviews".to_owned(), ..Default::default() }).await;
    let mut arrived = client.triggers.watch_deliveries(v1::WatchDeliveriesRequest::default()).await.expect("watched").into_inner();
    let known = message(&mut stream).await.expect("a run").event;
    assert!(matches!(known, Some(runs::Event::Run(run)) if run.id == first && run.state() == v1::RunState::Succeeded));
    let complete = message(&mut stream).await.expect("complete").event;
    assert!(matches!(complete, Some(runs::Event::SnapshotComplete(_))));
    let known = message(&mut arrived).await.expect("a delivery").event;
    assert!(matches!(known, Some(deliveries::Event::Delivery(delivery)) if delivery.run_id == first && delivery.headers.is_empty()));
    assert!(matches!(message(&mut arrived).await.expect("complete").event, Some(deliveries::Event::SnapshotComplete(_))));

    let second = send(2).await;
    let told = until_end(&mut stream, &second).await;
    assert!(!told.contains_key(&first), "what did not change is not told: {told:?}");
    let new = message(&mut arrived).await.expect("a delivery").event;
    assert!(matches!(new, Some(deliveries::Event::Delivery(delivery)) if delivery.run_id == second));
    // Ten quiet seconds give a sign of life.
    assert!(matches!(message(&mut arrived).await.expect("a sign").event, Some(deliveries::Event::Heartbeat(_))));
}

#[tokio::test]
async fn watched_lists_begin_with_what_there_is_and_tell_every_end() {
    lists_are_watched(&Setup::fake().start()).await;
}

#[tokio::test]
async fn watched_lists_work_on_postgresql_too() {
    let Some(database) = postgres() else { return };
    lists_are_watched(&Setup { database: Some(database), ..Setup::fake() }.start()).await;
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_server() {
    let mut server = Setup::fake().with("[server]\nmax_watched_lists = 1").start();
    let mut client = Client::connect(&server).await;
    let mut stream = watch_runs(&mut client, v1::WatchRunsRequest::default()).await;
    message(&mut stream).await.expect("complete");
    let refused = client.triggers.watch_deliveries(v1::WatchDeliveriesRequest::default()).await.expect_err("one too many");
    let details = refused.get_error_details();
    assert_eq!((refused.code(), details.error_info().expect("info").reason.as_str()), (tonic::Code::ResourceExhausted, "TOO_MANY_STREAMS"));
    assert_eq!(details.error_info().expect("info").metadata["limit"], "1");
    let bad = client.runs.watch_runs(v1::WatchRunsRequest { page_size: -1, ..Default::default() }).await.expect_err("refused");
    assert_eq!(bad.get_error_details().bad_request().expect("fields").field_violations[0].field, "page_size");

    let stopping = tokio::task::spawn_blocking(move || server.stop());
    let ended = message(&mut stream).await.expect_err("the server stops");
    assert_eq!(
        (ended.code(), ended.get_error_details().error_info().expect("info").reason.as_str()),
        (tonic::Code::Unavailable, "DRAINING")
    );
    assert!(ended.get_error_details().retry_info().is_some());
    stopping.await.expect("stopped");
}
