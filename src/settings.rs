//! The settings in force, cached, with a channel that tells of changes.

use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::{Result, Settings};
use crate::store::Store;

/// The settings in force. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SettingsCache {
    store: Arc<Store>,
    current: watch::Sender<Arc<Settings>>,
}

impl SettingsCache {
    /// Reads the settings, or writes the defaults of a new database (and the global row of `limits`).
    pub async fn load(store: Arc<Store>) -> Result<Self> {
        let _ = store;
        todo!()
    }

    /// The settings now.
    #[must_use]
    pub fn get(&self) -> Arc<Settings> {
        self.current.borrow().clone()
    }

    /// Changes the settings: `change` gets the present ones and returns the wanted ones. Checked (`FieldInvalid`), then
    /// written with the global limit in one transaction. `etag` none: last write wins; else `EtagMismatch`.
    pub async fn update(&self, etag: Option<i64>, by: &str, change: impl FnOnce(Settings) -> Result<Settings> + Send) -> Result<Arc<Settings>> {
        let _ = (&self.store, etag, by, change);
        todo!()
    }

    /// Completes when the settings changed.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Settings>> {
        self.current.subscribe()
    }
}
