//! The dashboard, a web application: a release build carries its files, a debug build reads them from disk. They are open to
//! all; what they show needs a key.

use std::borrow::Cow;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

/// What `make dashboard` builds. Without it the server works all the same, and says what to do.
#[derive(RustEmbed)]
#[folder = "clients/dashboard/dist"]
#[allow_missing = true]
struct Files;

/// The page of a server whose dashboard was not built.
const MISSING: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Reprise</title>\n<h1>Reprise is up</h1>\n\
    <p>Its dashboard is not built. Run <code>make dashboard</code>, build and start the server again, then load this page anew.</p>\n\
    <p>Until then: <code>reprise run watch --last</code>, or <code>grpcurl</code> with the same rpcs.</p>\n</html>\n";

/// Scripts, styles and calls of our own origin alone, and no way into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The names of these files change with their content.
const HASHED: &str = "assets/";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const INDEX: &str = "index.html";

/// A file of the dashboard.
struct File {
    content: Cow<'static, [u8]>,
    media_type: String,
    tag: String,
}

/// The file of this path.
fn file(path: &str) -> Option<File> {
    let found = Files::get(path)?;
    let media_type = found.metadata.mimetype();
    let charset = if media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
    let hash = found.metadata.sha256_hash();
    // Weak: the same content may travel compressed or not.
    let tag = format!("W/\"{}\"", hash[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    Some(File { media_type: format!("{media_type}{charset}"), tag, content: found.data })
}

/// What the dashboard has at the path of a request: a file, its first page for addresses within it, or nothing.
pub(super) fn serve(request: &Request) -> Response {
    let mut response = find(request, file);
    let headers = response.headers_mut();
    for (name, value) in
        [(header::CONTENT_SECURITY_POLICY, POLICY), (header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::REFERRER_POLICY, "no-referrer")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn find(request: &Request, file: impl Fn(&str) -> Option<File>) -> Response {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return nothing_here();
    }
    let path = request.uri().path().trim_start_matches('/');
    if let Some(found) = Some(path).filter(|path| !path.is_empty()).and_then(&file) {
        return send(request, path, found);
    }
    if !is_navigation(path, request.headers()) {
        return nothing_here();
    }
    match file(INDEX) {
        Some(index) => send(request, INDEX, index),
        None => ([(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")], MISSING).into_response(),
    }
}

/// Whether a person's browser asks for a page; the application knows its own addresses. The first one is for everybody.
fn is_navigation(path: &str, headers: &HeaderMap) -> bool {
    let html = || headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|accept| accept.contains("text/html")));
    path.is_empty() || (!path.contains('.') && html())
}

fn send(request: &Request, path: &str, file: File) -> Response {
    let cache = if path.starts_with(HASHED) { FOR_EVER } else { "no-cache" };
    let headers = [(header::CACHE_CONTROL, cache.to_owned()), (header::ETAG, file.tag.clone())];
    let known =
        |value: &HeaderValue| value.to_str().is_ok_and(|tags| tags.split(',').any(|tag| [file.tag.as_str(), "*"].contains(&tag.trim())));
    if request.headers().get_all(header::IF_NONE_MATCH).iter().any(known) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let described = [(header::CONTENT_TYPE, file.media_type), (header::CONTENT_LENGTH, file.content.len().to_string())];
    let body = if request.method() == Method::HEAD { Body::empty() } else { Body::from(file.content.into_owned()) };
    (headers, described, body).into_response()
}

fn nothing_here() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(path: &str) -> Option<File> {
        let content = match path {
            "index.html" => "<!doctype html>the page",
            "assets/index-3f9a.js" => "script",
            "favicon.svg" => "<svg/>",
            _ => return None,
        };
        Some(File { content: content.as_bytes().into(), media_type: "text/plain".to_owned(), tag: format!("W/\"{path}\"") })
    }

    fn asked(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let request = headers.iter().fold(Request::builder().method(method).uri(path), |made, (name, value)| made.header(*name, *value));
        request.body(Body::empty()).expect("a request")
    }

    async fn answered(request: Request, file: impl Fn(&str) -> Option<File>) -> (u16, String, String) {
        let response = find(&request, file);
        let cache = response.headers().get(header::CACHE_CONTROL).map_or("", |value| value.to_str().expect("text")).to_owned();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 4096).await.expect("a body");
        (status, cache, String::from_utf8_lossy(&body).into_owned())
    }

    const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9");

    #[tokio::test]
    async fn files_are_files_and_addresses_of_the_application_are_its_first_page() {
        let page = (200, "no-cache".to_owned(), "<!doctype html>the page".to_owned());
        let nothing = (404, String::new(), "not found\n".to_owned());
        for (method, path, headers, wanted) in [
            ("GET", "/", &[][..], page.clone()),
            ("GET", "/index.html", &[], page.clone()),
            ("GET", "/runs/run_1?kind=text", &[HTML], page.clone()),
            ("GET", "/runs/run_1", &[("accept", "*/*")], nothing.clone()),
            ("GET", "/runs/run_1.json", &[HTML], nothing.clone()),
            ("GET", "/reprise.v1.RunService/Nope", &[HTML], nothing.clone()),
            ("GET", "/../Cargo.toml", &[HTML], nothing.clone()),
            ("POST", "/runs", &[HTML], nothing.clone()),
            ("GET", "/assets/index-3f9a.js", &[], (200, FOR_EVER.to_owned(), "script".to_owned())),
            ("GET", "/assets/index-0000.js", &[HTML], nothing.clone()),
            ("GET", "/favicon.svg", &[], (200, "no-cache".to_owned(), "<svg/>".to_owned())),
            ("GET", "/favicon.svg", &[("if-none-match", "\"x\", W/\"favicon.svg\"")], (304, "no-cache".to_owned(), String::new())),
            ("GET", "/favicon.svg", &[("if-none-match", "W/\"old\"")], (200, "no-cache".to_owned(), "<svg/>".to_owned())),
            ("HEAD", "/favicon.svg", &[], (200, "no-cache".to_owned(), String::new())),
        ] {
            assert_eq!(answered(asked(method, path, headers), built).await, wanted, "{method} {path}");
        }
    }

    #[tokio::test]
    async fn a_server_without_the_dashboard_says_what_to_do() {
        let (status, cache, body) = answered(asked("GET", "/", &[]), |_| None).await;
        assert_eq!((status, cache.as_str()), (200, "no-store"));
        assert!(body.contains("make dashboard"), "{body}");
        assert_eq!(answered(asked("GET", "/app.js", &[HTML]), |_| None).await.0, 404);
    }

    #[test]
    fn every_answer_bears_the_policy() {
        for path in ["/", "/nothing.here"] {
            let response = serve(&asked("GET", path, &[]));
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
            assert_eq!(response.headers()[header::REFERRER_POLICY], "no-referrer");
            assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }
}
