//! Senders: signed webhooks over plain HTTP/1.1.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpStream;

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The outcome it names.
    pub(crate) fn outcome(&self) -> String {
        self.json()["outcome"].as_str().unwrap_or_default().to_owned()
    }

    /// The run it names.
    pub(crate) fn run_id(&self) -> String {
        self.json()["run_id"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request on a connection of its own. Errors are told, since a killed server is part of some tests.
pub(crate) async fn request(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Result<Answer, String> {
    let uri: http::Uri = url.parse().map_err(|e| format!("{e}"))?;
    let authority = uri.authority().ok_or("no authority")?.to_string();
    let tcp = TcpStream::connect(&authority).await.map_err(|e| e.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    let driving = tokio::spawn(connection);
    let mut builder = Request::builder().method(method).uri(uri.path_and_query().map_or("/", |p| p.as_str())).header("host", authority);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let request = builder.body(Full::new(body.into())).map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|e| e.to_string())?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
    driving.abort();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// GitHub's signature of a body.
pub(crate) fn github_signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// A comment on a pull request, as GitHub sends it (the parts that are read).
pub(crate) fn comment(number: i64, text: &str) -> Value {
    json!({
        "action": "created",
        "issue": {"number": number, "title": "Add retry to checkout", "html_url": format!("https://github.com/acme/shop/pull/{number}"),
                  "pull_request": {"url": format!("https://api.github.com/repos/acme/shop/pulls/{number}")}},
        "comment": {"id": 1, "body": text, "html_url": format!("https://github.com/acme/shop/pull/{number}#issuecomment-1")},
        "repository": {"id": 1296269, "full_name": "acme/shop"},
        "sender": {"login": "maria", "id": 7, "type": "User"},
    })
}

/// Sends one signed GitHub webhook.
pub(crate) async fn github(url: &str, secret: &str, event: &str, delivery: &str, payload: &Value) -> Result<Answer, String> {
    let body = payload.to_string();
    let signature = github_signature(secret, body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", event),
        ("x-github-delivery", delivery),
        ("x-hub-signature-256", signature.as_str()),
    ];
    request("POST", url, &headers, body).await
}
