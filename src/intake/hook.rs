//! Triggers as intake needs them: secrets open, expressions compiled, kept in memory.
//!
//! A webhook must not cost a query. A trigger is read again when it was written through this server ([`Hooks::forget`]),
//! and otherwise when what is known of it is a second old, so that writes of other processes count soon.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::rules::Rules;
use crate::domain::{Result, SecretId, Trigger, TriggerId, UnixMicros};
use crate::secrets::Cipher;
use crate::store::Store;
use crate::store::triggers::ActiveSecret;

const FRESH: Duration = Duration::from_secs(1);
/// Slugs that are known to have no trigger; a scan of guessed slugs must not fill the memory.
const MAX_UNKNOWN: usize = 1024;
/// How exact the time of a secret's last match is.
const NOTED_EACH: Duration = Duration::from_secs(60);

/// A trigger that webhooks may reach.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) trigger: Trigger,
    pub(super) rules: Arc<Rules>,
    secrets: Vec<OpenSecret>,
    /// Milliseconds after the start of its `Hooks`.
    loaded: AtomicU64,
}

struct OpenSecret {
    id: SecretId,
    text: Zeroizing<Vec<u8>>,
    expire_time: Option<UnixMicros>,
    noted: AtomicI64,
}

impl std::fmt::Debug for OpenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.id)
    }
}

impl Hook {
    /// One whose secrets are at hand.
    #[cfg(test)]
    pub(super) fn of(trigger: Trigger, secrets: &[(SecretId, &[u8], Option<UnixMicros>)]) -> Self {
        let open = |(id, text, expire_time): &(SecretId, &[u8], Option<UnixMicros>)| OpenSecret {
            id: *id,
            text: Zeroizing::new(text.to_vec()),
            expire_time: *expire_time,
            noted: AtomicI64::new(0),
        };
        let rules = Arc::new(Rules::compile(&trigger.spec));
        Self { rules, secrets: secrets.iter().map(open).collect(), loaded: AtomicU64::new(0), trigger }
    }

    /// Whether this is the token of its address, told in constant time.
    pub(super) fn has_token(&self, token: &str) -> bool {
        self.trigger.hook_token.as_bytes().ct_eq(token.as_bytes()).into()
    }

    /// The secrets that count at this time, by id.
    pub(super) fn secrets(&self, now: UnixMicros) -> Vec<(SecretId, &[u8])> {
        let active = self.secrets.iter().filter(|secret| secret.expire_time.is_none_or(|end| end > now));
        active.map(|secret| (secret.id, secret.text.as_slice())).collect()
    }

    /// Whether it is time to write down that this secret was used; says so once a minute.
    pub(super) fn is_due(&self, secret: SecretId, now: UnixMicros) -> bool {
        self.secrets.iter().filter(|one| one.id == secret).any(|one| {
            let noted = one.noted.load(Ordering::Relaxed);
            now.since(UnixMicros(noted)) >= NOTED_EACH
                && one.noted.compare_exchange(noted, now.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }
}

#[derive(Debug, Clone)]
enum Known {
    Hook(Arc<Hook>),
    Nothing { since: u64 },
}

/// All triggers that were asked for lately.
#[derive(Debug)]
pub(super) struct Hooks {
    store: Arc<Store>,
    cipher: Cipher,
    start: Instant,
    known: RwLock<HashMap<String, Known>>,
    /// Counts writes, so that what was read before one is not kept after it.
    writes: AtomicU64,
}

impl Hooks {
    pub(super) fn new(store: Arc<Store>, cipher: Cipher) -> Self {
        Self { store, cipher, start: Instant::now(), known: RwLock::default(), writes: AtomicU64::new(0) }
    }

    /// The trigger of this slug.
    pub(super) async fn get(&self, slug: &str) -> Result<Option<Arc<Hook>>> {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let is_fresh = |since: u64| u128::from(now.saturating_sub(since)) < FRESH.as_millis();
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(slug).cloned();
        match known {
            Some(Known::Nothing { since }) if is_fresh(since) => Ok(None),
            Some(Known::Hook(hook)) => {
                let loaded = hook.loaded.load(Ordering::Relaxed);
                // One request reads it again; those beside it need not wait.
                let stale = !is_fresh(loaded) && hook.loaded.compare_exchange(loaded, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
                if stale { self.load(slug, now, Some(&hook)).await } else { Ok(Some(hook)) }
            }
            _ => self.load(slug, now, None).await,
        }
    }

    /// The compiled rules of a trigger, if this version of it is at hand.
    pub(super) fn rules(&self, trigger: &Trigger) -> Arc<Rules> {
        match self.known.read().unwrap_or_else(PoisonError::into_inner).get(&trigger.slug) {
            Some(Known::Hook(hook)) if is_same(&hook.trigger, trigger) => Arc::clone(&hook.rules),
            _ => Arc::new(Rules::compile(&trigger.spec)),
        }
    }

    /// A trigger was written: what was known of it does not count any more.
    pub(super) fn forget(&self, gone: impl Fn(&str, Option<TriggerId>) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        self.writes.fetch_add(1, Ordering::SeqCst);
        known.retain(|slug, known| match known {
            Known::Hook(hook) => !gone(slug, Some(hook.trigger.id)),
            Known::Nothing { .. } => !gone(slug, None),
        });
    }

    async fn load(&self, slug: &str, now: u64, old: Option<&Arc<Hook>>) -> Result<Option<Arc<Hook>>> {
        let writes = self.writes.load(Ordering::SeqCst);
        let found = match self.store.trigger_by_slug(slug).await? {
            Some(trigger) => {
                let sealed = self.store.active_secrets(trigger.id, UnixMicros::now()).await?;
                Some(Arc::new(self.open(trigger, sealed, now, old)?))
            }
            None => None,
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if self.writes.load(Ordering::SeqCst) == writes {
            // Of those who came first together all take the one that is there by now, so that one of them notes its use.
            if let (None, Some(found), Some(Known::Hook(there))) = (old, &found, known.get(slug))
                && is_same(&there.trigger, &found.trigger)
            {
                return Ok(Some(Arc::clone(there)));
            }
            if found.is_none() && known.values().filter(|known| matches!(known, Known::Nothing { .. })).count() >= MAX_UNKNOWN {
                known.retain(|_, known| matches!(known, Known::Hook(_)));
            }
            known.insert(slug.to_owned(), found.clone().map_or(Known::Nothing { since: now }, Known::Hook));
        }
        Ok(found)
    }

    fn open(&self, trigger: Trigger, sealed: Vec<ActiveSecret>, now: u64, old: Option<&Arc<Hook>>) -> Result<Hook> {
        let seen = |id: SecretId| {
            old.and_then(|old| old.secrets.iter().find(|one| one.id == id)).map_or(0, |one| one.noted.load(Ordering::Relaxed))
        };
        let open = |secret: ActiveSecret| {
            let shown = trigger.secrets.iter().find(|shown| shown.id == secret.id);
            let noted = secret.last_match_time.map_or(0, |time| time.0).max(seen(secret.id));
            Ok(OpenSecret {
                text: self.cipher.open(secret.id, &secret.sealed)?,
                id: secret.id,
                expire_time: shown.and_then(|shown| shown.expire_time),
                noted: AtomicI64::new(noted),
            })
        };
        let secrets = sealed.into_iter().map(open).collect::<Result<Vec<_>>>()?;
        let rules = match old {
            Some(old) if is_same(&old.trigger, &trigger) => Arc::clone(&old.rules),
            _ => Arc::new(Rules::compile(&trigger.spec)),
        };
        Ok(Hook { rules, secrets, loaded: AtomicU64::new(now), trigger })
    }
}

fn is_same(one: &Trigger, other: &Trigger) -> bool {
    (one.id, one.version) == (other.id, other.version)
}

#[cfg(test)]
mod tests;
