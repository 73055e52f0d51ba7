//! A stream ends when its key does, on every server, and no other stream with it.

use std::time::{Duration, Instant};

use reprise::proto::v1::{self, run_service_client::RunServiceClient, trigger_service_client::TriggerServiceClient};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt;

use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::hook::{self, request};
use crate::support::postgres::ask;
use crate::support::server::{Server, Setup};

/// A stream lives for so long after its key; without a look at keys it would for ever.
const WITHIN: Duration = Duration::from_secs(5);
/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn keyed<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("ascii"));
    request
}

async fn sign_in(server: &Server) -> String {
    let mut client = Client::connect(server).await;
    let code = client.access.create_sign_in_code(v1::CreateSignInCodeRequest {}).await.expect("made").into_inner().code;
    client.access.redeem_sign_in_code(v1::RedeemSignInCodeRequest { code }).await.expect("redeemed").into_inner().api_key
}

/// The streams of one page of the dashboard, on a server of its own choice.
struct Page {
    runs: Streaming<v1::WatchRunsResponse>,
    deliveries: Streaming<v1::WatchDeliveriesResponse>,
    run: Streaming<v1::WatchRunResponse>,
}

impl Page {
    async fn open(server: &Server, key: &str, run_id: &str) -> Self {
        let channel: Channel = Endpoint::from_shared(server.url.clone()).expect("a url").connect().await.expect("connected");
        let (mut runs, mut triggers) = (RunServiceClient::new(channel.clone()), TriggerServiceClient::new(channel));
        let run = v1::WatchRunRequest { run_id: run_id.to_owned(), ..Default::default() };
        Self {
            runs: runs.watch_runs(keyed(v1::WatchRunsRequest::default(), key)).await.expect("watched").into_inner(),
            deliveries: triggers.watch_deliveries(keyed(v1::WatchDeliveriesRequest::default(), key)).await.expect("watched").into_inner(),
            run: runs.watch_run(keyed(run, key)).await.expect("watched").into_inner(),
        }
    }

    /// How each of them ends.
    async fn ends(mut self) -> [Status; 3] {
        [end(&mut self.runs).await, end(&mut self.deliveries).await, end(&mut self.run).await]
    }
}

/// How a stream ends that must not last.
async fn end<T>(stream: &mut Streaming<T>) -> Status {
    let reading = async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended as if all were told"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("it ends with its key")
}

fn assert_over(status: &Status, reason: &str) {
    let details = status.get_error_details();
    let info = details.error_info().expect("info");
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (tonic::Code::Unauthenticated, reason, "reprise"));
    assert!(info.metadata.contains_key("trace_id"));
}

/// A run that is live for long, and its id.
async fn live_run(server: &Server) -> String {
    let mut client = Client::connect(server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[sleep: 60]]")).await.expect("answered").run_id()
}

/// Waits until this run is told: the stream goes on.
async fn told(stream: &mut Streaming<v1::WatchRunsResponse>, run_id: &str) {
    let reading = async {
        while let Some(message) = stream.message().await.expect("it goes on") {
            if matches!(message.event, Some(v1::watch_runs_response::Event::Run(run)) if run.id == run_id) {
                return;
            }
        }
        panic!("it ended");
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_key_is_revoked_or_over_and_others_go_on() {
    let server = Setup::fake().start();
    let run_id = live_run(&server).await;
    let (revoked, over) = (sign_in(&server).await, sign_in(&server).await);
    // The second key ends by itself, soon. Nobody has used it yet, so that no server knows it for longer.
    server.sql("UPDATE api_keys SET expire_time = (unixepoch() + 4) * 1000000 WHERE id = (SELECT max(id) FROM api_keys)").await;
    let mut client = Client::connect(&server).await;
    let mut kept = client.runs.watch_runs(v1::WatchRunsRequest::default()).await.expect("watched").into_inner();
    let (first, second) = (Page::open(&server, &revoked, &run_id).await, Page::open(&server, &over, &run_id).await);
    for status in second.ends().await {
        assert_over(&status, "KEY_EXPIRED");
    }
    let begin = Instant::now();
    server.sql("DELETE FROM api_keys WHERE expire_time IS NOT NULL").await;
    for status in first.ends().await {
        assert_over(&status, "KEY_INVALID");
    }
    assert!(begin.elapsed() < WITHIN, "{:?}", begin.elapsed());
    let mut runs = RunServiceClient::connect(server.url.clone()).await.expect("connected");
    assert_over(&runs.list_runs(keyed(v1::ListRunsRequest::default(), &revoked)).await.expect_err("refused at once, too"), "KEY_INVALID");
    client.runs.cancel_run(v1::CancelRunRequest { run_id: run_id.clone(), ..Default::default() }).await.expect("cancelled");
    told(&mut kept, &run_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_reads_why_its_stream_ended() {
    let server = Setup::fake().start();
    let run_id = live_run(&server).await;
    let key = sign_in(&server).await;
    let (rpc, bearer) = (format!("{}/reprise.v1.RunService/WatchRun", server.url), format!("Bearer {key}"));
    let asked = crate::contract::framed(&v1::WatchRunRequest { run_id, ..Default::default() });
    let headers = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1"), ("authorization", bearer.as_str())];
    let reading = request("POST", &rpc, &headers, asked);
    // Its first use is noted when the call has passed: the stream is open then.
    let revoking = async {
        loop {
            server.sql("DELETE FROM api_keys WHERE expire_time IS NOT NULL AND last_use_time IS NOT NULL").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::select! {
        answer = reading => answer.expect("answered"),
        () = revoking => unreachable!("it goes on until the answer"),
        () = tokio::time::sleep(PATIENCE) => panic!("it goes on without its key"),
    };
    let trailers = String::from_utf8_lossy(&answer.body[answer.body.len() - 400..]).into_owned();
    assert!(trailers.contains("grpc-status:16") && trailers.contains("grpc-status-details-bin:"), "{trailers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_on_whichever_server_it_is() {
    let Some(cluster) = Cluster::start(2) else { return };
    let run_id = live_run(&cluster.servers[0]).await;
    let key = sign_in(&cluster.servers[0]).await;
    let (here, there) = (Page::open(&cluster.servers[0], &key, &run_id).await, Page::open(&cluster.servers[1], &key, &run_id).await);
    ask(cluster.database(), "DELETE FROM api_keys WHERE expire_time IS NOT NULL");
    let (here, there) = tokio::join!(here.ends(), there.ends());
    for status in here.iter().chain(&there) {
        assert_over(status, "KEY_INVALID");
    }
}
