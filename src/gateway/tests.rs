//! Both doors over a real intake, queue and database.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt;

use super::*;
use crate::domain::{DeliveryFilter, DeliveryOutcome, DeliveryReason, PageRequest, SecretId, Source, Trigger, UnixMicros};
use crate::intake::tests::{SECRET, comment, trigger};
use crate::proto::v1::{self, webhook_gateway_service_server::WebhookGatewayService as _};
use crate::queue::Queue;
use crate::secrets::Cipher;
use crate::store::triggers::NewSecret;
use crate::store::{Store, scratch};

struct World {
    gateway: Gateway,
    store: Arc<Store>,
    stop: CancellationToken,
    trigger: Trigger,
    _dir: tempfile::TempDir,
}

async fn world(source: Source) -> World {
    let (store, dir) = scratch().await;
    let cipher = Cipher::load(&dir.path().join("master.key")).expect("a key");
    let stop = CancellationToken::new();
    let (queue, _writer) = Queue::start(Arc::clone(&store), stop.clone());
    let trigger = trigger(source, |_| {});
    let id = SecretId::new();
    let secret = NewSecret { id, sealed: cipher.seal(id, SECRET).expect("sealed"), hint: "ests".into(), create_time: UnixMicros::now() };
    store.create_trigger(&trigger, &[secret]).await.expect("stored");
    let intake = Intake::new(Arc::clone(&store), queue, cipher);
    let gateway = Gateway::new(&Config { body_timeout_seconds: 1 }, intake, stop.clone());
    World { gateway, store, stop, trigger, _dir: dir }
}

fn signed(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET).expect("any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

impl World {
    fn path(&self) -> String {
        format!("/hooks/{}/{}", self.trigger.slug, self.trigger.hook_token)
    }

    async fn send(&self, path: &str, headers: &[(&str, &str)], body: Body) -> (u16, Vec<u8>) {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body).expect("a request");
        let remote_addr: Option<SocketAddr> = "192.0.2.7:4711".parse().ok();
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        let response = self.gateway.routes().oneshot(request).await.expect("answered");
        let status = response.status().as_u16();
        (status, response.into_body().collect().await.expect("a body").to_bytes().to_vec())
    }

    async fn github(&self, delivery: &str, body: &str) -> (u16, Value) {
        let signature = signed(body.as_bytes());
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", "issue_comment"),
            ("x-github-delivery", delivery),
            ("x-hub-signature-256", signature.as_str()),
            ("authorization", "Basic aHVudGVyMg=="),
        ];
        let (status, body) = self.send(&self.path(), &headers, Body::from(body.to_owned())).await;
        (status, serde_json::from_slice(&body).expect("JSON"))
    }

    async fn listed(&self) -> Vec<(DeliveryOutcome, Option<DeliveryReason>)> {
        let page = PageRequest { size: 500, after: None };
        let deliveries = self.store.list_deliveries(&DeliveryFilter::default(), page).await.expect("listed").items;
        deliveries.into_iter().map(|delivery| (delivery.outcome, delivery.reason)).collect()
    }
}

#[tokio::test]
async fn a_signed_webhook_is_stored_before_its_answer_and_runs_once() {
    let world = world(Source::Github).await;
    let (status, first) = world.github("guid-1", &comment().to_string()).await;
    assert_eq!((status, &first["outcome"]), (200, &json!("queued")), "{first}");
    let (status, again) = world.github("guid-1", &comment().to_string()).await;
    assert_eq!((status, &again["outcome"], &again["run_id"]), (200, &json!("duplicate"), &first["run_id"]));
    let (_, other) = world.github("guid-2", &comment().to_string()).await;
    assert_eq!((&other["outcome"], &other["run_id"]), (&json!("coalesced"), &first["run_id"]));
    let (_, failed) = world.github("guid-3", "{}").await;
    assert_eq!(failed["outcome"], json!("queued"), "fields that are missing are no fault");
    assert_eq!(world.listed().await.len(), 4);
    let trigger = world.store.trigger(world.trigger.id).await.expect("read").expect("there");
    assert!(trigger.secrets[0].last_match_time.is_some(), "people see which secret is in use");
}

#[tokio::test]
async fn strangers_all_get_the_same_answer() {
    let world = world(Source::Github).await;
    let body = comment().to_string();
    let (good, bad) = (signed(body.as_bytes()), signed(b"another body"));
    let with = |signature: Option<&str>| -> Vec<(String, String)> {
        let mut headers =
            vec![("content-type".to_owned(), "application/json".to_owned()), ("x-github-event".to_owned(), "issue_comment".to_owned())];
        headers.extend(signature.map(|signature| ("x-hub-signature-256".to_owned(), signature.to_owned())));
        headers
    };
    let mut answers = Vec::new();
    for (path, signature) in [
        (world.path(), Some(bad.as_str())),
        (world.path(), None),
        (format!("/hooks/reviews/{}", "0".repeat(32)), Some(good.as_str())),
        ("/hooks/reviews/".to_owned() + "%FF", Some(good.as_str())),
        ("/hooks/reviews".to_owned(), Some(good.as_str())),
        (format!("/hooks/nobody/{}", world.trigger.hook_token), Some(good.as_str())),
    ] {
        let headers = with(signature);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        answers.push(world.send(&path, &headers, Body::from(body.clone())).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.0 == 401), "{answers:?}");
    let listed = world.listed().await;
    for reason in [DeliveryReason::SignatureMismatch, DeliveryReason::SignatureMissing, DeliveryReason::HookUnknown] {
        assert!(listed.contains(&(DeliveryOutcome::Rejected, Some(reason))), "{reason}: {listed:?}");
    }
    for _ in 0..30 {
        let (status, _) = world.send("/hooks/nobody/x", &[], Body::empty()).await;
        assert_eq!(status, 401);
    }
    assert!(world.listed().await.len() <= 6 + 10, "guesses do not fill the disk");
}

#[tokio::test]
async fn bad_input_has_an_exact_answer() {
    let world = world(Source::Linear).await;
    let sign = |body: &[u8]| signed(body).trim_start_matches("sha256=").to_owned();
    let json = ("content-type", "application/json");
    for (headers, body, status) in [
        (vec![json], "[1]", 400),
        (vec![json], "{", 400),
        (vec![("content-type", "text/plain")], "{}", 415),
        (vec![json, ("content-encoding", "gzip")], "{}", 415),
        (vec![json, ("content-encoding", "identity")], "{}", 200),
        (vec![json, ("content-length", "1048577"), ("expect", "100-continue")], "{}", 413),
    ] {
        let signature = sign(body.as_bytes());
        let headers: Vec<_> = headers.into_iter().chain([("linear-signature", signature.as_str())]).collect();
        let (got, answer) = world.send(&world.path(), &headers, Body::from(body)).await;
        assert_eq!(got, status, "{headers:?} {body}: {}", String::from_utf8_lossy(&answer));
    }
    let large = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(world.send(&world.path(), &[json], Body::from(large.clone())).await.0, 413);
    assert_eq!(world.send("/hooks/nobody/x", &[json], Body::from(large)).await.0, 401, "limits tell nothing of who is there");
    let long = "x".repeat(17_000);
    assert_eq!(world.send(&world.path(), &[("x-long", &long)], Body::empty()).await.0, 431);
    let silent = Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    assert_eq!(world.send(&world.path(), &[json], silent).await.0, 408);
    let get = Request::get(world.path()).body(Body::empty()).expect("a request");
    assert_eq!(world.gateway.routes().oneshot(get).await.expect("answered").status(), StatusCode::METHOD_NOT_ALLOWED);
    let reasons: Vec<_> = world.listed().await.into_iter().filter_map(|(_, reason)| reason).collect();
    for reason in [DeliveryReason::BodyUnparseable, DeliveryReason::MediaTypeRefused, DeliveryReason::BodyTooLarge] {
        assert!(reasons.contains(&reason), "{reason}: {reasons:?}");
    }

    world.stop.cancel();
    assert_eq!(world.send(&world.path(), &[json], Body::from("{}")).await.0, 503);
}

#[tokio::test]
async fn another_gateway_hands_on_what_it_received() {
    let world = world(Source::Github).await;
    let body = comment().to_string();
    let deliver = |slug: &str, signature: String| {
        let header = |name: &str, value: &str| v1::RawHeader { name: name.to_owned(), value: value.to_owned().into() };
        let headers = vec![
            header("Content-Type", "application/json"),
            header("X-GitHub-Event", "issue_comment"),
            header("X-GitHub-Delivery", "guid-1"),
            header("X-Hub-Signature-256", &signature),
        ];
        let request =
            v1::DeliverWebhookRequest { slug: slug.to_owned(), headers, body: body.clone().into(), remote_address: "192.0.2.9".to_owned() };
        world.gateway.deliver_webhook(tonic::Request::new(request))
    };
    let good = signed(body.as_bytes());
    let first = deliver("reviews", good.clone()).await.expect("taken").into_inner();
    assert_eq!((first.outcome(), first.reply.as_ref().map(|reply| reply.status)), (v1::DeliveryOutcome::Queued, Some(200)));
    let again = deliver("reviews", good.clone()).await.expect("taken").into_inner();
    assert_eq!(
        (again.outcome(), &again.run_id, &again.duplicate_of_delivery_id),
        (v1::DeliveryOutcome::Duplicate, &first.run_id, &first.delivery_id)
    );
    for (slug, signature, reason) in [
        ("reviews", "sha256=00".to_owned(), v1::DeliveryReason::SignatureMismatch),
        ("nobody", good.clone(), v1::DeliveryReason::HookUnknown),
    ] {
        let refused = deliver(slug, signature).await.expect("an answer").into_inner();
        assert_eq!((refused.outcome(), refused.reason()), (v1::DeliveryOutcome::Rejected, reason));
        assert_eq!(refused.reply.expect("a reply").status, 401);
    }
    let error = deliver("", good).await.expect_err("no slug");
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
}

#[test]
fn only_bodies_as_they_are_pass() {
    let ask = |value: &str| encoding(&[Header { name: "content-encoding".to_owned(), value: value.into() }]);
    for (value, told) in [("identity", None), (" Identity ", None), ("", None), ("gzip", Some("gzip")), ("BR, gzip", Some("br, gzip"))] {
        assert_eq!(ask(value).as_deref(), told, "{value}");
    }
    assert_eq!(encoding(&[]), None);
    assert!(ask(&"x".repeat(9000)).is_some_and(|told| told.len() == 40));
}
