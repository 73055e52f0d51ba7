//! Upkeep: the daily clean-up at its local hour, retention, and the gauges of the queue.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::domain::{Result, SessionId, Settings, UnixMicros};
use crate::metrics;
use crate::queue::Queue;
use crate::settings::SettingsCache;
use crate::store::retention::Old;
use crate::store::{REMEMBERED, Store};

/// How often the gauges are set and the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often what is past its retention is deleted.
const RETENTION_EVERY: Duration = Duration::from_secs(3600);
/// Who deletes takes this turn, where there are several servers.
const TURN: &str = "retention";
/// Between two batches of deletions others get the database.
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps the store small.
#[derive(Debug, Clone)]
pub struct Upkeep {
    store: Arc<Store>,
    queue: Queue,
    settings: SettingsCache,
    /// Deletes the files of sessions whose rows are gone.
    forget_files: fn(&Path, &[SessionId]) -> u64,
    data_dir: PathBuf,
}

impl Upkeep {
    /// Upkeep over these.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        queue: Queue,
        settings: SettingsCache,
        data_dir: PathBuf,
        forget_files: fn(&Path, &[SessionId]) -> u64,
    ) -> Self {
        Self { store, queue, settings, forget_files, data_dir }
    }

    /// Works until `stop`. What fails is logged and tried again.
    pub async fn run(self, stop: CancellationToken) {
        let mut changed = self.settings.subscribe();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut retention_due = Instant::now();
        loop {
            // Another hour, zone or number of days counts at once.
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
                Ok(()) = changed.changed() => retention_due = Instant::now(),
            }
            logged("queue figures", self.gauges().await);
            logged("settings", self.settings.reload().await);
            logged("daily clean-up", self.clean_up_if_due(&stop).await);
            if retention_due <= Instant::now() {
                retention_due = Instant::now() + RETENTION_EVERY;
                logged("retention", self.retain(&stop).await);
                logged("files of gone sessions", self.forget_gone().await);
            }
        }
    }

    async fn gauges(&self) -> Result<()> {
        let now = UnixMicros::now();
        let (waiting, oldest) = self.store.queue_figures(now).await?;
        metrics::queue(waiting, oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)));
        Ok(())
    }

    /// The daily clean-up. Its date is taken first, by compare-and-set: of several servers one does it.
    async fn clean_up_if_due(&self, stop: &CancellationToken) -> Result<()> {
        let settings = self.settings.get();
        let last = self.store.last_cleanup_date().await?.and_then(|date| date.parse().ok());
        let Some(date) = due(UnixMicros::now(), &settings, last) else { return Ok(()) };
        if !self.store.take_cleanup_date(&date.to_string(), &latest_taken(date).to_string()).await? {
            return Ok(());
        }
        let before = UnixMicros::now().minus(days(settings.sessions.auto_cleanup_days));
        let (mut deleted, mut freed_bytes, mut files_bytes) = (0, 0, 0);
        while !stop.is_cancelled() {
            let cleaned = self.queue.clean_up(before, None).await?;
            let (forget, data_dir, gone) = (self.forget_files, self.data_dir.clone(), cleaned.session_ids.clone());
            let freed = tokio::task::spawn_blocking(move || forget(&data_dir, &gone)).await.unwrap_or(0);
            metrics::sessions_cleaned(cleaned.session_ids.len() as u64);
            deleted += cleaned.session_ids.len();
            freed_bytes += cleaned.freed_bytes;
            files_bytes += freed;
            if cleaned.remaining_count == 0 || cleaned.session_ids.is_empty() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        tracing::info!(date = %date, sessions.deleted = deleted, freed_bytes, files.freed_bytes = files_bytes, "daily clean-up done");
        Ok(())
    }

    /// Deletes the files of sessions that have no row any more: those of runs that retention took, and what a crash left.
    async fn forget_gone(&self) -> Result<()> {
        let named = |dir: &str| std::fs::read_dir(self.data_dir.join(dir)).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut found: Vec<SessionId> =
            ["agent", "sessions"].into_iter().flat_map(named).filter_map(|name| name.to_str()?.parse().ok()).collect();
        found.sort_unstable();
        found.dedup();
        let gone = self.store.gone_sessions(found).await?;
        if !gone.is_empty() {
            let (forget, data_dir, count) = (self.forget_files, self.data_dir.clone(), gone.len());
            let freed = tokio::task::spawn_blocking(move || forget(&data_dir, &gone)).await.unwrap_or(0);
            tracing::info!(sessions.count = count, files.freed_bytes = freed, "files of sessions that are gone are deleted");
        }
        Ok(())
    }

    /// Deletes what is past its retention, batch by batch.
    async fn retain(&self, stop: &CancellationToken) -> Result<()> {
        // Several servers would only get into each other's way.
        if self.store.is_postgres() && !self.store.take_turn(TURN, RETENTION_EVERY / 2).await? {
            return Ok(());
        }
        let kept = self.settings.get().retention.clone();
        for old in Old::ALL {
            let kept = match old {
                Old::Payloads => days(kept.delivery_body_days),
                Old::Deliveries => days(kept.delivery_days),
                Old::Journals => days(kept.journal_days),
                Old::Runs => days(kept.run_days),
                Old::Requests => REMEMBERED,
            };
            let before = UnixMicros::now().minus(kept);
            let mut deleted = 0;
            while !stop.is_cancelled() {
                let batch = self.store.delete_old(old, before).await?;
                if batch == 0 {
                    break;
                }
                deleted += batch;
                tokio::time::sleep(PAUSE).await;
            }
            if deleted > 0 {
                tracing::info!(what = ?old, rows.deleted = deleted, "what was past its retention is deleted");
            }
        }
        Ok(())
    }
}

fn days(count: i32) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0) * 86_400)
}

fn logged(what: &str, done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(%error, "{what} failed; it is tried again");
    }
}

/// The local date whose clean-up is due now: the newest date whose hour has come, unless it was done. A date's hour is the
/// first instant at or after it on the wall clock, so a clock change neither skips nor repeats it; one that was missed
/// while the server was down is due at its start.
fn due(now: UnixMicros, settings: &Settings, last: Option<Date>) -> Option<Date> {
    let zone = TimeZone::get(&settings.sessions.time_zone).unwrap_or(TimeZone::UTC);
    let today = now.to_jiff().to_zoned(zone.clone()).date();
    let hour = i8::try_from(settings.sessions.cleanup_hour_local).unwrap_or(3);
    let reached = |date: Date| {
        // `compatible` takes the instant after a gap and the first of a fold.
        date.at(hour, 0, 0, 0).to_zoned(zone.clone()).is_ok_and(|at| at.timestamp() <= now.to_jiff())
    };
    let newest = if reached(today) { Some(today) } else { today.yesterday().ok() }?;
    (last.is_none_or(|last| last < newest || last > latest_taken(newest))).then_some(newest)
}

/// The latest date that may have been taken when this one is due, whatever zones there were: one after it was taken while
/// the clock was wrong, and would keep every clean-up from coming until then.
fn latest_taken(date: Date) -> Date {
    date.checked_add(jiff::Span::new().days(2)).unwrap_or(Date::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, zone: &str, hour: i32, last: Option<&str>) -> Option<String> {
        let mut settings = Settings::default();
        settings.sessions.time_zone = zone.to_owned();
        settings.sessions.cleanup_hour_local = hour;
        let now = UnixMicros(text.parse::<jiff::Timestamp>().expect("a time").as_microsecond());
        due(now, &settings, last.map(|date| date.parse().expect("a date"))).map(|date| date.to_string())
    }

    #[test]
    fn it_runs_once_a_local_day_at_its_hour() {
        assert_eq!(at("2026-06-10T02:59:59Z", "UTC", 3, Some("2026-06-09")), None);
        assert_eq!(at("2026-06-10T03:00:00Z", "UTC", 3, Some("2026-06-09")).as_deref(), Some("2026-06-10"));
        assert_eq!(at("2026-06-10T23:00:00Z", "UTC", 3, Some("2026-06-10")), None);
        // 03:00 in Tokyo is 18:00 UTC of the day before.
        assert_eq!(at("2026-06-09T18:00:00Z", "Asia/Tokyo", 3, Some("2026-06-09")).as_deref(), Some("2026-06-10"));
        assert_eq!(at("2026-06-10T00:00:00Z", "UTC", 0, Some("2026-06-09")).as_deref(), Some("2026-06-10"));
    }

    #[test]
    fn a_missed_day_is_made_up_once() {
        assert_eq!(at("2026-06-10T01:00:00Z", "UTC", 3, Some("2026-06-01")).as_deref(), Some("2026-06-09"));
        assert_eq!(at("2026-06-10T01:00:00Z", "UTC", 3, Some("2026-06-09")), None);
    }

    #[test]
    fn a_date_that_was_taken_by_a_wrong_clock_does_not_keep_the_others_from_coming() {
        assert_eq!(at("2026-06-10T04:00:00Z", "UTC", 3, Some("2026-06-12")), None, "a day or two are a jump or a zone");
        assert_eq!(at("2026-06-10T04:00:00Z", "UTC", 3, Some("2027-06-10")).as_deref(), Some("2026-06-10"));
    }

    #[test]
    fn clock_changes_neither_skip_nor_repeat_it() {
        // Berlin 2026-03-29: 02:00 becomes 03:00 at 01:00Z; an hour of 2 does not exist that day.
        assert_eq!(at("2026-03-29T00:59:59Z", "Europe/Berlin", 2, Some("2026-03-28")), None);
        assert_eq!(at("2026-03-29T01:00:00Z", "Europe/Berlin", 2, Some("2026-03-28")).as_deref(), Some("2026-03-29"));
        // Berlin 2026-10-25: 02:30 comes twice; the first one counts.
        assert_eq!(at("2026-10-25T00:00:00Z", "Europe/Berlin", 2, Some("2026-10-24")).as_deref(), Some("2026-10-25"));
        assert_eq!(at("2026-10-25T01:00:00Z", "Europe/Berlin", 2, Some("2026-10-25")), None);
    }
}
