//! The front door: what is answered to whom, what is stored, and that bad input breaks nothing.

use reprise::proto::v1;

use crate::support::client::Client;
use crate::support::hook::{self, github_signature, request};
use crate::support::server::{Server, Setup};

async fn world() -> (Server, Client, String, String) {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let (url, secret) = client.github_trigger("reviews", |_| {}).await;
    (server, client, url, secret)
}

async fn deliveries(client: &mut Client) -> Vec<v1::Delivery> {
    client
        .triggers
        .list_deliveries(v1::ListDeliveriesRequest { page_size: 100, ..Default::default() })
        .await
        .expect("listed")
        .into_inner()
        .deliveries
}

async fn post(url: &str, secret: &str, content_type: &str, body: &[u8]) -> hook::Answer {
    let signature = github_signature(secret, body);
    let headers = [
        ("content-type", content_type),
        ("x-github-event", "issue_comment"),
        ("x-github-delivery", "bad-input"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    request("POST", url, &headers, body.to_vec()).await.expect("answered")
}

#[tokio::test]
async fn bad_input_has_an_exact_answer_and_harms_nothing() {
    let (server, mut client, url, secret) = world().await;
    let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let cases: Vec<(&str, &str, Vec<u8>, u16)> = vec![
        ("array", "application/json", b"[1,2]".to_vec(), 400),
        ("truncated", "application/json", b"{\"action\": \"cre".to_vec(), 400),
        ("empty", "application/json", b"".to_vec(), 400),
        ("deep", "application/json", deep.into_bytes(), 400),
        ("not UTF-8", "application/json", b"{\"a\": \"\xff\xfe\"}".to_vec(), 400),
        ("form without payload", "application/x-www-form-urlencoded", b"a=b".to_vec(), 400),
        ("wrong type", "text/plain", b"{}".to_vec(), 415),
        ("multipart", "multipart/form-data; boundary=x", b"--x--".to_vec(), 415),
    ];
    for (name, content_type, body, status) in cases {
        let answer = post(&url, &secret, content_type, &body).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
    }
    let answer = post(&url, &secret, "application/json", b"{}").await;
    assert_eq!(answer.status, 200, "missing fields are no crime: {answer:?}");
    // Too large by its own word, and too large without one.
    let headers = [("content-type", "application/json"), ("content-length", "99999999")];
    assert_eq!(request("POST", &url, &headers, "").await.map(|answer| answer.status).unwrap_or(413), 413);
    let huge = vec![b' '; 26 * 1024 * 1024];
    assert_eq!(post(&url, &secret, "application/json", &huge).await.status, 413);
    let long = "x".repeat(20_000);
    let status = request("POST", &url, &[("x-long", long.as_str())], "{}").await.map(|answer| answer.status).unwrap_or(431);
    assert_eq!(status, 431);
    assert_eq!(request("GET", &url, &[], "").await.expect("answered").status, 405);

    let listed = deliveries(&mut client).await;
    let rejected: Vec<_> = listed.iter().filter(|delivery| delivery.outcome() == v1::DeliveryOutcome::Rejected).collect();
    assert!(rejected.iter().any(|delivery| delivery.reason() == v1::DeliveryReason::BodyUnparseable));
    assert!(rejected.iter().any(|delivery| delivery.reason() == v1::DeliveryReason::MediaTypeRefused));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn a_stranger_learns_nothing() {
    let (server, mut client, url, secret) = world().await;
    let body = hook::comment(1, "hello").to_string();
    let good = github_signature(&secret, body.as_bytes());
    let bad = github_signature("another secret", body.as_bytes());
    let token = url.rsplit('/').next().expect("a token").to_owned();
    let other_token = format!("{}/hooks/reviews/{}", server.url, "0".repeat(token.len()));
    let unknown = format!("{}/hooks/nobody/{token}", server.url);
    let with = |signature: &str| {
        vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-github-event".to_owned(), "issue_comment".to_owned()),
            ("x-hub-signature-256".to_owned(), signature.to_owned()),
        ]
    };
    let mut answers = Vec::new();
    for (target, headers) in [
        (&url, with(&bad)),
        (&url, with("sha256=zz")),
        (&other_token, with(&good)),
        (&unknown, with(&good)),
        (&url, vec![("content-type".to_owned(), "application/json".to_owned())]),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = request("POST", target, &headers, body.clone()).await.expect("answered");
        assert_eq!(answer.status, 401);
        answers.push(answer.body);
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "the same bytes for all");
    let reasons: Vec<_> = deliveries(&mut client).await.iter().map(v1::Delivery::reason).collect();
    for reason in [v1::DeliveryReason::SignatureMismatch, v1::DeliveryReason::SignatureMissing, v1::DeliveryReason::HookUnknown] {
        assert!(reasons.contains(&reason), "{reason:?} is listed for the operator: {reasons:?}");
    }
    for secret_text in [token.as_str(), secret.as_str()] {
        assert!(!server.log().contains(secret_text), "no secret in the log");
    }
}

#[tokio::test]
async fn loops_and_repeats_start_nothing() {
    let (_server, mut client, url, secret) = world().await;
    let update = v1::Trigger {
        id: "reviews".to_owned(),
        author_rule: Some(v1::AuthorRule {
            own_identities: vec!["acme-bot".to_owned()],
            allowed_bots: vec!["renovate[bot]".to_owned()],
            ..Default::default()
        }),
        filter_expression: Some("event.kind == 'issue_comment' && payload.action == 'created'".to_owned()),
        ..Default::default()
    };
    client.triggers.update_trigger(v1::UpdateTriggerRequest { trigger: Some(update), ..Default::default() }).await.expect("updated");

    let by = |login: &str, kind: &str| {
        let mut payload = hook::comment(7, "hello");
        payload["sender"] = serde_json::json!({"login": login, "id": 99, "type": kind});
        payload
    };
    let mut edited = hook::comment(7, "hello");
    edited["action"] = "edited".into();
    let cases = [
        ("own", by("acme-bot", "User"), "self_authored"),
        ("bot", by("dependabot[bot]", "Bot"), "filtered"),
        ("listed", by("renovate[bot]", "Bot"), "queued"),
        ("edit", edited, "filtered"),
        ("listed", by("renovate[bot]", "Bot"), "duplicate"),
    ];
    for (delivery, payload, outcome) in cases {
        let answer = hook::github(&url, &secret, "issue_comment", delivery, &payload).await.expect("answered");
        assert_eq!((answer.status, answer.outcome().as_str()), (200, outcome), "{delivery}: {answer:?}");
    }
    let ping = hook::github(&url, &secret, "ping", "ping-1", &serde_json::json!({"zen": "Keep it logically awesome.", "hook_id": 1}))
        .await
        .expect("answered");
    assert_eq!((ping.status, ping.outcome().as_str()), (200, "handshake"));
    // A rule that fails on a payload keeps the delivery, with the reason.
    let answer = hook::github(&url, &secret, "push", "push-1", &serde_json::json!({"repository": {"full_name": "acme/shop"}, "ref": "refs/heads/main", "sender": {"login": "maria", "type": "User"}})).await.expect("answered");
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "filtered"), "short-circuit: {answer:?}");
    let update =
        v1::Trigger { id: "reviews".to_owned(), filter_expression: Some("payload.nothing.here == 1".to_owned()), ..Default::default() };
    client.triggers.update_trigger(v1::UpdateTriggerRequest { trigger: Some(update), ..Default::default() }).await.expect("updated");
    let answer = hook::github(&url, &secret, "issue_comment", "fails", &hook::comment(7, "x")).await.expect("answered");
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "rejected"));
    let failed = deliveries(&mut client).await.into_iter().find(|delivery| delivery.provider_delivery_id == "fails").expect("kept");
    assert_eq!(failed.reason(), v1::DeliveryReason::FilterFailed);
    assert!(failed.message.contains("nothing"), "{}", failed.message);
    // Corrected, the deliberate redelivery of the failed one runs.
    let update = v1::Trigger { id: "reviews".to_owned(), filter_expression: Some(String::new()), ..Default::default() };
    client.triggers.update_trigger(v1::UpdateTriggerRequest { trigger: Some(update), ..Default::default() }).await.expect("updated");
    let again = hook::github(&url, &secret, "issue_comment", "fails", &hook::comment(7, "x")).await.expect("answered");
    assert_eq!(again.outcome(), "queued", "{again:?}");
    assert_eq!(client.ended(&again.run_id()).await.state(), v1::RunState::Succeeded);
}

#[tokio::test]
async fn both_content_types_of_github_work_and_a_rotated_secret_overlaps() {
    let (_server, mut client, url, secret) = world().await;
    let json = hook::comment(9, "as a form").to_string();
    let mut form = String::from("payload=");
    for byte in json.bytes() {
        form.push_str(&format!("%{byte:02X}"));
    }
    let answer = post(&url, &secret, "application/x-www-form-urlencoded", form.as_bytes()).await;
    assert_eq!((answer.status, answer.outcome().as_str()), (200, "queued"), "{answer:?}");

    let rotate = v1::RotateTriggerSecretRequest { trigger_id: "reviews".to_owned(), ..Default::default() };
    let new = client.triggers.rotate_trigger_secret(rotate.clone()).await.expect("rotated").into_inner().secret;
    for (n, secret) in [&secret, &new].into_iter().enumerate() {
        let answer = hook::github(&url, secret, "issue_comment", &format!("rotated-{n}"), &hook::comment(9, "x")).await.expect("answered");
        assert_eq!(answer.status, 200, "both count");
    }
    let third = client.triggers.rotate_trigger_secret(rotate).await.expect_err("two are active");
    assert_eq!(third.code(), tonic::Code::FailedPrecondition);
    let end = v1::RotateTriggerSecretRequest {
        trigger_id: "reviews".to_owned(),
        overlap: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let last = client.triggers.rotate_trigger_secret(end).await.expect("rotated").into_inner().secret;
    for (n, (secret, status)) in [(&secret, 401), (&new, 401), (&last, 200)].into_iter().enumerate() {
        let answer = hook::github(&url, secret, "issue_comment", &format!("last-{n}"), &hook::comment(9, "x")).await.expect("answered");
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn linear_clickup_standard_and_generic_senders_work() {
    let server = Setup::fake().start();
    let mut client = Client::connect(&server).await;
    let action = || Some(v1::trigger::Action::Prompt(v1::PromptAction { template: "Look into it.".to_owned(), follow_up_template: None }));
    let mut made = Vec::new();
    for (slug, source, secret) in [
        ("linear", v1::Source::Linear, "lin_wh_0123456789"),
        ("clickup", v1::Source::Clickup, "CLICKUPSECRET0123"),
        ("generic", v1::Source::GenericHmac, "generic-secret"),
    ] {
        let trigger = v1::Trigger {
            slug: slug.to_owned(),
            source: source.into(),
            resume_sessions: Some(true),
            hmac: (source == v1::Source::GenericHmac).then(|| v1::HmacProfile { header: Some("x-sig".to_owned()), ..Default::default() }),
            thread_key_expression: (source == v1::Source::GenericHmac).then(|| "payload.ticket".to_owned()),
            action: action(),
            ..Default::default()
        };
        let request = v1::CreateTriggerRequest { trigger: Some(trigger), secret: Some(secret.to_owned()), ..Default::default() };
        let response = client.triggers.create_trigger(request).await.expect("created").into_inner();
        assert!(response.secret.is_empty(), "a given secret is not given back");
        made.push((response.trigger.expect("a trigger").webhook_url, secret));
    }
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let bodies = [
        serde_json::json!({"action": "create", "type": "Comment", "webhookTimestamp": now_ms, "actor": {"id": "u1", "name": "Maria", "type": "user"},
            "data": {"id": "c1", "body": "Please look", "issueId": "issue-1", "issue": {"id": "issue-1", "identifier": "ENG-7", "title": "Checkout fails"}}}),
        serde_json::json!({"event": "taskCommentPosted", "webhook_id": "wh1", "task_id": "abc", "history_items": [{"id": "h1", "user": {"id": 5, "username": "maria"}, "comment": {"text_content": "Please look"}}]}),
        serde_json::json!({"ticket": 42, "text": "Please look"}),
    ];
    let headers = ["linear-signature", "x-signature", "x-sig"];
    for (((url, secret), body), header) in made.iter().zip(&bodies).zip(headers) {
        let body = body.to_string();
        let signature = github_signature(secret, body.as_bytes()).replace("sha256=", "");
        let headers = [("content-type", "application/json"), (header, signature.as_str())];
        let answer = request("POST", url, &headers, body.clone()).await.expect("answered");
        assert_eq!((answer.status, answer.outcome().as_str()), (200, "queued"), "{url}: {answer:?}");
        let again = request("POST", url, &headers, body).await.expect("answered");
        assert_eq!(again.outcome(), "duplicate", "{url}: the same delivery again");
    }
    let keys: Vec<String> = client
        .sessions
        .list_sessions(v1::ListSessionsRequest::default())
        .await
        .expect("listed")
        .into_inner()
        .sessions
        .into_iter()
        .map(|session| session.thread_key)
        .collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    assert!(
        keys.iter().any(|key| key.contains("issue-1")) && keys.iter().any(|key| key.contains("abc")) && keys.contains(&"42".to_owned()),
        "{keys:?}"
    );
}
