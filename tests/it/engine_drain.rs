//! A server that stops says so to everybody who asks, and to those who are connected: what is open ends, what is new goes elsewhere.

use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use nix::sys::signal::Signal;
use prost::Message as _;
use reprise::proto::v1;
use reprise::proto::v1::watch_run_response::Event;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::client::{Client, Keyed};
use crate::support::cluster::{Cluster, spawned};
use crate::support::hook;
use crate::support::postgres::Postgres;
use crate::support::server::{KEY, Server, Setup};

const SOON: Duration = Duration::from_secs(20);
const NAMES: [&str; 3] = ["", "reprise.v1.RunService", "reprise.v1.WebhookGatewayService"];

async fn channel(server: &Server) -> Channel {
    Endpoint::from_shared(server.url.clone()).expect("a url").connect().await.expect("connected")
}

/// Asks without a key, as load balancers do.
async fn health(server: &Server) -> HealthClient<Channel> {
    HealthClient::new(channel(server).await)
}

/// What a new connection is told of each name.
async fn told(server: &Server) -> Vec<ServingStatus> {
    let mut client = health(server).await;
    let mut all = Vec::new();
    for name in NAMES {
        let answer = client.check(HealthCheckRequest { service: name.to_owned() }).await.expect("answered");
        all.push(answer.into_inner().status());
    }
    all
}

async fn until(server: &Server, wanted: ServingStatus) {
    let begin = Instant::now();
    while told(server).await != [wanted; 3] {
        assert!(begin.elapsed() < SOON, "health is not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A connection of its own, on which one run is watched.
async fn watch_on_one_connection(server: &Server, run: &str) -> (SendRequest<Bytes>, RecvStream) {
    let tcp = tokio::net::TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("connected");
    let (sender, connection) = h2::client::handshake(tcp).await.expect("HTTP/2");
    let _driving = tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("takes requests");
    let request = http::Request::post(format!("{}/reprise.v1.RunService/WatchRun", server.url))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {KEY}"))
        .body(())
        .expect("a request");
    let message = v1::WatchRunRequest { run_id: run.to_owned(), ..Default::default() }.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    framed.extend(message);
    let (answer, mut body) = sender.send_request(request, false).expect("sent");
    body.send_data(framed.into(), true).expect("sent");
    (sender, answer.await.expect("answered").into_body())
}

/// Reads the stream to its end: its messages, and the status that it ended with.
async fn rest_of(stream: &mut RecvStream) -> (Vec<v1::WatchRunResponse>, String) {
    let mut bytes = bytes::BytesMut::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.expect("the stream goes on");
        stream.flow_control().release_capacity(piece.len()).expect("released");
        bytes.extend_from_slice(&piece);
    }
    let mut messages = Vec::new();
    while bytes.len() >= 5 {
        bytes.advance(1);
        let size = bytes.get_u32() as usize;
        messages.push(v1::WatchRunResponse::decode(bytes.split_to(size)).expect("a message"));
    }
    let trailers = stream.trailers().await.expect("trailers").expect("trailers");
    (messages, trailers["grpc-status"].to_str().expect("text").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_is_told_to_go_and_an_open_stream_goes_on_to_its_end() {
    let mut server = Setup::fake().with("[server]\ndrain_timeout_seconds = 20").start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    until(&server, ServingStatus::Serving).await;
    let mut watcher = HealthClient::with_interceptor(channel(&server).await, Keyed);
    let mut watched = watcher.watch(HealthCheckRequest::default()).await.expect("watched").into_inner();
    assert_eq!(watched.message().await.expect("told").expect("a status").status(), ServingStatus::Serving);
    let answer =
        hook::github(&url, &secret, "issue_comment", "d-1", &hook::comment(1, "[[sleep: 3]] [[say: after all]]")).await.expect("answered");
    spawned(&server.journal_path(), 1, SOON).await;
    let (sender, mut stream) = watch_on_one_connection(&server, &answer.run_id()).await;
    let signalled = Instant::now();
    server.signal(Signal::SIGTERM);

    // The connection takes no further request, since the server said so, not since it broke.
    let gone = loop {
        match sender.clone().ready().await {
            Ok(_) => assert!(signalled.elapsed() < SOON, "nobody is told to go"),
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(gone.is_go_away() && gone.is_remote(), "{gone:?}");
    assert_eq!(gone.reason(), Some(Reason::NO_ERROR));
    assert!(signalled.elapsed() < Duration::from_secs(2), "told after {:?}", signalled.elapsed());
    until(&server, ServingStatus::NotServing).await;
    assert_eq!(watched.message().await.expect("told").expect("a status").status(), ServingStatus::NotServing);

    // What is open on it goes on: the run ends long after the signal, and its reader sees that.
    let (messages, status) = rest_of(&mut stream).await;
    assert_eq!(status, "0");
    let last = messages.iter().rev().find_map(|message| match &message.event {
        Some(Event::Run(run)) => Some(run.clone()),
        _ => None,
    });
    let last = last.expect("the run at its end");
    assert_eq!((last.state(), last.result_text.as_str()), (v1::RunState::Succeeded, "after all"));
    // A stream that never ends by itself holds nobody up.
    server.ended(Duration::from_secs(4));
    assert!(watched.message().await.is_ok_and(|more| more.is_none()), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_database_does_not_serve_and_does_again() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let mut cluster = Cluster::new(Setup { database: Some(postgres.url()), ..Setup::fake() });
    cluster.add("api");
    until(&cluster.servers[0], ServingStatus::Serving).await;
    postgres.crash();
    until(&cluster.servers[0], ServingStatus::NotServing).await;
    postgres.start_again();
    until(&cluster.servers[0], ServingStatus::Serving).await;
    // A worker has no rpcs: only the whole of it can be asked for.
    let worker = cluster.add("worker");
    let mut client = health(worker).await;
    assert_eq!(client.check(HealthCheckRequest::default()).await.expect("answered").into_inner().status(), ServingStatus::Serving);
    let other = client.check(HealthCheckRequest { service: NAMES[1].to_owned() }).await.expect_err("it has no rpcs");
    assert_eq!(other.code(), tonic::Code::NotFound);
}
