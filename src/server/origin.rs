//! Whose pages may call: our own, and those of the configured origins. A caller that is no browser names no origin.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::Config;
use crate::domain::Error;

/// Origins whose pages may call besides those of the host that is called.
#[derive(Debug, Clone)]
pub(super) struct Allowed(Arc<[String]>);

impl Allowed {
    pub(super) fn of(config: &Config) -> Self {
        // A proxy may call us by another name than the one browsers know.
        let public = config.public_url.parse::<Uri>().ok().and_then(|url| Some(format!("{}://{}", url.scheme_str()?, url.authority()?)));
        Self(config.cors_origins.iter().cloned().chain(public).collect())
    }

    fn holds(&self, origin: &str, request: &Request) -> bool {
        // HTTP/2 has the host in its address, HTTP/1.1 in a header.
        let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = request.uri().authority().map(|authority| authority.as_str()).or(named);
        let own = origin.split_once("://").is_some_and(|(_, of)| host.is_some_and(|host| host.eq_ignore_ascii_case(of)));
        own || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

/// Before every rpc: a browser always names the origin of the page that calls.
pub(super) async fn guard(State(allowed): State<Allowed>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
    match origin.filter(|origin| !allowed.holds(origin, &request)) {
        Some(origin) => Status::from(Error::OriginRefused { origin }).into_http(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn our_own_pages_and_the_listed_ones_may_call() {
        let config = Config {
            listen: "127.0.0.1:0".parse().expect("an address"),
            public_url: "https://reprise.example/".to_owned(),
            cors_origins: vec!["https://ops.example".to_owned()],
            max_connections: 1,
            max_watched_lists: 1,
            drain_timeout_seconds: 1,
            tls: None,
        };
        let allowed = Allowed::of(&config);
        let http1 = Request::get("/x").header(header::HOST, "localhost:7700").body(Body::empty()).expect("a request");
        let http2 = Request::get("http://localhost:7700/x").body(Body::empty()).expect("a request");
        for request in [http1, http2] {
            for (origin, holds) in [
                ("http://localhost:7700", true),
                ("https://LOCALHOST:7700", true),
                ("https://ops.example", true),
                ("https://reprise.example", true),
                ("http://ops.example", false),
                ("http://localhost:7701", false),
                ("http://localhost", false),
                ("https://ops.example.evil.example", false),
                ("localhost:7700", false),
                ("null", false),
                ("", false),
            ] {
                assert_eq!(allowed.holds(origin, &request), holds, "{origin}");
            }
        }
    }
}
