//! Every source over its fixtures.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::signature::sign;
use super::*;
use crate::domain::{HmacAlgorithm, HmacEncoding};

const NOW: UnixMicros = UnixMicros(1_614_265_330_000_000);
const SECRETS: &[&[u8]] = &[b"the first secret", b"the second secret"];
const GITHUB: (&[u8], &[u8], &str) =
    (b"It's a Secret to Everybody", b"Hello, World!", "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
const STANDARD_SECRET: &[u8] = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const STANDARD_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/webhooks").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<Header> {
    pairs.into_iter().map(|(name, value)| Header { name: name.to_owned(), value: value.into() }).collect()
}

fn check(source: Source, pairs: &[(&str, &str)], body: &[u8], secrets: &[&[u8]]) -> Result<usize, DeliveryReason> {
    let headers = headers(pairs.iter().copied());
    verify(source, None, &Raw { headers: &headers, body, now: NOW }, secrets).map_err(|refusal| refusal.reason)
}

#[test]
fn every_fixture_is_read_as_its_case_says() {
    let cases: Json = serde_json::from_slice(&fixture("cases.json")).expect("cases");
    for case in cases.as_array().expect("a list") {
        let file = case.text("file");
        let source: Source = case.text("source").parse().expect("a source");
        let body = fixture(&file);
        let sent = case["headers"].as_object().expect("headers");
        let headers = headers(sent.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("text"))));
        let now = UnixMicros(case["now_ms"].as_i64().unwrap_or(0) * 1000);
        let raw = Raw { headers: &headers, body: &body, now };
        let payload = parse(source, &raw).unwrap_or_else(|refusal| panic!("{file}: {refusal:?}"));
        let reading = read(source, None, &raw, &payload).unwrap_or_else(|refusal| panic!("{file}: {refusal:?}"));
        let event = &reading.event;
        let actor = json!([event.actor.id, event.actor.login, event.actor.kind.as_str()]);
        let read = json!({
            "delivery_id": reading.delivery_id, "hello": reading.hello, "kind": event.kind, "action": event.action, "actor": actor,
            "thread_key": event.thread_key, "title": event.title, "url": event.url, "text": event.text,
        });
        for (field, expected) in case["expect"].as_object().expect("expectations") {
            assert_eq!(&read[field], expected, "{file}: {field}");
        }
        assert_eq!(reading.hello, case["expect"]["hello"] == json!(true), "{file}");
    }
}

#[test]
fn built_in_samples_parse_and_belong_to_one_thread() {
    for info in sources() {
        for sample in info.samples {
            let headers = headers(sample.headers.iter().copied());
            let raw = Raw { headers: &headers, body: sample.body.as_bytes(), now: NOW };
            let payload = object(raw.body).unwrap_or_else(|refusal| panic!("{:?} {}: {refusal:?}", info.source, sample.name));
            let reading = read(info.source, None, &raw, &payload).unwrap_or_else(|refusal| panic!("{} {refusal:?}", sample.name));
            assert!(reading.event.thread_key.is_some(), "{:?} {}", info.source, sample.name);
            assert!(!reading.event.kind.is_empty() && !reading.hello, "{:?} {}", info.source, sample.name);
            if info.source == Source::Github {
                assert_eq!(reading.event.thread_key.as_deref(), Some("acme/shop#412"), "{}", sample.name);
                assert_eq!((reading.event.actor.login.as_str(), reading.event.title.as_str()), ("maria", "Add retry to checkout"));
            }
        }
    }
    let slow = SourceInfo::of(Source::Github).samples.iter().find(|sample| sample.name == "slow").expect("slow");
    assert!(slow.body.contains("[[slow: 30]]"));
    assert_eq!(sources().len(), Source::ALL.len());
}

#[test]
fn published_vectors_pass_and_no_change_of_them_does() {
    let (secret, body, hex) = GITHUB;
    let header = format!("sha256={hex}");
    let github = |value: &str, body: &[u8]| check(Source::Github, &[("x-hub-signature-256", value)], body, &[secret]);
    assert_eq!(github(&header, body), Ok(0));
    assert_eq!(github(&format!("sha256={}", hex.to_uppercase()), body), Ok(0));
    let wrong = [
        hex.to_owned(),
        format!("sha1={hex}"),
        format!("sha256={}", &hex[..62]),
        format!("sha256={hex}00"),
        "sha256=".to_owned(),
        String::new(),
        "sha256=é".to_owned(),
        format!("sha256={}", "0".repeat(4096)),
    ];
    for value in &wrong {
        assert_eq!(github(value, body), Err(DeliveryReason::SignatureMismatch), "{value:.80}");
    }
    assert_eq!(check(Source::Github, &[], body, &[secret]), Err(DeliveryReason::SignatureMissing));
    assert_eq!(check(Source::Github, &[("x-hub-signature", &header)], body, &[secret]), Err(DeliveryReason::SignatureMissing));
    for bit in 0..hex.len() * 4 {
        let mut tag = hex::decode(hex).expect("hex");
        tag[bit / 8] ^= 1 << (bit % 8);
        assert!(github(&format!("sha256={}", hex::encode(tag)), body).is_err(), "bit {bit}");
    }
    for bit in 0..body.len() * 8 {
        let mut changed = body.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(github(&header, &changed).is_err(), "bit {bit}");
    }
}

#[test]
fn either_of_two_secrets_passes_and_is_told_apart() {
    let body = br#"{"a":1}"#;
    for (source, header) in [(Source::Linear, "linear-signature"), (Source::Clickup, "x-signature"), (Source::GenericHmac, "x-signature")] {
        for (place, secret) in SECRETS.iter().enumerate() {
            let hex = hex::encode(sign(HmacAlgorithm::Sha256, secret, &[body]));
            assert_eq!(check(source, &[(header, &hex)], body, SECRETS), Ok(place), "{source}");
            assert_eq!(check(source, &[(header, &hex.to_uppercase())], body, SECRETS), Ok(place), "{source}");
            assert_eq!(check(source, &[(header, &hex)], body, &[b"another"]), Err(DeliveryReason::SignatureMismatch), "{source}");
            assert_eq!(check(source, &[(header, &hex)], body, &[]), Err(DeliveryReason::SignatureMismatch), "{source}");
            let prefixed = format!("sha256={hex}");
            assert_eq!(check(source, &[(header, &prefixed)], body, SECRETS), Err(DeliveryReason::SignatureMismatch), "{source}");
        }
        assert_eq!(check(source, &[], body, SECRETS), Err(DeliveryReason::SignatureMissing), "{source}");
    }
    assert_eq!(check(Source::Manual, &[("x-signature", "00")], body, SECRETS), Err(DeliveryReason::HookUnknown));
}

#[test]
fn standard_webhooks_follow_the_specification() {
    let body = fixture("standard/message.json");
    let with = |signature: &str, time: &str, secrets: &[&[u8]]| {
        let headers = [("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("webhook-timestamp", time), ("webhook-signature", signature)];
        check(Source::StandardWebhooks, &headers, &body, secrets)
    };
    let good = "1614265330";
    assert_eq!(with(STANDARD_SIGNATURE, good, &[STANDARD_SECRET]), Ok(0));
    assert_eq!(with(STANDARD_SIGNATURE, good, &[b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]), Ok(0), "without the prefix");
    assert_eq!(with(STANDARD_SIGNATURE, good, &[b"whsec_AAAA", STANDARD_SECRET]), Ok(1));
    let several = format!(
        "v1,AAAA v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== {STANDARD_SIGNATURE}"
    );
    assert_eq!(with(&several, good, &[STANDARD_SECRET]), Ok(0), "any of several");
    let asymmetric = STANDARD_SIGNATURE.replace("v1,", "v1a,");
    assert_eq!(with(&asymmetric, good, &[STANDARD_SECRET]), Err(DeliveryReason::SignatureMismatch));
    assert_eq!(with("", good, &[STANDARD_SECRET]), Err(DeliveryReason::SignatureMismatch));
    assert_eq!(with(STANDARD_SIGNATURE, "1614265331", &[STANDARD_SECRET]), Err(DeliveryReason::SignatureMismatch));
    for missing in 0..3 {
        let mut headers =
            vec![("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"), ("webhook-timestamp", good), ("webhook-signature", STANDARD_SIGNATURE)];
        headers.remove(missing);
        assert_eq!(
            check(Source::StandardWebhooks, &headers, &body, &[STANDARD_SECRET]),
            Err(DeliveryReason::SignatureMissing),
            "{missing}"
        );
    }
}

#[test]
fn a_signed_time_must_be_near() {
    let body = b"{}";
    for (seconds, verdict) in [(-301, false), (-299, true), (0, true), (299, true), (301, false)] {
        let time = (NOW.0 / 1_000_000 + seconds).to_string();
        let tag = sign(HmacAlgorithm::Sha256, b"plain secret!", &[b"m1.", time.as_bytes(), b".", body]);
        let signature = format!("v1,{}", STANDARD.encode(tag));
        let headers = [("webhook-id", "m1"), ("webhook-timestamp", time.as_str()), ("webhook-signature", signature.as_str())];
        let expected = if verdict { Ok(0) } else { Err(DeliveryReason::TimestampStale) };
        assert_eq!(check(Source::StandardWebhooks, &headers, body, &[b"plain secret!"]), expected, "{seconds}");

        let payload = json!({ "type": "Issue", "data": { "id": "i" }, "webhookTimestamp": NOW.0 / 1000 + seconds * 1000 });
        let stale = read(Source::Linear, None, &Raw { headers: &[], body, now: NOW }, &payload).map_err(|refusal| refusal.reason);
        assert_eq!(stale.map(|_| 0), expected, "{seconds}");
    }
}

#[test]
fn a_profile_says_how_a_generic_sender_signs() {
    let body = br#"{"n":1}"#;
    let profile = HmacProfile {
        header: "X-Acme-Signature".into(),
        algorithm: HmacAlgorithm::Sha512,
        encoding: HmacEncoding::Base64,
        prefix: "v1=".into(),
        signed_template: "v0:{timestamp}:{id}:{body}!".into(),
        timestamp_header: "X-Acme-Time".into(),
        tolerance: Duration::from_secs(10),
        id_header: "X-Acme-Id".into(),
    };
    let time = (NOW.0 / 1_000_000 - 9).to_string();
    let tag = STANDARD.encode(sign(HmacAlgorithm::Sha512, b"s", &[b"v0:", time.as_bytes(), b":id-7:", body, b"!"]));
    let ask = |signature: &str, time: &str, id: &str| {
        let headers = headers([("x-acme-signature", signature), ("x-acme-time", time), ("x-acme-id", id)]);
        let raw = Raw { headers: &headers, body, now: NOW };
        verify(Source::GenericHmac, Some(&profile), &raw, &[b"s"]).map_err(|refusal| refusal.reason)
    };
    assert_eq!(ask(&format!("v1={tag}"), &time, "id-7"), Ok(0));
    assert_eq!(ask(&tag, &time, "id-7"), Ok(0), "the prefix may be absent");
    assert_eq!(ask(&format!("v1=AAAA,v1={tag}"), &time, "id-7"), Ok(0), "a list");
    assert_eq!(ask(&format!("v1={tag}"), &time, "id-8"), Err(DeliveryReason::SignatureMismatch));
    assert_eq!(ask(&format!("v1={tag}"), "soon", "id-7"), Err(DeliveryReason::SignatureMismatch));
    let late = (NOW.0 / 1_000_000 - 11).to_string();
    let tag = STANDARD.encode(sign(HmacAlgorithm::Sha512, b"s", &[b"v0:", late.as_bytes(), b":id-7:", body, b"!"]));
    assert_eq!(ask(&tag, &late, "id-7"), Err(DeliveryReason::TimestampStale));

    let headers = headers([("x-acme-id", "id-7")]);
    let reading = read(Source::GenericHmac, Some(&profile), &Raw { headers: &headers, body, now: NOW }, &json!({ "type": "t" }));
    assert_eq!(reading.expect("reads").delivery_id, "id-7");
}

#[test]
fn github_sends_json_or_a_form() {
    let json = fixture("github/issue_comment.created.json");
    let encoded: String = json
        .iter()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b'a'..=b'z' | b'0'..=b'9' => char::from(*byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let form = |body: String| {
        let headers = headers([("content-type", "application/x-www-form-urlencoded")]);
        parse(Source::Github, &Raw { headers: &headers, body: body.as_bytes(), now: NOW }).map_err(|refusal| refusal.reason)
    };
    let plain = object(&json).expect("JSON");
    assert_eq!(form(format!("payload={encoded}")), Ok(plain.clone()));
    assert_eq!(form(format!("a=b&payload={encoded}&c=")), Ok(plain));
    assert_eq!(form("payload={}".into()), Ok(json!({})));
    for body in ["", "a=b", "payload=%7", "payload=%zz", "payload=%7B", "payload=%FF%FE"] {
        assert_eq!(form(body.into()), Err(DeliveryReason::BodyUnparseable), "{body}");
    }
}

#[test]
fn only_json_objects_are_taken() {
    let ask = |source, media_type: Option<&str>, body: &[u8]| {
        let headers = headers(media_type.map(|value| ("content-type", value)));
        parse(source, &Raw { headers: &headers, body, now: NOW }).map(|_| ()).map_err(|refusal| refusal.reason)
    };
    let (json, unparseable, refused) =
        (Some("application/json"), Err(DeliveryReason::BodyUnparseable), Err(DeliveryReason::MediaTypeRefused));
    let deep = |levels: usize, open: &str, close: &str| format!("{{\"a\":{}1{}}}", open.repeat(levels), close.repeat(levels)).into_bytes();
    let bodies: [(&[u8], bool); 16] = [
        (b"{}", true),
        (br#" {"a":[1,{"b":null}]} "#, true),
        (&deep(63, "[", "]"), true),
        (&deep(63, "{\"b\":", "}"), true),
        (&deep(64, "[", "]"), false),
        (&deep(100_000, "[", "]"), false),
        (&deep(100_000, "{\"b\":", "}"), false),
        (b"[1]", false),
        (b"\"text\"", false),
        (b"null", false),
        (b"", false),
        (br#"{"a":1"#, false),
        (br#"{"a":1}}"#, false),
        (b"{\"a\":\"\xff\xfe\"}", false),
        (b"\xef\xbb\xbf{}", false),
        (br#"{'a':1}"#, false),
    ];
    for (body, taken) in bodies {
        let told = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert_eq!(ask(Source::Github, json, body), if taken { Ok(()) } else { unparseable }, "{told}");
    }
    for source in [Source::Github, Source::Linear, Source::Clickup, Source::StandardWebhooks, Source::GenericHmac] {
        assert_eq!(ask(source, Some("Application/JSON; charset=utf-8"), b"{}"), Ok(()), "{source}");
        assert_eq!(ask(source, Some("application/vnd.acme+json"), b"{}"), Ok(()), "{source}");
        assert_eq!(ask(source, Some("text/plain"), b"{}"), refused, "{source}");
        assert_eq!(ask(source, Some("multipart/form-data; boundary=x"), b"{}"), refused, "{source}");
        assert_eq!(ask(source, None, b"{}"), if source == Source::GenericHmac { Ok(()) } else { refused }, "{source}");
        if source != Source::Github {
            assert_eq!(ask(source, Some("application/x-www-form-urlencoded"), b"payload={}"), refused, "{source}");
        }
    }
}

#[test]
fn a_captured_github_body_cannot_pass_as_another_event() {
    let body = fixture("github/issue_comment.created.json");
    let payload = object(&body).expect("JSON");
    let ask = |kind: Option<&str>| {
        let headers = headers(kind.map(|kind| ("x-github-event", kind)));
        read(Source::Github, None, &Raw { headers: &headers, body: &body, now: NOW }, &payload)
            .map(|_| ())
            .map_err(|refusal| refusal.reason)
    };
    assert_eq!(ask(Some("issue_comment")), Ok(()));
    for kind in ["pull_request", "push", "ping", "release", "check_run"] {
        assert_eq!(ask(Some(kind)), Err(DeliveryReason::BodyUnparseable), "{kind}");
    }
    assert_eq!(ask(None), Err(DeliveryReason::BodyUnparseable));
}

#[test]
fn what_a_sender_may_make_long_is_cut_between_characters() {
    let payload =
        json!({ "type": "é".repeat(100), "title": "a\u{0}b", "text": "ü".repeat(70_000), "thread_key": 9_007_199_254_740_993_i64 });
    let reading = read(Source::Manual, None, &Raw { headers: &[], body: b"", now: NOW }, &payload).expect("reads");
    assert_eq!((reading.event.kind.len(), reading.event.title.as_str(), reading.event.text.len()), (128, "ab", 64 * 1024));
    assert_eq!(reading.event.thread_key.as_deref(), Some("9007199254740993"));
}
