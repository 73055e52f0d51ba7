//! How full the queue is, and the settings that say how full it may be: looked up once a second.

use std::time::Duration;

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};
use tokio::time::Instant;

use super::Queue;
use crate::domain::{Error, Result, RunStatus, SessionState, Settings, UnixMicros};
use crate::metrics;
use crate::store::entity::{run, setting};
use crate::store::rows::{SETTINGS_ROW, settings_of};
use crate::store::sql::statement;

const FRESH: Duration = Duration::from_secs(1);

/// What intake must know of the whole queue.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    /// Runs that wait, as counted, plus those that this server queued since.
    pub(super) queued: i64,
    /// How much may wait, and when a conversation is too old.
    pub(super) settings: Settings,
    read_at: Instant,
}

impl Queue {
    /// Whether intake should be refused before a body is read: the queue is full (a cached figure, at most 1 s old).
    pub async fn room(&self) -> Result<()> {
        let figures = self.figures().await?;
        let limit = i64::from(figures.settings.limits.max_queued_runs);
        if figures.queued >= limit {
            return Err(Error::QueueFull { scope: "server", limit });
        }
        Ok(())
    }

    /// The figures, at most a second old.
    pub(super) async fn figures(&self) -> Result<Figures> {
        let mut cached = self.inner.figures.lock().await;
        if let Some(figures) = cached.as_ref().filter(|figures| figures.read_at.elapsed() < FRESH) {
            return Ok(figures.clone());
        }
        let figures = self.read_figures().await?;
        *cached = Some(figures.clone());
        Ok(figures)
    }

    /// Counts runs that were queued since the figures were read.
    pub(super) async fn count_queued(&self, more: usize) {
        if let Some(figures) = self.inner.figures.lock().await.as_mut() {
            figures.queued = figures.queued.saturating_add_unsigned(more as u64);
        }
    }

    async fn read_figures(&self) -> Result<Figures> {
        let db = self.store().read();
        let settings = settings(db).await?;
        let queued = run::Entity::find().filter(run::Column::Status.eq(RunStatus::Queued.as_str())).count(db).await?;
        let now = UnixMicros::now();
        let oldest = self.first_ready("<=", now).await?;
        metrics::queue(queued, oldest.map_or(Duration::ZERO, |since| now.since(since)));
        Ok(Figures { queued: i64::try_from(queued).unwrap_or(i64::MAX), settings, read_at: Instant::now() })
    }

    /// When the next waiting run becomes due, if any waits for a time.
    pub async fn next_due(&self) -> Result<Option<UnixMicros>> {
        self.first_ready(">", UnixMicros::now()).await
    }

    /// The first ready time of an open trigger on this side of `now`; one index look-up per trigger.
    async fn first_ready(&self, side: &str, now: UnixMicros) -> Result<Option<UnixMicros>> {
        let text = format!(
            "SELECT min((SELECT min(s.ready_time) FROM sessions s WHERE s.state = '{}' AND s.trigger_id = l.trigger_id AND s.ready_time {side} ?)) \
             FROM limits l WHERE l.open",
            SessionState::Queued
        );
        let db = self.store().read();
        let row = db.query_one_raw(statement(self.store().backend(), text, vec![now.0.into()])).await?;
        Ok(row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten().map(UnixMicros))
    }
}

/// The settings, or the defaults of a database that has none yet.
pub(super) async fn settings(db: &impl ConnectionTrait) -> Result<Settings> {
    let row = setting::Entity::find_by_id(SETTINGS_ROW).one(db).await?;
    row.as_ref().map_or_else(|| Ok(Settings::default()), settings_of)
}
