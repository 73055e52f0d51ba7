//! Signing a browser in: a code that works once and for minutes, exchanged for a key that works for hours.

use std::time::Duration;

use tokio::time::Instant;

use super::{Access, KEY_BYTES, Principal, digest, generate, random_hex, shown_prefix};
use crate::domain::{ApiKeyId, Error, Result, UnixMicros};
use crate::store::api_keys::{self, NewKey};
use crate::store::sign_in_codes::{self, StoredCode};

const PREFIX: &str = "rc_";
/// How long a code can be redeemed.
const CODE_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long the key of a code works.
const KEY_LIFE: Duration = Duration::from_secs(12 * 3600);
/// A key that ended is told to have ended for so long; then it is unknown.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// Redeeming needs no key, and each try asks the database: there are so many in each span, whoever calls.
const TRIES: u32 = 20;
const SPAN: Duration = Duration::from_secs(10);

/// What is handed out once, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOut {
    /// The code or key itself.
    pub text: String,
    /// When it ends.
    pub expire_time: UnixMicros,
}

/// Tries in the present span.
#[derive(Debug)]
pub(super) struct Tries {
    since: Instant,
    count: u32,
}

impl Default for Tries {
    fn default() -> Self {
        Self { since: Instant::now(), count: 0 }
    }
}

impl Tries {
    fn take(&mut self) -> bool {
        if self.since.elapsed() >= SPAN {
            *self = Self::default();
        }
        self.count += 1;
        self.count <= TRIES
    }
}

impl Access {
    /// Makes a code for the holder of this key. The key that it will give ends with this one.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn create_code(&self, principal: &Principal) -> Result<HandedOut> {
        let (now, text) = (UnixMicros::now(), format!("{PREFIX}{}", random_hex::<KEY_BYTES>()?));
        let code = StoredCode {
            made_by: principal.made_by.unwrap_or(principal.api_key_id),
            made_by_name: principal.display_name.clone(),
            expire_time: now.plus(CODE_LIFE),
            key_expire_time: principal.expire_time,
        };
        sign_in_codes::insert(&self.store, &digest(&text), &code, now).await?;
        api_keys::delete_ended(&self.store, now.minus(REMEMBERED)).await?;
        Ok(HandedOut { text, expire_time: code.expire_time })
    }

    /// Uses a code up, and gives a key for it.
    ///
    /// # Errors
    /// `CodeInvalid`, `RateLimited`, `StoreUnavailable`.
    pub async fn redeem_code(&self, text: &str) -> Result<HandedOut> {
        if text.len() != PREFIX.len() + 2 * KEY_BYTES || !text.starts_with(PREFIX) {
            return Err(Error::CodeInvalid);
        }
        if !self.tries.lock().is_ok_and(|mut tries| tries.take()) {
            return Err(Error::RateLimited);
        }
        let now = UnixMicros::now();
        let code =
            sign_in_codes::take(&self.store, &digest(text)).await?.filter(|code| code.expire_time > now).ok_or(Error::CodeInvalid)?;
        let expire_time = code.key_expire_time.map_or(now.plus(KEY_LIFE), |end| end.min(now.plus(KEY_LIFE)));
        let key = generate()?;
        let new = NewKey {
            id: ApiKeyId::new(),
            display_name: &code.made_by_name,
            hash: &digest(&key),
            prefix: &shown_prefix(&key),
            expire_time: Some(expire_time),
            made_by: Some(code.made_by),
        };
        // A key whose maker is gone in the meantime would outlive it.
        if !api_keys::exists(&self.store, code.made_by).await? {
            return Err(Error::CodeInvalid);
        }
        api_keys::insert(&self.store, new).await?;
        Ok(HandedOut { text: key, expire_time })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, header};
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::access::Config;
    use crate::store::{Store, scratch, writer};

    async fn start(store: &Arc<Store>, key: &str) -> Access {
        let config = Config { admin_key: Some(key.to_owned()), reflection_open: false, metrics_open: false };
        Access::start(Arc::clone(store), config).await.expect("started").0
    }

    async fn who(access: &Access, key: &str) -> Result<Principal> {
        access.principal(&HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {key}").parse().expect("a header"))])).await
    }

    const ADMIN: &str = "the first configured key";

    #[tokio::test]
    async fn a_code_gives_one_key_to_one_caller_and_the_key_ends() {
        let (store, _dir) = scratch().await;
        let access = start(&store, ADMIN).await;
        let admin = who(&access, ADMIN).await.expect("known");
        let code = access.create_code(&admin).await.expect("made");
        assert!(code.text.len() > 40 && code.expire_time <= UnixMicros::now().plus(CODE_LIFE));
        let all = futures::future::join_all((0..5).map(|_| access.redeem_code(&code.text))).await;
        let mut keys: Vec<HandedOut> = all.into_iter().filter_map(Result::ok).collect();
        let key = keys.pop().expect("one gets it");
        assert!(keys.is_empty(), "and nobody else");
        let signed_in = who(&access, &key.text).await.expect("known");
        assert_eq!((signed_in.display_name.as_str(), signed_in.expire_time), ("configured admin", Some(key.expire_time)));
        // From the cache too, a key ends when its time is over.
        access.seen.lock().expect("free").values_mut().for_each(|(_, found)| {
            if let Some(found) = found.as_mut().filter(|found| found.expire_time.is_some()) {
                found.expire_time = Some(UnixMicros(1));
            }
        });
        assert!(matches!(who(&access, &key.text).await, Err(Error::KeyExpired)));
        assert!(who(&access, ADMIN).await.is_ok());
    }

    #[tokio::test]
    async fn a_key_from_a_code_makes_no_key_that_lives_longer_and_ends_with_its_maker() {
        let (store, _dir) = scratch().await;
        let access = start(&store, ADMIN).await;
        let first = access.redeem_code(&access.create_code(&who(&access, ADMIN).await.expect("known")).await.expect("made").text).await;
        let first = first.expect("redeemed");
        let browser = who(&access, &first.text).await.expect("known");
        let code = access.create_code(&browser).await.expect("made").text;
        let second = access.redeem_code(&code).await.expect("redeemed");
        assert!(second.expire_time <= first.expire_time);
        let late = access.create_code(&browser).await.expect("made").text;
        let access = start(&store, "the second configured key").await;
        for key in [&first.text, &second.text] {
            assert!(matches!(who(&access, key).await, Err(Error::KeyInvalid)));
        }
        assert!(matches!(access.redeem_code(&late).await, Err(Error::CodeInvalid)), "its maker is gone");
    }

    #[tokio::test]
    async fn old_and_wrong_codes_are_refused_and_guesses_are_bounded() {
        let (store, _dir) = scratch().await;
        let access = start(&store, ADMIN).await;
        let code = access.create_code(&who(&access, ADMIN).await.expect("known")).await.expect("made").text;
        writer(&store).execute_unprepared("UPDATE sign_in_codes SET expire_time = 1").await.expect("aged");
        assert!(matches!(access.redeem_code(&code).await, Err(Error::CodeInvalid)));
        for wrong in ["", "rc_", "rc_zz", &code.replace("rc_", "rk_")] {
            assert!(matches!(access.redeem_code(wrong).await, Err(Error::CodeInvalid)), "{wrong}");
        }
        let mut refused = 0;
        for _ in 0..=TRIES {
            refused += i32::from(matches!(access.redeem_code(&code).await, Err(Error::RateLimited)));
        }
        assert!(refused >= 1);
    }
}
