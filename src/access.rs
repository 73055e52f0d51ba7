//! Who may call: API keys, stored as hashes, and the guard before every rpc and `/metrics`.

mod codes;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::Status;

pub use codes::HandedOut;
use streams::{Keyed, Streams};

use crate::domain::{ApiKeyId, Error, Result, UnixMicros};
use crate::rpc::http_status;
use crate::store::Store;
use crate::store::api_keys::{self, NewKey};

/// How long a looked-up key counts without another look: a revoked one is refused at the latest then.
const CACHE_FOR: Duration = Duration::from_secs(5);
/// More keys than any installation has; past it the cache starts anew, so that guesses cannot fill memory.
const CACHE_MAX: usize = 1024;
const PREFIX: &str = "rk_";
/// Random bytes of a generated key or code.
const KEY_BYTES: usize = 32;
const CONFIGURED: &str = "configured admin";
/// How exact the last use of a key is: a write a call would be too many.
const LAST_USE: Duration = Duration::from_secs(60);

/// Keys and what is open without one.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first admin key, instead of a generated one.
    pub admin_key: Option<String>,
    /// Whether reflection answers without a key.
    pub reflection_open: bool,
    /// Whether `/metrics` answers without a key.
    pub metrics_open: bool,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("reflection_open", &self.reflection_open)
            .field("metrics_open", &self.metrics_open)
            .finish_non_exhaustive()
    }
}

/// Who calls. In the extensions of every request that passed the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's id.
    pub api_key_id: ApiKeyId,
    /// The key's name for people.
    pub display_name: String,
    /// When the key ends; none: it does not.
    pub expire_time: Option<UnixMicros>,
    /// The key that it ends with, if it was made for a sign-in code.
    pub made_by: Option<ApiKeyId>,
}

impl Principal {
    fn still(self) -> Result<Self> {
        match self.expire_time {
            Some(end) if end <= UnixMicros::now() => Err(Error::KeyExpired),
            _ => Ok(self),
        }
    }
}

type Digested = api_keys::Hash;

/// The guard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    store: Arc<Store>,
    config: Config,
    seen: Arc<Mutex<Seen>>,
    streams: Streams,
    tries: Arc<Mutex<codes::Tries>>,
}

/// Whose each key is, and when that was looked up.
type Seen = HashMap<Digested, (Instant, Option<Principal>)>;

fn digest(key: &str) -> Digested {
    Sha256::digest(key.as_bytes()).into()
}

/// A new key: a prefix that secret scanners can find, and 256 random bits.
fn generate() -> Result<String> {
    Ok(format!("{PREFIX}{}", random_hex::<KEY_BYTES>()?))
}

fn random_hex<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0_u8; BYTES];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Access {
    /// The guard over the stored keys. A store without keys gets its first admin key: the configured one, or a new one,
    /// which is returned to be shown once. A configured key always counts from this start on.
    ///
    /// # Errors
    /// `StoreUnavailable`; `FieldInvalid` for a configured key that is too short to be safe.
    pub async fn start(store: Arc<Store>, config: Config) -> Result<(Self, Option<String>)> {
        let mut shown = None;
        if let Some(key) = &config.admin_key {
            if key.len() < 24 {
                return Err(Error::field("auth.admin_key", "is shorter than 24 characters"));
            }
            // One that was configured before ends here.
            api_keys::delete_others(&store, CONFIGURED, &digest(key)).await?;
            if api_keys::find(&store, &digest(key)).await?.is_none() {
                Self::add(&store, CONFIGURED, key).await?;
            }
        } else if api_keys::count(&store).await? == 0 {
            shown = Some(Self::add_admin(&store, "first admin").await?);
        }
        Ok((Self { store, config, seen: Arc::default(), streams: Streams::default(), tries: Arc::default() }, shown))
    }

    /// Replaces every key by one new admin key: the way back in for who lost theirs.
    ///
    /// # Errors
    /// `StoreUnavailable`.
    pub async fn reset_admin(store: &Store) -> Result<String> {
        api_keys::delete_all(store).await?;
        Self::add_admin(store, "reset admin").await
    }

    async fn add_admin(store: &Store, display_name: &str) -> Result<String> {
        let key = generate()?;
        Self::add(store, display_name, &key).await?;
        Ok(key)
    }

    async fn add(store: &Store, display_name: &str, key: &str) -> Result<()> {
        let (hash, prefix) = (digest(key), shown_prefix(key));
        let (id, expire_time, made_by) = (ApiKeyId::new(), None, None);
        api_keys::insert(store, NewKey { id, display_name, hash: &hash, prefix: &prefix, expire_time, made_by }).await
    }

    /// Who calls with these headers.
    ///
    /// # Errors
    /// `KeyMissing`, `KeyInvalid`, `KeyExpired`, `StoreUnavailable`.
    pub async fn principal(&self, headers: &HeaderMap) -> Result<Principal> {
        self.identified(headers).await.map(|(_, principal)| principal)
    }

    /// The same, with the digest of the key.
    async fn identified(&self, headers: &HeaderMap) -> Result<(Digested, Principal)> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Error::KeyMissing)?;
        let (scheme, key) = value.split_once(' ').ok_or(Error::KeyInvalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::KeyInvalid);
        }
        let hash = digest(key.trim());
        if let Some((at, found)) = self.cached(&hash)
            && at.elapsed() < CACHE_FOR
        {
            return Ok((hash, found.ok_or(Error::KeyInvalid)?.still()?));
        }
        // The hash is the key of an index: how long the look-up takes says nothing about the key itself.
        let found = api_keys::find(&self.store, &hash).await?;
        let now = UnixMicros::now();
        if let Some(key) = found.as_ref().filter(|key| key.last_use_time.is_none_or(|last| now.since(last) >= LAST_USE))
            && let Err(error) = api_keys::touch(&self.store, key.id, now).await
        {
            tracing::warn!(%error, "the last use of API key `{}` could not be stored", key.id);
        }
        let principal = found.map(|key| Principal {
            api_key_id: key.id,
            display_name: key.display_name,
            expire_time: key.expire_time,
            made_by: key.made_by,
        });
        self.remember(hash, principal.clone());
        Ok((hash, principal.ok_or(Error::KeyInvalid)?.still()?))
    }

    fn cached(&self, hash: &Digested) -> Option<(Instant, Option<Principal>)> {
        self.seen.lock().ok()?.get(hash).cloned()
    }

    /// The next call with this key looks it up again.
    fn forget(&self, hash: &Digested) {
        if let Ok(mut seen) = self.seen.lock() {
            seen.remove(hash);
        }
    }

    fn remember(&self, hash: Digested, principal: Option<Principal>) {
        if let Ok(mut seen) = self.seen.lock() {
            if seen.len() >= CACHE_MAX {
                seen.clear();
            }
            seen.insert(hash, (Instant::now(), principal));
        }
    }
}

/// What is stored of a key to recognise it by: a little of a generated one, nothing of one that a person chose.
fn shown_prefix(key: &str) -> String {
    if key.len() == PREFIX.len() + 64 && key.starts_with(PREFIX) { key[..8].to_owned() } else { String::new() }
}

/// Before every rpc: lets known keys pass, and what is open to all. A stream ends when its key does.
pub async fn guard_rpc(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = path == "/grpc.health.v1.Health/Check"
        || path == "/reprise.v1.AccessService/RedeemSignInCode"
        || (access.config.reflection_open && path.starts_with("/grpc.reflection."));
    if open {
        return next.run(request).await;
    }
    match access.identified(request.headers()).await {
        Ok((hash, principal)) => {
            let keyed = Keyed::new(&access.streams, hash, &principal);
            request.extensions_mut().insert(principal);
            next.run(request).await.map(|body| keyed.hold(body))
        }
        Err(error) => Status::from(error).into_http(),
    }
}

/// Before `/metrics`.
pub async fn guard_metrics(State(access): State<Access>, request: Request, next: Next) -> Response {
    if access.config.metrics_open {
        return next.run(request).await;
    }
    match access.principal(request.headers()).await {
        Ok(_) => next.run(request).await,
        Err(error) => (http_status(error.code()), [(header::WWW_AUTHENTICATE, "Bearer")], format!("{error}\n")).into_response(),
    }
}
