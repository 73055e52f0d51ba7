//! Opening the database: SQLite with one writer beside a pool of readers, PostgreSQL with one pool.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

#[cfg(test)]
use sea_orm::DatabaseConnection;
use sea_orm::{SqlxPostgresConnector, SqlxSqliteConnector};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, PgConnection, SqliteConnection};

use super::{Config, Store};
use crate::domain::{Error, Result};

/// Older versions can lose a write-ahead log when checkpoints race.
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);
const READERS: u32 = 4;
const OLDEST_POSTGRES: u32 = 14;
/// After this PostgreSQL ends a transaction whose server says nothing: a server that froze must not hold its locks.
const IDLE_IN_TRANSACTION: &str = "3s";
/// How long a statement waits for a lock before its transaction is tried again. Less than the above: else each transaction of
/// a frozen server that waits for a lock would get it in its turn, and hold everybody up once more.
const LOCK_WAIT: &str = "2s";
/// A prepared statement is not there, or another has its name.
const LOST: [&str; 2] = ["26000", "42P05"];
/// One listens, one writes webhooks, one claims and finishes, one reads.
const LEAST_CONNECTIONS: u32 = 4;
/// Prepared statements of a connection.
const STATEMENTS: usize = 256;
/// How long a caller waits for a connection, and a statement for another process's lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after its last use a connection to PostgreSQL is taken for sound.
const TRUSTED: Duration = Duration::from_millis(500);

/// Opens what the URL names.
pub(super) async fn open(config: &Config, data_dir: &Path) -> Result<Store> {
    let url = config.url.as_str();
    if let Some(path) = config.file(data_dir) {
        return sqlite(&path).await;
    }
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return postgres(config).await;
    }
    Err(Error::field("database.url", "is neither `sqlite:FILE` nor `postgres://…`"))
}

async fn sqlite(path: &Path) -> Result<Store> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // A webhook is answered after its commit is on the disk, not before.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(PATIENCE)
        // In KiB: the hot end of the indexes stays in memory, and what waits does not.
        .pragma("cache_size", "-8192")
        .pragma("temp_store", "memory")
        // In pages, 64 MiB: a checkpoint writes each page once, however often it was changed since the one before, and holds
        // the webhooks up that come meanwhile; this seldom it holds up fewer than one in a hundred.
        .pragma("wal_autocheckpoint", "16000")
        // Set statements come in a few sizes each, and stay prepared.
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    let writer = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        // The file does not go away; asking it each time would be one more way to its thread and back.
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .after_release(|connection, _| Box::pin(is_sound(connection)))
        .connect_with(options.clone().create_if_missing(true))
        .await
        .map_err(|error| unavailable(&format!("`{}` cannot be opened", path.display()), &error))?;
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&writer)
        .await
        .map_err(|error| unavailable("the version of SQLite cannot be read", &error))?;
    check_version(&version)?;
    // After the writer, which has made the file.
    let reader = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .connect_with(options.read_only(true))
        .await
        .map_err(|error| unavailable(&format!("`{}` cannot be read", path.display()), &error))?;
    let writer = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer);
    Ok(Store { lifeline: writer.clone(), writer, reader: SqlxSqliteConnector::from_sqlx_sqlite_pool(reader), pooled: false })
}

/// Whether a connection that comes back is outside of any transaction; one that is not is closed.
///
/// A full disk makes SQLite roll back by itself. The rollback that follows then fails, and the driver goes on counting a
/// transaction that is not there: what is begun next would be a savepoint within it, and committing that would store nothing.
async fn is_sound(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be on its way; after an answer it has arrived.
        connection.ping().await?;
    }
    let sound = !connection.is_in_transaction();
    if !sound {
        tracing::warn!("a connection to the database was left in the middle of a transaction; it is closed");
    }
    Ok(sound)
}

fn check_version(version: &str) -> Result<()> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    let found = (next(), next(), next());
    if found < OLDEST_SQLITE {
        let (major, minor, patch) = OLDEST_SQLITE;
        return Err(Error::StoreUnavailable(format!("SQLite {version} is too old; {major}.{minor}.{patch} is the oldest that is safe")));
    }
    Ok(())
}

async fn postgres(config: &Config) -> Result<Store> {
    let options = PgConnectOptions::from_str(&config.url)
        .map_err(|error| Error::field("database.url", format!("is not a PostgreSQL URL: {error}")))?
        .application_name("reprise")
        .options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION), ("lock_timeout", LOCK_WAIT)])
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging();
    if config.max_connections < LEAST_CONNECTIONS {
        let problem = format!("is {}; at least {LEAST_CONNECTIONS} are needed", config.max_connections);
        return Err(Error::field("database.max_connections", problem));
    }
    let pool = PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(PATIENCE)
        // One that worked a moment ago is not asked whether it still does: that would be one more way there and back for each
        // transaction, and a connection can break right after it was asked, too.
        .test_before_acquire(false)
        .before_acquire(|connection, about| Box::pin(works(connection, about.idle_for)))
        .connect_with(options.clone())
        .await
        .map_err(|error| unavailable("PostgreSQL cannot be reached", &error))?;
    let pooled = is_pooled(&pool).await?;
    if pooled {
        tracing::info!("a pooler gives each transaction another connection: servers tell each other nothing, and look once a second");
    }
    for name in ["server_version_num", "fsync", "full_page_writes", "synchronous_commit", "transaction_read_only"] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(name)
            .fetch_one(&pool)
            .await
            .map_err(|error| unavailable("the settings of PostgreSQL cannot be read", &error))?;
        if let Some(refusal) = refusal(name, &value) {
            return Err(Error::StoreUnavailable(refusal));
        }
    }
    // Signs of life never wait for a connection behind work.
    let lifeline = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(options);
    let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    Ok(Store { writer: pool.clone(), reader: pool, lifeline: SqlxPostgresConnector::from_sqlx_postgres_pool(lifeline), pooled })
}

/// Whether a pooler gives each transaction another connection. Then it must follow prepared statements, or they are lost or
/// mixed up. Errors: it does not.
async fn is_pooled(pool: &PgPool) -> Result<bool> {
    let pid = || sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
    let tried = async {
        let (mut one, mut other) = (pool.acquire().await?, pool.acquire().await?);
        let first = pid().fetch_one(&mut *one).await?;
        // Behind a pooler this takes the connection that was free last: the one that the statement was prepared on.
        let mut held = other.begin().await?;
        let taken = pid().fetch_one(&mut *held).await?;
        let again = pid().fetch_one(&mut *one).await?;
        held.rollback().await?;
        Ok(taken == first || again != first)
    };
    match tokio::time::timeout(PATIENCE, tried).await {
        Ok(Ok(pooled)) => Ok(pooled),
        Ok(Err(error)) => {
            let error: sqlx::Error = error;
            let lost = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| LOST.contains(&code.as_ref()));
            let problem = "leads to a pooler in transaction mode that does not follow prepared statements; PgBouncer does from 1.21 on with \
                           `max_prepared_statements`, and any does with `pool_mode = session`";
            Err(if lost { Error::field("database.url", problem) } else { unavailable("PostgreSQL cannot be used", &error) })
        }
        Err(_elapsed) => Err(Error::StoreUnavailable("a second connection to PostgreSQL does not answer".to_owned())),
    }
}

/// Whether a connection that was not used for so long still works; one that does not is replaced.
async fn works(connection: &mut PgConnection, idle: Duration) -> Result<bool, sqlx::Error> {
    if idle >= TRUSTED {
        connection.ping().await?;
    }
    Ok(true)
}

/// Why a server with this setting cannot keep what was promised to a sender; none: it can.
fn refusal(name: &str, value: &str) -> Option<String> {
    match (name, value) {
        ("server_version_num", number) if number.parse::<u32>().is_ok_and(|number| number < OLDEST_POSTGRES * 10_000) => {
            let major = number.parse::<u32>().unwrap_or_default() / 10_000;
            Some(format!("PostgreSQL {major} is too old; {OLDEST_POSTGRES} is the oldest that is supported"))
        }
        ("fsync" | "full_page_writes" | "synchronous_commit", "off") => {
            Some(format!("PostgreSQL runs with `{name} = off`, so an answered webhook could be lost; turn it on"))
        }
        ("transaction_read_only", "on") => {
            Some("PostgreSQL takes no writes (a standby, or `default_transaction_read_only`); connect to the primary".to_owned())
        }
        _ => None,
    }
}

fn unavailable(what: &str, error: &sqlx::Error) -> Error {
    Error::StoreUnavailable(format!("{what}: {error}"))
}

/// What a store is in tests: a new file, migrated.
#[cfg(test)]
pub(crate) async fn scratch() -> (std::sync::Arc<Store>, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(&Config::new("sqlite:test.db"), dir.path()).await.expect("opened");
    store.migrate_up().await.expect("migrated");
    (std::sync::Arc::new(store), dir)
}

/// The same for every database there is: SQLite, and PostgreSQL where the tests have one.
#[cfg(test)]
pub(crate) async fn scratches() -> Vec<(std::sync::Arc<Store>, Option<tempfile::TempDir>)> {
    let (store, dir) = scratch().await;
    let mut all = vec![(store, Some(dir))];
    if let Ok(url) = std::env::var("REPRISE_TEST_DATABASE_URL") {
        all.push((scratch_postgres(&url).await, None));
    }
    all
}

/// A schema of its own, so that tests do not see each other.
#[cfg(test)]
async fn scratch_postgres(url: &str) -> std::sync::Arc<Store> {
    use sea_orm::ConnectionTrait as _;
    let open = async |url: String| Store::open(&Config::new(url), std::path::Path::new(".")).await.expect("PostgreSQL answers");
    let schema = format!("t{}", uuid::Uuid::now_v7().simple());
    writer(&open(url.to_owned()).await).execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.expect("made");
    let separator = if url.contains('?') { '&' } else { '?' };
    let store = open(format!("{url}{separator}options[search_path]={schema}")).await;
    store.migrate_up().await.expect("migrated");
    std::sync::Arc::new(store)
}

/// The connection of tests that look into the rows.
#[cfg(test)]
pub(crate) fn writer(store: &Store) -> &DatabaseConnection {
    &store.writer
}

#[cfg(test)]
mod tests {
    use super::*;
    use migration::{Migrator, MigratorTrait};

    #[test]
    fn an_old_sqlite_is_refused() {
        for (version, good) in [("3.51.3", true), ("3.52.0", true), ("4.0", true), ("3.51.2", false), ("3.50.9", false), ("", false)] {
            assert_eq!(check_version(version).is_ok(), good, "{version}");
        }
    }

    #[test]
    fn a_server_that_could_lose_an_answered_webhook_is_refused() {
        for (name, bad, good) in [
            ("server_version_num", "130014", "140000"),
            ("server_version_num", "90624", "170002"),
            ("fsync", "off", "on"),
            ("full_page_writes", "off", "on"),
            ("synchronous_commit", "off", "local"),
            ("transaction_read_only", "on", "off"),
        ] {
            assert!(refusal(name, bad).is_some(), "{name} {bad}");
            assert_eq!(refusal(name, good), None);
        }
        assert!(refusal("server_version_num", "130014").expect("refused").contains("PostgreSQL 13 is too old; 14 is the oldest"));
    }

    #[tokio::test]
    async fn the_file_is_made_and_the_schema_goes_up_and_down() {
        let (store, dir) = scratch().await;
        assert!(dir.path().join("test.db").exists());
        assert!(!store.is_postgres());
        store.ping().await.expect("answers");
        assert!(store.database_size().await.expect("a size") > 0);
        let all = Migrator::migrations().len();
        let applied = |status: Vec<(String, bool)>| status.iter().filter(|(_, applied)| *applied).count();
        assert_eq!(applied(store.migration_status().await.expect("status")), all);
        store.migrate_down(1).await.expect("down");
        assert_eq!(applied(store.migration_status().await.expect("status")), all - 1);
        store.migrate_up().await.expect("up again");
        assert_eq!(applied(store.migration_status().await.expect("status")), all);
    }

    #[tokio::test]
    async fn a_reader_cannot_write_and_a_commit_is_synced() {
        use sea_orm::{ConnectionTrait, Statement};
        let (store, _dir) = scratch().await;
        assert!(store.read().execute_unprepared("DELETE FROM runs").await.is_err());
        let pragma = |name: &str| Statement::from_string(sea_orm::DbBackend::Sqlite, format!("PRAGMA {name}"));
        let mode = writer(&store).query_one_raw(pragma("synchronous")).await.expect("asked").expect("a row");
        assert_eq!(mode.try_get_by_index::<i32>(0).expect("a number"), 2, "FULL");
    }

    #[tokio::test]
    async fn a_transaction_that_the_database_rolled_back_by_itself_costs_no_later_one() {
        use sea_orm::{ConnectionTrait, Statement};
        let (store, _dir) = scratch().await;
        let tx = store.begin().await.expect("begun");
        // As SQLite does by itself when the disk is full.
        tx.execute_unprepared("ROLLBACK").await.expect("rolled back");
        assert!(tx.rollback().await.is_err(), "there is nothing to roll back");
        store.begin().await.expect("begun").rollback().await.expect("rolled back");
        let tx = store.begin().await.expect("begun");
        tx.execute_unprepared("INSERT INTO settings (name, value, version, update_time) VALUES ('x', '', 1, 1)").await.expect("written");
        tx.commit().await.expect("committed");
        let count = Statement::from_string(sea_orm::DbBackend::Sqlite, "SELECT count(*) FROM settings WHERE name = 'x'");
        let row = store.read().query_one_raw(count).await.expect("asked").expect("a row");
        assert_eq!(row.try_get_by_index::<i64>(0).expect("a number"), 1, "what was committed is there");
    }

    #[tokio::test]
    async fn a_wait_for_a_lock_ends_so_that_it_can_be_tried_again() {
        use sea_orm::ConnectionTrait;
        const LOCK: &str = "LOCK TABLE limits";
        let Some((store, _)) = scratches().await.into_iter().find(|(store, _)| store.is_postgres()) else { return };
        let holder = store.begin().await.expect("begun");
        holder.execute_unprepared(LOCK).await.expect("locked");
        let waiter = store.begin().await.expect("begun");
        let error = waiter.execute_unprepared(LOCK).await.expect_err("it is held");
        assert!(crate::store::transient(&error), "{error}");
        holder.rollback().await.expect("rolled back");
    }

    #[tokio::test]
    async fn a_connection_that_ended_while_nobody_used_it_is_replaced() {
        use sea_orm::{ConnectionTrait, Statement};
        let Some((store, _)) = scratches().await.into_iter().find(|(store, _)| store.is_postgres()) else { return };
        let (other, _) = scratches().await.into_iter().find(|(store, _)| store.is_postgres()).expect("a second one");
        let ask = |text: &str| Statement::from_string(sea_orm::DbBackend::Postgres, text);
        let own = store.read().query_one_raw(ask("SELECT pg_backend_pid()")).await.expect("asked").expect("a row");
        let own: i32 = own.try_get_by_index(0).expect("a number");
        other.read().query_one_raw(ask(&format!("SELECT pg_terminate_backend({own})"))).await.expect("ended");
        // The time after which it is asked again.
        tokio::time::sleep(TRUSTED).await;
        store.ping().await.expect("another one answers");
        let next = store.read().query_one_raw(ask("SELECT pg_backend_pid()")).await.expect("asked").expect("a row");
        assert_ne!(next.try_get_by_index::<i32>(0).expect("a number"), own);
    }

    #[tokio::test]
    async fn another_kind_of_url_is_refused() {
        let error = Store::open(&Config::new("mysql://x"), Path::new(".")).await.expect_err("refused");
        assert_eq!(error.reason(), "FIELD_INVALID");
    }
}
