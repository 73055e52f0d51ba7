//! Which rows changed since a place in the order of changes, whoever wrote them. The migration of change stamps says how.

use std::collections::HashMap;

use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::Store;
use super::entity::{delivery, run};
use super::rows::{delivery_of, runs_of};
use super::sql::statement;
use crate::domain::{Delivery, Result, Run};

/// Rows of one look into SQLite.
const LOOK: u32 = 200;

/// A table whose rows are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    Runs,
    Deliveries,
}

impl Watched {
    const fn table(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Deliveries => "deliveries",
        }
    }
}

/// A place in the order of changes, and what beyond it was seen already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// After this row and after this stamp.
    Sqlite { row: i64, stamp: i64 },
    /// From this transaction on, but for the rows that were seen with these stamps.
    Postgres { from: i64, seen: HashMap<Uuid, i64> },
}

/// What one look found.
#[derive(Debug)]
pub(crate) struct Look {
    /// The changed rows.
    pub(crate) ids: Vec<Uuid>,
    /// Whether there may be more.
    pub(crate) more: bool,
}

impl Store {
    /// The place after everything that is committed now.
    pub(crate) async fn place(&self, watched: Watched) -> Result<Place> {
        let table = watched.table();
        if self.is_postgres() {
            // Stamps of a database that was moved here from another server would stay ahead of this one's for long.
            let foreign = format!(
                "UPDATE {table} SET change_stamp = NULL WHERE change_stamp >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            );
            self.write().execute_unprepared(&foreign).await?;
            let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
            let mut place = Place::Postgres { from: self.numbers(sql).await?[0], seen: HashMap::new() };
            // What is committed already is before this place, also while an older transaction is open.
            self.changed(watched, &mut place).await?;
            return Ok(place);
        }
        let sql = format!(
            "SELECT coalesce((SELECT max(rowid) FROM {table}), 0), \
             coalesce((SELECT max(change_stamp) FROM {table} WHERE change_stamp IS NOT NULL), 0)"
        );
        let numbers = self.numbers(&sql).await?;
        Ok(Place::Sqlite { row: numbers[0], stamp: numbers[1] })
    }

    async fn numbers(&self, sql: &str) -> Result<[i64; 2]> {
        let row = self.read().query_one_raw(statement(self.backend(), sql, vec![])).await?;
        let number = |at| row.as_ref().and_then(|row| row.try_get_by_index::<i64>(at).ok()).unwrap_or(0);
        Ok([number(0), number(1)])
    }

    /// The next rows that changed after `place`, which moves on past them.
    pub(crate) async fn changed(&self, watched: Watched, place: &mut Place) -> Result<Look> {
        match place {
            Place::Sqlite { row, stamp } => self.changed_sqlite(watched.table(), row, stamp).await,
            Place::Postgres { from, seen } => self.changed_postgres(watched.table(), from, seen).await,
        }
    }

    async fn changed_sqlite(&self, table: &str, row: &mut i64, stamp: &mut i64) -> Result<Look> {
        let sql = format!(
            "SELECT id, at, 0 FROM (SELECT id, rowid AS at FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {LOOK}) UNION ALL \
             SELECT id, 0, at FROM (SELECT id, change_stamp AS at FROM {table} WHERE change_stamp > ? ORDER BY change_stamp LIMIT {LOOK})"
        );
        let found = self.read().query_all_raw(statement(self.backend(), sql, vec![(*row).into(), (*stamp).into()])).await?;
        let (mut ids, mut counts) = (Vec::with_capacity(found.len()), [0, 0]);
        for line in &found {
            let (id, at, stamped): (Uuid, i64, i64) = (line.try_get_by_index(0)?, line.try_get_by_index(1)?, line.try_get_by_index(2)?);
            counts[usize::from(stamped > 0)] += 1;
            (*row, *stamp) = ((*row).max(at), (*stamp).max(stamped));
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(Look { ids, more: counts.contains(&LOOK) })
    }

    async fn changed_postgres(&self, table: &str, from: &mut i64, seen: &mut HashMap<Uuid, i64>) -> Result<Look> {
        // Narrow rows: what was seen already is read once more for as long as an older transaction is open, which is short.
        let sql = format!(
            "WITH now AS (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest) \
             SELECT oldest, id, change_stamp FROM now LEFT JOIN {table} ON change_stamp >= ? ORDER BY change_stamp, id"
        );
        let found = self.read().query_all_raw(statement(self.backend(), sql, vec![(*from).into()])).await?;
        let mut ids = Vec::new();
        for line in &found {
            let Some(id) = line.try_get_by_index::<Option<Uuid>>(1)? else { continue };
            let stamp: i64 = line.try_get_by_index(2)?;
            if seen.insert(id, stamp) != Some(stamp) {
                ids.push(id);
            }
        }
        if let Some(line) = found.first() {
            *from = line.try_get_by_index(0)?;
            seen.retain(|_, stamp| *stamp >= *from);
        }
        Ok(Look { ids, more: false })
    }

    /// These runs as they are now, without attempts and usage by model.
    pub(crate) async fn runs_now(&self, ids: &[Uuid]) -> Result<Vec<Run>> {
        let rows = super::runs::shown().filter(run::Column::Id.is_in(ids.iter().copied())).all(self.read()).await?;
        runs_of(self.read(), rows, false).await
    }

    /// These deliveries as they are now.
    pub(crate) async fn deliveries_now(&self, ids: &[Uuid]) -> Result<Vec<Delivery>> {
        let rows = delivery::Entity::find().filter(delivery::Column::Id.is_in(ids.iter().copied())).all(self.read()).await?;
        rows.into_iter().map(delivery_of).collect()
    }
}
