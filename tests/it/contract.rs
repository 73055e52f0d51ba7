//! The one port: keys, errors, reflection, gRPC-web with CORS, health, metrics, TLS.

use std::fs;
use std::process::Command;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use reprise::proto::v1;
use tonic_types::StatusExt;

use crate::support::client::Client;
use crate::support::hook::request;
use crate::support::server::{KEY, Server, Setup};

pub(crate) fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(body.len()).expect("small"));
    frame.put_slice(&body);
    frame.freeze()
}

#[tokio::test]
async fn every_rpc_needs_a_key_and_errors_tell_all_they_may() {
    let server = Setup::fake().start();
    let channel = tonic::transport::Endpoint::from_shared(server.url.clone()).expect("a url").connect().await.expect("connected");
    let mut open = v1::run_service_client::RunServiceClient::new(channel.clone());
    let refused = open.list_runs(v1::ListRunsRequest::default()).await.expect_err("no key");
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    assert_eq!(refused.get_error_details().error_info().expect("info").reason, "KEY_MISSING");

    let mut client = Client::connect(&server).await;
    let missing =
        client.runs.get_run(v1::GetRunRequest { run_id: "run_01h455vb4pex5vsknk084sn02q".to_owned() }).await.expect_err("no such run");
    let details = missing.get_error_details();
    let info = details.error_info().expect("info");
    assert_eq!((missing.code(), info.reason.as_str(), info.domain.as_str()), (tonic::Code::NotFound, "RESOURCE_NOT_FOUND", "reprise"));
    let trace = info.metadata.get("trace_id").expect("a trace id");
    assert_eq!(missing.metadata().get("x-trace-id").and_then(|v| v.to_str().ok()), Some(trace.as_str()));

    let bad = client.triggers.create_trigger(v1::CreateTriggerRequest {
        trigger: Some(v1::Trigger { slug: "Not A Slug".to_owned(), source: v1::Source::Github.into(), ..Default::default() }),
        ..Default::default()
    });
    let bad = bad.await.expect_err("a bad slug");
    let fields = bad.get_error_details().bad_request().expect("fields").field_violations.clone();
    assert!(fields.iter().any(|field| field.field == "trigger.slug"), "{fields:?}");

    let expression = v1::Trigger {
        slug: "expressions".to_owned(),
        source: v1::Source::Github.into(),
        filter_expression: Some("event.kind == ".to_owned()),
        action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "x".to_owned(), follow_up_template: None })),
        ..Default::default()
    };
    let wrong = client
        .triggers
        .create_trigger(v1::CreateTriggerRequest { trigger: Some(expression), ..Default::default() })
        .await
        .expect_err("no CEL");
    assert_eq!(wrong.get_error_details().error_info().expect("info").reason, "EXPRESSION_INVALID");
    let template = v1::Trigger {
        slug: "templates".to_owned(),
        source: v1::Source::Github.into(),
        action: Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "{{ nothing.here }}".to_owned(), follow_up_template: None })),
        ..Default::default()
    };
    let wrong = client
        .triggers
        .create_trigger(v1::CreateTriggerRequest { trigger: Some(template), ..Default::default() })
        .await
        .expect_err("no template");
    assert_eq!(wrong.get_error_details().error_info().expect("info").reason, "TEMPLATE_INVALID");
}

#[tokio::test]
async fn the_http_edge_answers_beside_grpc() {
    let server = Setup::fake().start();
    let key = format!("Bearer {KEY}");
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/nope", 404)] {
        assert_eq!(request("GET", &format!("{}{path}", server.url), &[], "").await.expect("answered").status, status, "{path}");
    }
    assert_eq!(request("GET", &format!("{}/metrics", server.url), &[], "").await.expect("answered").status, 401);
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    let answer = crate::support::hook::github(&url, &secret, "issue_comment", "d-1", &crate::support::hook::comment(1, "hello"))
        .await
        .expect("answered");
    client.ended(&answer.run_id()).await;
    let metrics = request("GET", &format!("{}/metrics", server.url), &[("authorization", &key)], "").await.expect("answered");
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    for name in [
        "reprise_deliveries_total",
        "reprise_runs_total",
        "reprise_queued_runs",
        "reprise_spawn_seconds",
        "reprise_tokens_total",
        "reprise_cost_usd_total",
        "reprise_journal_lag_seconds",
        "reprise_database_seconds",
    ] {
        assert!(text.contains(name), "{name} is missing in:\n{text}");
    }

    // gRPC-web over HTTP/1.1, as a browser sends it, from our own origin and from a stranger's.
    let rpc = format!("{}/reprise.v1.RunService/ListRuns", server.url);
    let web = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1"), ("authorization", key.as_str())];
    let answer = request("POST", &rpc, &web, framed(&v1::ListRunsRequest::default())).await.expect("answered");
    assert_eq!(answer.status, 200);
    let length = u32::from_be_bytes(answer.body[1..5].try_into().expect("a frame")) as usize;
    let listed = v1::ListRunsResponse::decode(&answer.body[5..5 + length]).expect("decoded");
    assert_eq!(listed.runs.len(), 1);
    assert!(String::from_utf8_lossy(&answer.body[5 + length..]).contains("grpc-status:0"));
    let preflight = [
        ("origin", "https://evil.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-grpc-web"),
    ];
    let answer = request("OPTIONS", &rpc, &preflight, "").await.expect("answered");
    assert!(answer.headers.get("access-control-allow-origin").is_none(), "{answer:?}");
}

#[tokio::test]
async fn listed_origins_may_call_and_read_the_status() {
    let server = Setup::fake().with("[server]\ncors_origins = [\"https://ops.example\"]").start();
    let rpc = format!("{}/reprise.v1.RunService/ListRuns", server.url);
    let preflight = [
        ("origin", "https://ops.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-grpc-web"),
    ];
    let answer = request("OPTIONS", &rpc, &preflight, "").await.expect("answered");
    assert_eq!(answer.headers.get("access-control-allow-origin").and_then(|v| v.to_str().ok()), Some("https://ops.example"));
    let key = format!("Bearer {KEY}");
    let web = [("origin", "https://ops.example"), ("content-type", "application/grpc-web+proto"), ("authorization", key.as_str())];
    let answer = request("POST", &rpc, &web, framed(&v1::ListRunsRequest::default())).await.expect("answered");
    let exposed = answer.headers.get("access-control-expose-headers").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    for header in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(header), "{exposed}");
    }
}

fn grpcurl(server: &Server, arguments: &[&str]) -> Option<(bool, String)> {
    let path = std::env::var_os("REPRISE_TEST_GRPCURL");
    assert!(path.is_some() || std::env::var("CI").is_err(), "REPRISE_TEST_GRPCURL is not set: under CI it is not optional");
    let output = Command::new(path?)
        .args(["-plaintext", "-H", &format!("authorization: Bearer {KEY}")])
        .args(arguments.iter().map(|argument| argument.replace("ADDR", server.url.trim_start_matches("http://"))))
        .output()
        .expect("grpcurl runs");
    Some((output.status.success(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))))
}

#[tokio::test]
async fn grpcurl_lists_describes_and_calls() {
    let server = Setup::fake().start();
    let Some((ok, services)) = grpcurl(&server, &["ADDR", "list"]) else { return };
    assert!(ok, "{services}");
    for service in [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "reprise.v1.TriggerService",
        "reprise.v1.RunService",
        "reprise.v1.SessionService",
        "reprise.v1.SettingsService",
        "reprise.v1.WebhookGatewayService",
    ] {
        assert!(services.contains(service), "{service} is missing in:\n{services}");
    }
    let (ok, text) = grpcurl(&server, &["ADDR", "describe", "reprise.v1.RunService"]).expect("grpcurl");
    assert!(ok && text.contains("//"), "comments reach callers:\n{text}");
    let (ok, text) = grpcurl(
        &server,
        &["-d", "{\"settings\":{\"sessions\":{\"cleanup_hour_local\":24}}}", "ADDR", "reprise.v1.SettingsService/UpdateSettings"],
    )
    .expect("grpcurl");
    assert!(!ok && text.contains("InvalidArgument") && text.contains("FIELD_INVALID") && text.contains("allowed is 0 to 23"), "{text}");
    let (ok, text) = grpcurl(&server, &["ADDR", "grpc.health.v1.Health/Check"]).expect("grpcurl");
    assert!(ok && text.contains("SERVING"), "{text}");
}

#[tokio::test]
async fn tls_serves_both_http_versions() {
    let dir = tempfile::tempdir().expect("temp dir");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    let (cert, key) = (dir.path().join("server.crt"), dir.path().join("server.key"));
    fs::write(&cert, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let config = format!("[server.tls]\ncertificate_file = \"{}\"\nkey_file = \"{}\"\n", cert.display(), key.display());
    let server = Setup::fake().with(&config).start();
    assert!(server.url.starts_with("https://"), "{}", server.url);
    for (version, shown) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let output = Command::new("curl")
            .args(["--silent", "--cacert"])
            .arg(&cert)
            .args([version, "--write-out", "%{http_code} %{http_version}", "--output", "/dev/null"])
            .arg(format!("{}/livez", server.url))
            .output()
            .expect("curl runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("200 {shown}"));
    }
    let tls = tonic::transport::ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(made.cert.pem()))
        .domain_name("localhost");
    let channel = tonic::transport::Endpoint::from_shared(server.url.clone())
        .expect("a url")
        .tls_config(tls)
        .expect("tls")
        .connect()
        .await
        .expect("connected");
    let mut client = v1::run_service_client::RunServiceClient::with_interceptor(channel, crate::support::client::Keyed);
    client.list_runs(v1::ListRunsRequest::default()).await.expect("listed over TLS");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let server = Setup::fake().start();
    let output = Command::new(env!("CARGO_BIN_EXE_reprise"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data())
        .env("REPRISE__AUTH__ADMIN_KEY", KEY)
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("another server"), "{text}");
}
