//! The settings in force, cached, with a channel that tells of changes.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::domain::{Error, Result, Settings, UnixMicros};
use crate::store::Store;

/// The settings in force. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SettingsCache {
    store: Arc<Store>,
    current: watch::Sender<Arc<Settings>>,
    /// Held over read, change and write, so that two changes of this server never meet.
    changing: Arc<Mutex<()>>,
}

impl SettingsCache {
    /// Reads the settings, or writes the defaults of a new database (and the global row of `limits`).
    pub async fn load(store: Arc<Store>) -> Result<Self> {
        let settings = match store.settings().await? {
            Some(settings) => settings,
            None => store.create_settings(&Settings { update_time: UnixMicros::now(), ..Settings::default() }).await?,
        };
        Ok(Self { store, current: watch::Sender::new(Arc::new(settings)), changing: Arc::default() })
    }

    /// The settings now.
    #[must_use]
    pub fn get(&self) -> Arc<Settings> {
        self.current.borrow().clone()
    }

    /// Changes the settings: `change` gets the present ones and returns the wanted ones. Checked (`FieldInvalid`), then
    /// written with the global limit in one transaction. `etag` none: last write wins; else `EtagMismatch`.
    pub async fn update(
        &self,
        etag: Option<i64>,
        by: &str,
        change: impl FnOnce(Settings) -> Result<Settings> + Send,
    ) -> Result<Arc<Settings>> {
        let _one_at_a_time = self.changing.lock().await;
        let (present, wanted) = self.wanted(etag, change).await?;
        let mismatch = || Error::EtagMismatch { etag: present.version.to_string() };
        let wanted = Settings { version: present.version + 1, update_time: UnixMicros::now(), updated_by: by.to_owned(), ..wanted };
        if !self.store.replace_settings(present.version, &wanted).await? {
            self.reload().await?;
            return Err(mismatch());
        }
        let wanted = Arc::new(wanted);
        self.current.send_replace(wanted.clone());
        Ok(wanted)
    }

    /// What [`Self::update`] would make of the settings; nothing is written.
    pub async fn check(&self, etag: Option<i64>, change: impl FnOnce(Settings) -> Result<Settings> + Send) -> Result<Arc<Settings>> {
        self.wanted(etag, change).await.map(|(_, wanted)| Arc::new(wanted))
    }

    /// The settings as they are and as they are to be.
    async fn wanted(
        &self,
        etag: Option<i64>,
        change: impl FnOnce(Settings) -> Result<Settings> + Send,
    ) -> Result<(Arc<Settings>, Settings)> {
        self.reload().await?;
        let present = self.get();
        if etag.is_some_and(|etag| etag != present.version) {
            return Err(Error::EtagMismatch { etag: present.version.to_string() });
        }
        let wanted = change((*present).clone())?;
        let problems = wanted.problems();
        if problems.is_empty() { Ok((present, wanted)) } else { Err(Error::FieldInvalid(problems)) }
    }

    /// Reads the settings again: another server on the same database may have changed them.
    pub async fn reload(&self) -> Result<()> {
        if let Some(stored) = self.store.settings().await? {
            self.current.send_if_modified(|current| {
                let newer = stored.version > current.version;
                if newer {
                    *current = Arc::new(stored);
                }
                newer
            });
        }
        Ok(())
    }

    /// Completes when the settings changed.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Settings>> {
        self.current.subscribe()
    }
}
