//! The dashboard as browsers get it, and whose pages may call.

use bytes::Bytes;
use http::HeaderMap;

use crate::support::hook::request;
use crate::support::server::{KEY, Server, Setup};

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The gRPC status of an empty ListRuns as a browser sends it, in the headers or behind the message.
async fn grpc_status(server: &Server, origin: &str) -> String {
    let url = format!("{}/reprise.v1.RunService/ListRuns", server.url);
    let key = format!("Bearer {KEY}");
    let headers = [("content-type", "application/grpc-web+proto"), ("authorization", key.as_str()), ("origin", origin)];
    let answer = request("POST", &url, &headers, Bytes::from_static(&[0, 0, 0, 0, 0])).await.expect("answered");
    let trailers = String::from_utf8_lossy(&answer.body).into_owned();
    let behind = trailers.rsplit_once("grpc-status:").map(|(_, rest)| rest.lines().next().unwrap_or_default().trim().to_owned());
    behind.unwrap_or_else(|| header(&answer.headers, "grpc-status").to_owned())
}

#[tokio::test]
async fn the_first_page_needs_no_key_and_lets_nothing_foreign_in() {
    let server = Setup::fake().start();
    let html = [("accept", "text/html"), ("accept-encoding", "gzip")];
    for path in ["/", "/runs/run_01h455vb4pex5vsknk084sn02q"] {
        let answer = request("GET", &format!("{}{path}", server.url), &html, "").await.expect("answered");
        assert_eq!(answer.status, 200, "{path}");
        assert!(header(&answer.headers, "content-type").starts_with("text/html"), "{:?}", answer.headers);
        assert_eq!(header(&answer.headers, "content-encoding"), "gzip");
        let policy = header(&answer.headers, "content-security-policy");
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"] {
            assert!(policy.contains(rule), "{policy}");
        }
        assert_eq!(header(&answer.headers, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer.headers, "referrer-policy"), "no-referrer");
    }
    for (method, path) in [("GET", "/assets/nothing.js"), ("GET", "/..%2fCargo.toml"), ("POST", "/runs")] {
        assert_eq!(request(method, &format!("{}{path}", server.url), &html, "").await.expect("answered").status, 404, "{path}");
    }
    // Whether the dashboard was built is not this test's business: one says what it is, the other what to do.
    let page = request("GET", &server.url, &[], "").await.expect("answered");
    let text = String::from_utf8_lossy(&page.body).into_owned();
    assert!(text.contains("make dashboard") || text.contains("<script"), "{text}");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_also_with_a_key() {
    let server = Setup::fake().with("[server]\ncors_origins = [\"https://ops.example\"]").start();
    assert_eq!(grpc_status(&server, &server.url).await, "0");
    assert_eq!(grpc_status(&server, "https://ops.example").await, "0");
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(grpc_status(&server, origin).await, "7", "{origin}");
    }
}
