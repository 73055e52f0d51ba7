//! Keys, what is open without one, and streams that outlive theirs.

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use futures::{FutureExt as _, StreamExt as _};
use http::{Method, StatusCode};
use tower::ServiceExt as _;

use super::*;
use crate::store::scratch;

fn config(admin_key: Option<&str>) -> Config {
    Config { admin_key: admin_key.map(str::to_owned), reflection_open: false, metrics_open: false }
}

/// The answer of a wall with these rules: HTTP status, gRPC status, and the name of who passed.
async fn call(access: &Access, path: &str, key: Option<&str>) -> (StatusCode, Option<String>, String) {
    let who = |request: Request| async move {
        request.extensions().get::<Principal>().map_or("nobody", |who| who.display_name.as_str()).to_owned()
    };
    let rpcs = Router::new().fallback(any(who)).layer(from_fn_with_state(access.clone(), guard_rpc));
    let metrics = Router::new().route("/metrics", any(who)).layer(from_fn_with_state(access.clone(), guard_metrics));
    let mut request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, "application/grpc");
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, key);
    }
    let response = rpcs.merge(metrics).oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    let grpc = response.headers().get("grpc-status").map(|status| status.to_str().expect("text").to_owned());
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1024).await.expect("a body");
    (status, grpc, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_first_start_makes_a_key_and_only_its_holder_passes() {
    let (store, _dir) = scratch().await;
    let (access, shown) = Access::start(store.clone(), config(None)).await.expect("started");
    let key = format!("Bearer {}", shown.expect("shown once"));
    let rpc = "/reprise.v1.RunService/ListRuns";
    assert_eq!(call(&access, rpc, Some(&key)).await, (StatusCode::OK, None, "first admin".to_owned()));
    assert_eq!(call(&access, rpc, Some(&key.replace("Bearer", "bearer"))).await.2, "first admin");
    for wrong in [None, Some("Bearer rk_0000"), Some("Bearer "), Some("Basic YTpi"), Some("rk_0000")] {
        let (status, grpc, body) = call(&access, rpc, wrong).await;
        assert_eq!((status, grpc.as_deref(), body.as_str()), (StatusCode::OK, Some("16"), ""), "{wrong:?}");
    }
    assert_eq!(call(&access, "/metrics", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&access, "/metrics", Some(&key)).await.0, StatusCode::OK);
    assert_eq!(Access::start(store, config(None)).await.expect("again").1, None, "shown once");
}

#[tokio::test]
async fn what_is_open_is_open_and_nothing_beside_it() {
    let (store, _dir) = scratch().await;
    let closed = Access::start(store.clone(), config(Some("a key that is long enough"))).await.expect("started").0;
    let open = Config { reflection_open: true, metrics_open: true, ..config(Some("a key that is long enough")) };
    let open = Access::start(store, open).await.expect("started").0;
    let passes = async |access: &Access, path: &str| call(access, path, None).await == (StatusCode::OK, None, "nobody".to_owned());
    for path in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/metrics",
    ] {
        assert!(passes(&open, path).await, "{path}");
        assert!(!passes(&closed, path).await, "{path}");
    }
    assert!(passes(&closed, "/grpc.health.v1.Health/Check").await);
    assert!(!passes(&closed, "/grpc.health.v1.Health/Watch").await);
    assert!(!passes(&open, "/grpc.health.v1.Health/Check/../../reprise.v1.RunService/ListRuns").await);
}

#[tokio::test]
async fn a_configured_key_counts_until_another_is_configured_and_a_reset_ends_all() {
    let (store, _dir) = scratch().await;
    let (one, two) = ("the first configured key", "the second configured key");
    let start = async |key: &str| Access::start(store.clone(), config(Some(key))).await.expect("started").0;
    let passes = async |access: &Access, key: &str| call(access, "/x", Some(&format!("Bearer {key}"))).await.1.is_none();
    assert!(passes(&start(one).await, one).await);
    let access = start(two).await;
    assert!(passes(&access, two).await && !passes(&access, one).await);
    let reset = Access::reset_admin(&store).await.expect("reset");
    let access = Access::start(store.clone(), config(None)).await.expect("started").0;
    assert!(passes(&access, &reset).await && !passes(&access, two).await);
    let short = Access::start(store.clone(), config(Some("short"))).await.expect_err("refused");
    assert_eq!(short.reason(), "FIELD_INVALID");
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_seconds_and_uses_are_kept_to_the_minute() {
    let (store, _dir) = scratch().await;
    let (access, shown) = Access::start(store.clone(), config(None)).await.expect("started");
    let key = shown.expect("made");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {key}").parse().expect("a header"))]);
    access.principal(&headers).await.expect("known");
    let used = api_keys::find(&store, &digest(&key)).await.expect("read").expect("there").last_use_time;
    assert!(used.is_some());
    api_keys::delete_all(&store).await.expect("deleted");
    assert!(access.principal(&headers).await.is_ok(), "from the cache");
    access.seen.lock().expect("free").values_mut().for_each(|(at, _)| *at = at.checked_sub(CACHE_FOR).expect("long ago"));
    assert!(matches!(access.principal(&headers).await, Err(Error::KeyInvalid)));
}

#[test]
fn generated_keys_differ_and_debug_shows_none() {
    let (one, two) = (generate().expect("random"), generate().expect("random"));
    assert_ne!(one, two);
    assert_eq!(one.len(), 3 + 64);
    let config = Config { admin_key: Some(one.clone()), reflection_open: false, metrics_open: false };
    assert!(!format!("{config:?}").contains(&one));
}

#[tokio::test]
async fn only_an_answer_that_waits_is_looked_after_and_only_while_it_is_read() {
    let (store, _dir) = scratch().await;
    let (access, shown) = Access::start(store, config(None)).await.expect("started");
    let key = format!("Bearer {}", shown.expect("made"));
    assert_eq!(call(&access, "/x", Some(&key)).await.2, "first admin");
    assert!(access.streams.keys().is_empty(), "it was ready at once");
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, key.parse().expect("a header"))]);
    let (hash, principal) = access.identified(&headers).await.expect("known");
    let open = || {
        let silent = Body::from_stream(futures::stream::pending::<Result<axum::body::Bytes>>());
        Keyed::new(&access.streams, hash, &principal).hold(silent).into_data_stream()
    };
    let (mut one, mut two) = (open(), open());
    assert!(one.next().now_or_never().is_none() && two.next().now_or_never().is_none());
    assert_eq!(access.streams.keys(), [hash], "one look for both");
    drop(one);
    assert_eq!(access.streams.keys(), [hash]);
    drop(two);
    assert!(access.streams.keys().is_empty());
}
