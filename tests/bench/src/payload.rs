//! Signed webhooks of 2 KiB, built before the clock runs.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::server::Hook;

/// The header with the sender's delivery id.
pub(crate) const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
/// The header with the signature.
pub(crate) const SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");
/// Size of each body.
const SIZE: usize = 2048;
const PROSE: &str = "The retry loop in the checkout client gives up after the first timeout, although the gateway answers \
    within a second when it is asked again. I saw it twice on staging yesterday evening, with order 48213 and with a basket \
    that held a gift card. Could the back-off start at 200 ms and double up to five seconds, and should the idempotency key \
    not be made before the first attempt? Otherwise two attempts may well charge the card twice, which support would notice \
    before we do. The tests in cart_test.go cover the happy path only. ";

/// A comment of GitHub on issue `number`, with marks for the test double in its text.
pub(crate) fn comment(number: u64, marks: &str) -> String {
    let (repository, api) = ("https://github.com/acme/shop", "https://api.github.com/repos/acme/shop");
    let user = |login: &str, id: u64| json!({"login": login, "id": id, "type": "User", "url": format!("https://api.github.com/users/{login}"), "site_admin": false});
    let body = |text: &str| -> Value {
        json!({
            "action": "created",
            "issue": {"id": 73_464_126 + number, "number": number, "title": format!("Checkout retries, case {number}"), "state": "open",
                "url": format!("{api}/issues/{number}"), "html_url": format!("{repository}/issues/{number}"), "user": user("erik", 21_031_067),
                "labels": [{"id": 208_045_946, "name": "bug", "color": "d73a4a"}], "comments": number % 9, "created_at": "2026-05-05T23:40:28Z"},
            "comment": {"id": 99_262_140 + number, "url": format!("{api}/issues/comments/{}", 99_262_140 + number),
                "html_url": format!("{repository}/issues/{number}#issuecomment-{}", 99_262_140 + number), "user": user("maria", 6_752_317),
                "created_at": "2026-05-05T23:40:28Z", "author_association": "MEMBER", "body": text},
            "repository": {"id": 35_129_377, "name": "shop", "full_name": "acme/shop", "owner": user("acme", 6_752_316), "private": true,
                "html_url": repository, "url": api, "default_branch": "main"},
            "sender": user("maria", 6_752_317),
        })
    };
    let bare = body(marks).to_string().len();
    let prose: String =
        PROSE.chars().cycle().skip(usize::try_from(number % 300).unwrap_or(0)).take(SIZE.saturating_sub(bare + 1)).collect();
    body(&format!("{marks} {prose}")).to_string()
}

/// GitHub's signature of a body.
pub(crate) fn signature(secret: &str, body: &[u8]) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(body);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

/// Webhooks for one target: a pool of signed bodies, one thread each; every request has a delivery id of its own.
#[derive(Debug)]
pub(crate) struct Webhooks {
    hook: Hook,
    signed: Vec<(Bytes, HeaderValue)>,
    next: AtomicU64,
    salt: u128,
}

impl Webhooks {
    /// `threads` bodies with these marks.
    pub(crate) fn new(hook: Hook, threads: u64, marks: &str) -> Result<Self> {
        let signed = (1..=threads)
            .map(|number| {
                let body = comment(number, marks);
                let signature = signature(&hook.secret, body.as_bytes())?;
                Ok((Bytes::from(body), HeaderValue::from_str(&signature)?))
            })
            .collect::<Result<_>>()?;
        Ok(Self { hook, signed, next: AtomicU64::new(0), salt: Uuid::now_v7().as_u128() })
    }

    /// Where they go, as `host:port`.
    pub(crate) fn authority(&self) -> &str {
        &self.hook.authority
    }

    /// The next request.
    pub(crate) fn next(&self) -> Result<Request<Full<Bytes>>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(number)? % self.signed.len();
        let (body, signature) = self.signed[place].clone();
        let mut id = Uuid::encode_buffer();
        let id = uuid::Builder::from_u128(scattered(number, self.salt)).into_uuid().hyphenated().encode_lower(&mut id);
        let request = Request::post(self.hook.path.clone())
            .header(http::header::HOST, self.hook.host.clone())
            .header(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(http::header::USER_AGENT, HeaderValue::from_static("GitHub-Hookshot/044aadd"))
            .header("x-github-event", HeaderValue::from_static("issue_comment"))
            .header("x-github-hook-id", HeaderValue::from_static("292430182"))
            .header(DELIVERY, HeaderValue::from_str(id)?)
            .header(SIGNATURE, signature);
        Ok(request.body(Full::new(body))?)
    }
}

/// Unique for each number, and nowhere near the one before it: random ids are what an index suffers from.
fn scattered(number: u64, salt: u128) -> u128 {
    (u128::from(number) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).wrapping_add(salt.wrapping_mul(0xbf58_476d_1ce4_e5b9))
}
