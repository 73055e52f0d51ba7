//! The clock that this process goes by: that of PostgreSQL, which all servers share, or on SQLite the machine's own, as far
//! as it does not go back.

use std::time::Duration;

use sea_orm::{ConnectionTrait, QueryResult, Statement};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Store;
use super::sql::{now, statement};
use crate::domain::{Result, UnixMicros, follow};

/// How often the clock is set. Between two times it goes by one that nobody sets.
const EVERY: Duration = Duration::from_secs(2);
/// From how far off on an operator should know.
const NOTEWORTHY: Duration = Duration::from_secs(60);

impl Store {
    /// Sets the clock of this process for the first time.
    pub async fn set_clock(&self) -> Result<()> {
        if self.is_postgres() {
            let (time, own) = (self.time().await?, UnixMicros::system());
            let off = time.since(own).max(own.since(time));
            if off > NOTEWORTHY {
                tracing::warn!(seconds = off.as_secs(), "the clocks of this machine and of PostgreSQL differ; that of PostgreSQL counts");
            }
            follow(time);
            return Ok(());
        }
        // It may have been set back while nobody served: what is stored says how late it was.
        let latest = self.latest_time().await?;
        if latest > UnixMicros::system() {
            follow(latest);
        }
        self.set_clock_again().await
    }

    /// Keeps setting it until `stop`. While the database is away it goes on by itself.
    pub async fn keep_clock(self: std::sync::Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(error) = self.set_clock_again().await {
                tracing::debug!(%error, "the time of the database cannot be read");
            }
        }
    }

    async fn set_clock_again(&self) -> Result<()> {
        let time = self.time().await?;
        let before = UnixMicros::now();
        if let Some(back) = follow(time) {
            tracing::warn!(hours = back.as_secs_f64() / 3600.0, "the clock went back; what waits for a time waits as long as before");
            if !self.is_postgres() {
                self.move_waits(before, back).await?;
            }
        } else if time.since(before) > NOTEWORTHY {
            tracing::warn!(seconds = time.since(before).as_secs(), "the clock jumped ahead");
        }
        Ok(())
    }

    /// The time by the clock that counts.
    async fn time(&self) -> Result<UnixMicros> {
        if !self.is_postgres() {
            return Ok(UnixMicros::system());
        }
        let asked = Instant::now();
        let text = format!("SELECT {}", now(self.backend()));
        let row = self.read().query_one_raw(Statement::from_string(self.backend(), text)).await?;
        let time = row.map(|row| row.try_get_by_index(0)).transpose()?.map_or_else(UnixMicros::system, UnixMicros);
        Ok(time.plus(asked.elapsed() / 2))
    }

    /// The latest time that anything was stored with.
    async fn latest_time(&self) -> Result<UnixMicros> {
        let mut latest = UnixMicros(0);
        for table in ["runs", "deliveries"] {
            let text = format!("SELECT id FROM {table} ORDER BY id DESC LIMIT 1");
            let row = self.read().query_one_raw(Statement::from_string(self.backend(), text)).await?;
            let id: Option<Uuid> = row.map(|row: QueryResult| row.try_get_by_index(0)).transpose()?;
            let (seconds, nanos) = id.and_then(|id| id.get_timestamp()).map_or((0, 0), |time| time.to_unix());
            latest = latest.max(UnixMicros(i64::try_from(seconds).unwrap_or(0) * 1_000_000 + i64::from(nanos) / 1000));
        }
        let text = "SELECT last_claimed_time FROM limits WHERE trigger_id = ?";
        let row = self.read().query_one_raw(statement(self.backend(), text, vec![Uuid::nil().into()])).await?;
        Ok(latest.max(UnixMicros(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0))))
    }

    /// Runs that wait for a time later than `before` wait for one that is as much earlier.
    async fn move_waits(&self, before: UnixMicros, back: Duration) -> Result<()> {
        let (now, span) = (before.0, i64::try_from(back.as_micros()).unwrap_or(i64::MAX));
        // What waited for nothing is due by the new clock too.
        let due = before.minus(back).0;
        let tx = self.begin().await?;
        for (table, column, state) in [("runs", "not_before", "status = 'queued'"), ("sessions", "ready_time", "state = 'ready'")] {
            let text =
                format!("UPDATE {table} SET {column} = CASE WHEN {column} > ? THEN {column} - ? ELSE ? END WHERE {state} AND {column} > ?");
            tx.execute_raw(statement(self.backend(), text, vec![now.into(), span.into(), due.into(), due.into()])).await?;
        }
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TriggerId;
    use crate::store::entity::{run, session};
    use crate::store::{samples, scratch};

    #[tokio::test]
    async fn what_waits_waits_as_long_after_the_clock_went_back() {
        let (store, _dir) = scratch().await;
        let (now, day, minute) = (UnixMicros::now(), Duration::from_secs(86_400), Duration::from_secs(60));
        let (later, new) = (now.plus(minute), now.minus(day));
        let times = [later, now.minus(minute), new.minus(minute)];
        let (mut sessions, mut runs) = (Vec::new(), Vec::new());
        for (n, time) in times.into_iter().enumerate() {
            let home = session::Model {
                state: "ready".to_owned(),
                tail: 1,
                ready_time: time.0,
                ..samples::session(TriggerId::new(), &n.to_string())
            };
            let home = samples::put(&store, home).await;
            runs.push(samples::put(&store, run::Model { not_before: time.0, ..samples::run(crate::domain::SessionId(home.id)) }).await.id);
            sessions.push(home.id);
        }
        store.move_waits(now, day).await.expect("moved");
        let wanted = [new.plus(minute).0, new.0, new.minus(minute).0];
        for (n, wanted) in wanted.into_iter().enumerate() {
            use sea_orm::EntityTrait as _;
            let home = session::Entity::find_by_id(sessions[n]).one(store.read()).await.expect("read").expect("there");
            let run = run::Entity::find_by_id(runs[n]).one(store.read()).await.expect("read").expect("there");
            assert_eq!((home.ready_time, run.not_before), (wanted, wanted), "{n}");
        }
        assert!(store.latest_time().await.expect("read") >= now.minus(minute), "it is known from what is stored");
    }
}
