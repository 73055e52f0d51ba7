//! The database of a server under measurement, for the statements that are no part of the measurement.

use std::path::Path;

use anyhow::Result;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

/// One connection to it. Its commits are not synced: whoever fills a database settles it afterwards.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Which database, and where.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A file.
    Sqlite(std::path::PathBuf),
    /// A URL.
    Postgres(String),
}

impl Place {
    /// The file of `dir` that a server keeps its data in.
    pub(crate) fn file(dir: &Path) -> Self {
        Self::Sqlite(dir.join("data/reprise.db"))
    }

    /// Its name, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// As the configuration names it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite:{}", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// Connects.
    pub(crate) async fn open(&self) -> Result<Database> {
        match self {
            Self::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).journal_mode(SqliteJournalMode::Wal);
                let mut connection = SqliteConnection::connect_with(&options.synchronous(SqliteSynchronous::Off)).await?;
                connection.execute("PRAGMA cache_size = -262144").await?;
                Ok(Database::Sqlite(connection))
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await?;
                connection.execute("SET synchronous_commit = off").await?;
                Ok(Database::Postgres(connection))
            }
        }
    }
}

impl Database {
    /// Runs statements that give no rows.
    pub(crate) async fn run(&mut self, text: &str) -> Result<()> {
        let text = AssertSqlSafe(text.to_owned());
        match self {
            Self::Sqlite(db) => _ = sqlx::raw_sql(text).execute(db).await?,
            Self::Postgres(db) => _ = sqlx::raw_sql(text).execute(db).await?,
        }
        Ok(())
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&mut self, text: &str) -> Result<i64> {
        let text = AssertSqlSafe(text.to_owned());
        Ok(match self {
            Self::Sqlite(db) => sqlx::query_scalar(text).fetch_one(db).await?,
            Self::Postgres(db) => sqlx::query_scalar(text).fetch_one(db).await?,
        })
    }

    /// The columns of a table, in their order.
    pub(crate) async fn columns(&mut self, table: &str) -> Result<Vec<String>> {
        Ok(match self {
            Self::Sqlite(db) => sqlx::query_scalar("SELECT name FROM pragma_table_info(?)").bind(table).fetch_all(db).await?,
            Self::Postgres(db) => {
                let named = "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1";
                sqlx::query_scalar(named).bind(table).fetch_all(db).await?
            }
        })
    }

    /// What was written is on the disk, and known to the planner, before anything is measured.
    pub(crate) async fn settle(mut self) -> Result<()> {
        match &mut self {
            Self::Sqlite(db) => _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").await?,
            Self::Postgres(db) => {
                db.execute("VACUUM ANALYZE").await?;
                db.execute("CHECKPOINT").await?;
            }
        }
        match self {
            Self::Sqlite(db) => db.close().await?,
            Self::Postgres(db) => db.close().await?,
        }
        Ok(())
    }
}
