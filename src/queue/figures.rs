//! How full the queue is, and the settings that say how full it may be: looked up once a second.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Queue;
use crate::domain::{Error, Result, RunStatus, SessionState, Settings, UnixMicros};
use crate::store::entity::{run, setting};
use crate::store::rows::{SETTINGS_ROW, settings_of};
use crate::store::sql::statement;

const FRESH: Duration = Duration::from_secs(1);

/// What intake must know of the whole queue.
#[derive(Debug)]
pub(super) struct Figures {
    /// Runs that waited when they were counted, plus those that this server queued since.
    queued: AtomicI64,
    /// How much may wait, and when a conversation is too old.
    pub(super) settings: Settings,
    read_at: Instant,
}

impl Figures {
    /// How many runs wait.
    pub(super) fn queued(&self) -> i64 {
        self.queued.load(Ordering::Relaxed)
    }
}

/// The figures as last read. One caller reads them anew while the others go on with the old ones.
#[derive(Debug, Default)]
pub(super) struct Cache {
    last: RwLock<Option<Arc<Figures>>>,
    reading: Mutex<()>,
}

impl Cache {
    fn last(&self) -> Option<Arc<Figures>> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, figures: Arc<Figures>) {
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(figures);
    }
}

impl Queue {
    /// Whether intake should be refused before a body is read: the queue is full (a cached figure, about 1 s old at most).
    pub async fn room(&self) -> Result<()> {
        let figures = self.figures().await?;
        let limit = i64::from(figures.settings.limits.max_queued_runs);
        if figures.queued() >= limit {
            return Err(Error::QueueFull { scope: "server", limit });
        }
        Ok(())
    }

    /// The figures, about a second old at most.
    pub(super) async fn figures(&self) -> Result<Arc<Figures>> {
        let cache = &self.inner.figures;
        let fresh = |figures: &Arc<Figures>| figures.read_at.elapsed() < FRESH;
        let turn = match cache.last() {
            Some(figures) if fresh(&figures) => return Ok(figures),
            Some(old) => match cache.reading.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(old),
            },
            None => cache.reading.lock().await,
        };
        // Somebody may have read them while this one waited.
        if let Some(figures) = cache.last().filter(fresh) {
            return Ok(figures);
        }
        let figures = Arc::new(self.read_figures().await?);
        cache.keep(Arc::clone(&figures));
        drop(turn);
        Ok(figures)
    }

    /// Counts runs that were queued since the figures were read.
    pub(super) fn count_queued(&self, more: usize) {
        if let Some(figures) = self.inner.figures.last() {
            figures.queued.fetch_add(i64::try_from(more).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    async fn read_figures(&self) -> Result<Figures> {
        let db = self.store().read();
        let settings = settings(db).await?;
        let queued = run::Entity::find().filter(run::Column::Status.eq(RunStatus::Queued.as_str())).count(db).await?;
        Ok(Figures { queued: AtomicI64::new(i64::try_from(queued).unwrap_or(i64::MAX)), settings, read_at: Instant::now() })
    }

    /// When the next waiting run becomes due, if any waits for a time; one index look-up per open trigger.
    pub async fn next_due(&self) -> Result<Option<UnixMicros>> {
        let text = format!(
            "SELECT min((SELECT min(s.ready_time) FROM sessions s WHERE s.state = '{}' AND s.trigger_id = l.trigger_id AND s.ready_time > ?)) \
             FROM limits l WHERE l.open",
            SessionState::Queued
        );
        let db = self.store().read();
        let row = db.query_one_raw(statement(self.store().backend(), text, vec![UnixMicros::now().0.into()])).await?;
        Ok(row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten().map(UnixMicros))
    }
}

/// The settings, or the defaults of a database that has none yet.
pub(super) async fn settings(db: &impl ConnectionTrait) -> Result<Settings> {
    let row = setting::Entity::find_by_id(SETTINGS_ROW).one(db).await?;
    row.as_ref().map_or_else(|| Ok(Settings::default()), settings_of)
}
