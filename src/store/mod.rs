//! The database: entities and queries. Domain values in, domain values out.

pub(crate) mod api_keys;
mod bell;
pub(crate) mod changes;
pub(crate) mod chunk;
mod clock;
mod connect;
mod deliveries;
mod doctor;
pub(crate) mod entity;
pub(crate) mod journal_chunks;
pub(crate) mod journal_lines;
pub(crate) mod journal_news;
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
mod set;
mod settings;
pub(crate) mod sign_in_codes;
pub(crate) mod sql;
pub(crate) mod together;
pub(crate) mod triggers;
mod usage;

use std::path::{Path, PathBuf};

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

const MIGRATION_TRIES: u32 = 10;
const MIGRATION_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:PATH` (relative to the data directory), or `postgres://…`.
    pub url: String,
    /// Connections to PostgreSQL at once; SQLite has one for writing and a few for reading.
    #[serde(default = "Config::default_connections")]
    pub max_connections: u32,
}

impl Config {
    /// This database, with the usual number of connections.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), max_connections: Self::default_connections() }
    }

    const fn default_connections() -> u32 {
        16
    }

    /// The file of an SQLite database.
    #[must_use]
    pub fn file(&self, data_dir: &Path) -> Option<PathBuf> {
        self.url.strip_prefix("sqlite:").map(|path| data_dir.join(path.trim_start_matches("//")))
    }

    /// Whether it is an SQLite database, which one process opens at a time.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }
}

/// The database: one writer (SQLite) beside a pool of readers.
#[derive(Debug, Clone)]
pub struct Store {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    lifeline: DatabaseConnection,
    /// A pooler gives each transaction another connection.
    pooled: bool,
}

impl Store {
    /// Opens the database, makes it if it is missing (SQLite), and checks its version and durability.
    pub async fn open(config: &Config, data_dir: &Path) -> Result<Self> {
        connect::open(config, data_dir).await
    }

    /// Brings the schema up to date. Of several servers that start on a new database at once one does it; the others
    /// find it done when they look again.
    pub async fn migrate_up(&self) -> Result<()> {
        self.refuse_newer_schema().await?;
        for _ in 0..MIGRATION_TRIES {
            match Migrator::up(&self.writer, None).await {
                Ok(()) => return Ok(()),
                Err(error) if self.is_postgres() => {
                    tracing::debug!(%error, "the schema could not be brought up to date, looking again");
                    tokio::time::sleep(MIGRATION_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Migrator::up(&self.writer, None).await?)
    }

    /// A schema that has what this version does not know is that of a newer one: it cannot be worked on.
    async fn refuse_newer_schema(&self) -> Result<()> {
        let text = "SELECT version FROM seaql_migrations ORDER BY version";
        // A new database has no such table yet.
        let Ok(rows) = self.writer.query_all_raw(Statement::from_string(self.backend(), text)).await else { return Ok(()) };
        let known: Vec<String> = Migrator::migrations().iter().map(|one| one.name().to_owned()).collect();
        for row in rows {
            let version: String = row.try_get_by_index(0)?;
            if !known.contains(&version) {
                return Err(Error::field(
                    "database.url",
                    format!(
                        "is a database of a newer version of Reprise: it has `{version}`, which {} does not know; start that version, or restore a backup from before it",
                        env!("CARGO_PKG_VERSION")
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Takes back the last `steps` migrations, with the data they hold.
    pub async fn migrate_down(&self, steps: u32) -> Result<()> {
        Ok(Migrator::down(&self.writer, Some(steps)).await?)
    }

    /// Every migration by name, oldest first, and whether it is applied.
    pub async fn migration_status(&self) -> Result<Vec<(String, bool)>> {
        self.refuse_newer_schema().await?;
        let all = Migrator::get_migration_with_status(&self.writer).await?;
        Ok(all.iter().map(|one| (one.name().to_owned(), one.status() == migration::MigrationStatus::Applied)).collect())
    }

    /// Whether the database is PostgreSQL, which other servers may share.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        self.backend() == DbBackend::Postgres
    }

    /// Whether this server may listen for what others say: not where each transaction has another connection, since what
    /// is said would reach whoever has the one that listened.
    pub(crate) fn may_listen(&self) -> bool {
        self.is_postgres() && !self.pooled
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

    /// For signs of life alone.
    pub(crate) fn lifeline(&self) -> &DatabaseConnection {
        &self.lifeline
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
    // SQLite: busy, locked, busy with an old snapshot, and both unique constraints. PostgreSQL: serialization, deadlock, unique,
    // a lock that was waited for too long.
    const CODES: [&str; 9] = ["5", "6", "517", "1555", "2067", "40001", "40P01", "23505", "55P03"];
    cause.as_database_error().and_then(|error| error.code()).is_some_and(|code| CODES.contains(&code.as_ref()))
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if away(&error) { Self::StoreUnavailable(error.to_string()) } else { Self::internal(error) }
    }
}

/// Whether the database cannot now, and may well later: it is worth trying again. Anything else is a fault of ours.
fn away(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))
    | DbErr::Conn(RuntimeErr::SqlxError(cause))) = error
    else {
        return matches!(error, DbErr::Conn(_) | DbErr::ConnectionAcquire(_));
    };
    let Some(code) = cause.as_database_error().and_then(|error| error.code()) else {
        return matches!(**cause, sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed)
            || matches!(**cause, sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_));
    };
    // SQLite, the low byte: locked by another process, out of memory, read-only, an IO error, full, cannot be opened.
    if let Ok(number) = code.parse::<u32>()
        && code.len() < 5
    {
        return [5, 6, 7, 8, 10, 13, 14].contains(&(number & 0xff));
    }
    // PostgreSQL: no connection, conflicts, read-only (a standby), no resources (a full disk), somebody ended it, the system.
    ["08", "40", "25006", "53", "55P03", "57", "58"].iter().any(|class| code.starts_with(class))
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod reads_tests;
