//! The limit for webhooks: the least that durably takes a signed body. A route, the HMAC, one row; rows that wait are
//! committed together (WAL, `synchronous=FULL`), then all of them are answered.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::serve::ListenerExt;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::edge_postgres;
use crate::load::wall_micros;
use crate::payload::{DELIVERY, SIGNATURE};

const SECRET: &str = "the-secret-of-the-bare-edge";
/// Most rows of one commit.
pub(crate) const BATCH: usize = 128;
/// One row per webhook; a rowid table with a unique index beats a clustered random key.
pub(crate) const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS webhooks (delivery BLOB NOT NULL UNIQUE, received INTEGER NOT NULL, body BLOB NOT NULL)";

/// How the edge is started.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Its database.
    #[arg(long)]
    database: PathBuf,
    /// A PostgreSQL database with the schema of Reprise, to be used instead.
    #[arg(long)]
    postgres: Option<String>,
    /// Where it writes its address.
    #[arg(long)]
    address: PathBuf,
    /// A program to start for each webhook, after the commit.
    #[arg(long)]
    spawn: Option<PathBuf>,
}

/// A webhook that waits for its commit.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) delivery: Uuid,
    /// One for each body: a part of its signature.
    pub(crate) thread: String,
    pub(crate) body: Bytes,
    pub(crate) committed: oneshot::Sender<()>,
}

#[derive(Debug, Clone)]
struct Edge {
    rows: mpsc::Sender<Row>,
    spawns: Option<mpsc::Sender<Uuid>>,
}

/// Opens the edge's database for writing.
pub(crate) async fn open(database: &Path, synchronous: SqliteSynchronous) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query(TABLE).execute(&mut connection).await?;
    Ok(connection)
}

/// The secret that the edge verifies with.
pub(crate) fn secret() -> String {
    SECRET.to_owned()
}

/// Serves until it is killed.
pub(crate) async fn serve(options: Options) -> Result<()> {
    let mut owned = JoinSet::new();
    let (rows, waiting) = mpsc::channel(4096);
    match options.postgres {
        Some(url) => owned.spawn(edge_postgres::commit(url, waiting)),
        None => owned.spawn(commit(open(&options.database, SqliteSynchronous::Full).await?, waiting)),
    };
    let spawns = options.spawn.map(|program| {
        let (spawns, wanted) = mpsc::channel(64);
        owned.spawn(start_children(program, wanted));
        spawns
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    std::fs::write(&options.address, listener.local_addr()?.to_string())?;
    let app = Router::new().route("/", post(take)).with_state(Arc::new(Edge { rows, spawns }));
    let listener = listener.tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    owned.shutdown().await;
    Ok(())
}

async fn take(State(edge): State<Arc<Edge>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let signature = text(SIGNATURE).and_then(|value| hex::decode(value.strip_prefix("sha256=")?).ok());
    let (Some(signature), Some(delivery)) = (signature, text(DELIVERY).and_then(|id| Uuid::parse_str(id).ok())) else {
        return StatusCode::BAD_REQUEST;
    };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else { return StatusCode::INTERNAL_SERVER_ERROR };
    mac.update(&body);
    if mac.verify_slice(&signature).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let (committed, done) = oneshot::channel();
    if edge.rows.send(Row { delivery, thread: hex::encode(&signature[..8]), body, committed }).await.is_err() || done.await.is_err() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if let Some(spawns) = &edge.spawns
        && spawns.send(delivery).await.is_err()
    {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::OK
}

/// The one writer: whatever waits is one statement, and so one commit.
async fn commit(mut connection: SqliteConnection, mut waiting: mpsc::Receiver<Row>) -> Result<()> {
    let mut rows = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut rows, BATCH).await > 0 {
        let mut sql = String::from("INSERT INTO webhooks (delivery, received, body) VALUES (?, ?, ?)");
        sql.push_str(&", (?, ?, ?)".repeat(rows.len() - 1));
        sql.push_str(" ON CONFLICT DO NOTHING");
        let mut insert = sqlx::query(sqlx::AssertSqlSafe(sql));
        for row in &rows {
            insert = insert.bind(row.delivery.as_bytes().as_slice()).bind(wall_micros()).bind(row.body.as_ref());
        }
        insert.execute(&mut connection).await.context("the rows could not be stored")?;
        for row in rows.drain(..) {
            let _gone = row.committed.send(());
        }
    }
    Ok(())
}

/// Starts the agent as plainly as possible: a prompt on its standard input, its output unread.
async fn start_children(program: PathBuf, mut wanted: mpsc::Receiver<Uuid>) -> Result<()> {
    let mut children = JoinSet::new();
    while let Some(delivery) = wanted.recv().await {
        let mut command = tokio::process::Command::new(&program);
        command.args(["-p", "--output-format", "stream-json", "--verbose", "--session-id"]).arg(delivery.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        children.spawn(async move {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(b"What is this about?").await?;
            }
            child.wait().await
        });
        while children.try_join_next().is_some() {}
    }
    Ok(())
}
