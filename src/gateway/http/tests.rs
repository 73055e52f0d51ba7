//! The webhook route, over real requests.

use std::sync::Arc;

use futures::stream;

use super::*;

fn chunked(sizes: &[usize]) -> Body {
    let chunks: Vec<Result<Bytes, std::io::Error>> = sizes.iter().map(|size| Ok(Bytes::from(vec![b'x'; *size]))).collect();
    Body::from_stream(stream::iter(chunks))
}

async fn ask(body: Body, limit: usize, declared: Option<usize>, bodies: usize) -> Result<usize, Unread> {
    let bodies = Arc::new(Semaphore::new(bodies));
    let free = bodies.available_permits();
    let read = read(body, limit, declared, false, &bodies).await.map(|(body, place)| {
        assert_eq!(place.is_some(), body.len() > SMALL_BODY);
        body.len()
    });
    assert_eq!(bodies.available_permits(), free, "every place is free again");
    read
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    const MIB: usize = 1024 * 1024;
    for (sizes, limit, declared, expected) in [
        (&[][..], 10, None, Ok(0)),
        (&[10], 10, Some(10), Ok(10)),
        (&[4, 6], 10, Some(10), Ok(10)),
        (&[4, 3, 3], 10, None, Ok(10)),
        (&[11], 10, None, Err(Unread::TooLarge)),
        (&[4, 4, 4], 10, None, Err(Unread::TooLarge)),
        (&[4], 10, Some(11), Err(Unread::TooLarge)),
        (&[11], 10, Some(3), Err(Unread::TooLarge)),
        (&[MIB, MIB, 1], 2 * MIB, None, Err(Unread::TooLarge)),
        (&[MIB, MIB], 2 * MIB, Some(2 * MIB), Ok(2 * MIB)),
        (&[SMALL_BODY, 1], 2 * MIB, None, Ok(SMALL_BODY + 1)),
    ] {
        assert_eq!(ask(chunked(sizes), limit, declared, 4096).await, expected, "{sizes:?} of {declared:?}, at most {limit}");
    }
}

#[tokio::test]
async fn large_bodies_share_a_room_and_small_ones_do_not_need_it() {
    assert_eq!(ask(chunked(&[512 * 1024, 600 * 1024]), 1 << 21, None, 1024).await, Err(Unread::NoRoom));
    assert_eq!(ask(chunked(&[1024; 60]), 1 << 21, None, 0).await, Ok(60 * 1024));
    let broken = Body::from_stream(stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]));
    assert_eq!(ask(broken, 1 << 21, None, 0).await, Err(Unread::Broken));
}

#[tokio::test]
async fn what_is_thrown_away_has_an_end() {
    let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65536]))));
    assert_eq!(ask(endless, 10, None, 0).await, Err(Unread::TooLarge));
    let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    tokio::time::pause();
    assert_eq!(ask(silent, 10, Some(11), 0).await, Err(Unread::TooLarge));
}

#[test]
fn headers_have_a_limit_and_keep_their_bytes() {
    let mut map = HeaderMap::new();
    map.insert("X-Name", header::HeaderValue::from_bytes(b"\xff").expect("opaque"));
    map.append("x-name", header::HeaderValue::from_static("2"));
    let headers = super::headers(&map).expect("few");
    assert_eq!(
        headers.iter().map(|header| (header.name.as_str(), header.value.as_slice())).collect::<Vec<_>>(),
        [("x-name", &b"\xff"[..]), ("x-name", b"2")]
    );
    map.insert("x-long", header::HeaderValue::from_str(&"v".repeat(MAX_HEADERS)).expect("long"));
    assert!(super::headers(&map).is_none());
}

#[test]
fn a_sender_is_told_when_to_try_again_and_nothing_else() {
    for (error, status, wait) in [
        (Error::QueueFull { scope: "server", limit: 7 }, 503, Some("30")),
        (Error::Draining, 503, Some("5")),
        (Error::StoreUnavailable("postgres://user:hunter2@db".to_owned()), 503, Some("5")),
        (Error::internal("hunter2"), 500, None),
    ] {
        let response = unavailable(&error);
        let after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        assert_eq!((response.status().as_u16(), after), (status, wait), "{error}");
        assert!(!format!("{response:?}").contains("hunter2"));
    }
}
