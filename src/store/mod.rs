//! The database: entities and queries. Domain values in, domain values out.

pub(crate) mod api_keys;
pub(crate) mod changes;
pub(crate) mod chunk;
mod connect;
mod deliveries;
mod doctor;
pub(crate) mod entity;
pub(crate) mod journal_chunks;
mod journal_pages;
mod page;
pub(crate) mod payload;
mod replays;
mod requests;
pub(crate) mod retention;
pub(crate) mod rows;
mod runs;
#[cfg(test)]
pub(crate) mod samples;
mod sessions;
mod settings;
pub(crate) mod sign_in_codes;
pub(crate) mod sql;
pub(crate) mod together;
pub(crate) mod triggers;
mod usage;

use std::path::Path;

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait,
};

use crate::domain::{Error, Result};

#[cfg(test)]
pub(crate) use connect::{scratch, scratches, writer};
pub(crate) use page::first_id_at;
pub(crate) use requests::{REMEMBERED, Remembered};

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:PATH` (relative to the data directory), or `postgres://…`.
    pub url: String,
}

/// The database: one writer (SQLite) beside a pool of readers.
#[derive(Debug, Clone)]
pub struct Store {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

impl Store {
    /// Opens the database, makes it if it is missing (SQLite), and checks its version and durability.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self> {
        connect::open(config, data_dir).await
    }

    /// Brings the schema up to date.
    pub async fn migrate_up(&self) -> Result<()> {
        Ok(Migrator::up(&self.writer, None).await?)
    }

    /// Takes back the last `steps` migrations, with the data they hold.
    pub async fn migrate_down(&self, steps: u32) -> Result<()> {
        Ok(Migrator::down(&self.writer, Some(steps)).await?)
    }

    /// Every migration by name, oldest first, and whether it is applied.
    pub async fn migration_status(&self) -> Result<Vec<(String, bool)>> {
        let all = Migrator::get_migration_with_status(&self.writer).await?;
        Ok(all.iter().map(|one| (one.name().to_owned(), one.status() == migration::MigrationStatus::Applied)).collect())
    }

    /// Whether the database is PostgreSQL, which other servers may share.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.reader.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// The size of the database in bytes, its write-ahead log left out.
    pub async fn database_size(&self) -> Result<i64> {
        let sql = if self.is_postgres() {
            "SELECT pg_database_size(current_database())"
        } else {
            "SELECT (SELECT page_count FROM pragma_page_count()) * (SELECT page_size FROM pragma_page_size())"
        };
        let row = self.reader.query_one_raw(Statement::from_string(self.backend(), sql)).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(0))
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// For queries.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// For single statements that write.
    pub(crate) fn write(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// A write transaction (`BEGIN IMMEDIATE` on SQLite). Never begin another while holding one.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let options =
            TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..TransactionOptions::default() };
        self.writer.begin_with_options(options).await
    }
}

/// Whether the same transaction may well work when it is tried again: somebody held a lock, or was faster.
pub(crate) fn transient(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))
    | DbErr::Conn(RuntimeErr::SqlxError(cause))) = error
    else {
        return false;
    };
    // SQLite: busy, locked, busy with an old snapshot, and both unique constraints. PostgreSQL: serialization, deadlock, unique.
    const CODES: [&str; 8] = ["5", "6", "517", "1555", "2067", "40001", "40P01", "23505"];
    cause.as_database_error().and_then(|error| error.code()).is_some_and(|code| CODES.contains(&code.as_ref()))
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(violated) => Self::internal(violated),
            None => Self::StoreUnavailable(error.to_string()),
        }
    }
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod reads_tests;
