//! Who may call: API keys, stored as hashes, and the guard before every rpc and `/metrics`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tonic::Status;

use crate::domain::{ApiKeyId, Error, Result, UnixMicros};
use crate::store::{Store, api_keys};

/// How long a looked-up key counts without another look: a revoked one is refused at the latest then.
const CACHE_FOR: Duration = Duration::from_secs(5);
/// More keys than any installation has; past it the cache starts anew, so that guesses cannot fill memory.
const CACHE_MAX: usize = 1024;
const PREFIX: &str = "rk_";

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
        f.debug_struct("Config").field("reflection_open", &self.reflection_open).field("metrics_open", &self.metrics_open).finish_non_exhaustive()
    }
}

/// Who calls. In the extensions of every request that passed the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's id.
    pub api_key_id: ApiKeyId,
    /// The key's name for people.
    pub display_name: String,
}

type Digested = [u8; 32];

/// The guard. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Access {
    store: Arc<Store>,
    config: Config,
    seen: Arc<Mutex<HashMap<Digested, (Instant, Option<Principal>)>>>,
}

fn digest(key: &str) -> Digested {
    Sha256::digest(key.as_bytes()).into()
}

/// A new key: a prefix that secret scanners can find, and 256 random bits.
fn generate() -> Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(format!("{PREFIX}{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
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
            if api_keys::find(&store, &digest(key)).await?.is_none() {
                api_keys::insert(&store, ApiKeyId::new(), "configured admin", &digest(key), &shown_prefix(key)).await?;
            }
        } else if api_keys::count(&store).await? == 0 {
            shown = Some(Self::add_admin(&store, "first admin").await?);
        }
        Ok((Self { store, config, seen: Arc::default() }, shown))
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
        api_keys::insert(store, ApiKeyId::new(), display_name, &digest(&key), &shown_prefix(&key)).await?;
        Ok(key)
    }

    /// Who calls with these headers.
    ///
    /// # Errors
    /// `KeyMissing`, `KeyInvalid`, `StoreUnavailable`.
    pub async fn principal(&self, headers: &HeaderMap) -> Result<Principal> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Error::KeyMissing)?;
        let (scheme, key) = value.split_once(' ').ok_or(Error::KeyInvalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Error::KeyInvalid);
        }
        let hash = digest(key.trim());
        if let Some((at, found)) = self.cached(&hash)
            && at.elapsed() < CACHE_FOR
        {
            return found.ok_or(Error::KeyInvalid);
        }
        // The hash is the key of an index: how long the look-up takes says nothing about the key itself.
        let found = api_keys::find(&self.store, &hash).await?;
        if let Some((id, _)) = &found {
            api_keys::touch(&self.store, *id, UnixMicros::now()).await?;
        }
        let principal = found.map(|(api_key_id, display_name)| Principal { api_key_id, display_name });
        self.remember(hash, principal.clone());
        principal.ok_or(Error::KeyInvalid)
    }

    fn cached(&self, hash: &Digested) -> Option<(Instant, Option<Principal>)> {
        self.seen.lock().ok()?.get(hash).cloned()
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

/// What is stored of a key to recognise it by.
fn shown_prefix(key: &str) -> String {
    key.chars().take(8).collect()
}

/// Before every rpc: lets known keys pass, and what is open to all.
pub async fn guard_rpc(State(access): State<Access>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = path == "/grpc.health.v1.Health/Check" || (access.config.reflection_open && path.starts_with("/grpc.reflection."));
    if open {
        return next.run(request).await;
    }
    match access.principal(request.headers()).await {
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            next.run(request).await
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
        Err(error) => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_keys_differ_and_debug_shows_none() {
        let (one, two) = (generate().expect("random"), generate().expect("random"));
        assert_ne!(one, two);
        assert_eq!(one.len(), 3 + 64);
        let config = Config { admin_key: Some(one.clone()), reflection_open: false, metrics_open: false };
        assert!(!format!("{config:?}").contains(&one));
    }
}
