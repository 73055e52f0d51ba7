//! The limit for claims: the statements of a claim, prepared, on a plain connection, and nothing else. Nothing is read that a
//! run needs, no text is made, nobody is told.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, ensure};
use reprise::queue::claim_statements;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row, SqliteConnection};
use uuid::Uuid;

use crate::database::Place;
use crate::load::wall_micros;

/// A connection that claims.
#[derive(Debug)]
pub(crate) struct Bare {
    connection: Plain,
    worker: Uuid,
    texts: Texts,
}

/// The texts for so many rows.
type Texts = HashMap<usize, [String; 5]>;

#[derive(Debug)]
enum Plain {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What stands for a `?`.
#[derive(Debug, Clone, Copy)]
enum Value {
    Id(Option<Uuid>),
    Big(Option<i64>),
    Int(Option<i32>),
    Text(&'static str),
}

/// A session that was claimed.
#[derive(Debug)]
struct Claimed {
    session: Uuid,
    trigger: Uuid,
    head: i64,
    lease: Uuid,
    generation: i32,
    turns: i32,
}

/// A prepared statement with its values; the same on both databases.
macro_rules! bound {
    ($text:expr, $values:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($text));
        for value in $values {
            query = match value {
                Value::Id(value) => query.bind(value),
                Value::Big(value) => query.bind(value),
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
            };
        }
        query
    }};
}

macro_rules! claim {
    ($db:expr, $begin:literal, $bare:expr, $decision:expr, $slots:expr, $follow:ident) => {{
        let mut tx = $db.begin_with($begin).await?;
        let rows = bound!($bare.texts[&$slots][0].clone(), $decision).fetch_all(&mut *tx).await?;
        let claimed: Vec<Claimed> = rows
            .iter()
            .map(|row| Claimed {
                session: row.get(0),
                trigger: row.get(1),
                head: row.get(2),
                lease: row.get(3),
                generation: row.get(4),
                turns: row.get(5),
            })
            .collect();
        $follow(&mut tx, &$bare.texts, &claimed, $bare.worker).await?;
        tx.commit().await?;
        claimed.len()
    }};
}

impl Bare {
    /// Connects, durably, for this worker.
    pub(crate) async fn connect(place: &Place, worker: Uuid) -> Result<Self> {
        let connection = match place {
            Place::Sqlite(file) => {
                let options = SqliteConnectOptions::new().filename(file).journal_mode(SqliteJournalMode::Wal);
                let options =
                    options.synchronous(SqliteSynchronous::Full).pragma("cache_size", "-8192").pragma("wal_autocheckpoint", "16000");
                Plain::Sqlite(SqliteConnection::connect_with(&options).await?)
            }
            Place::Postgres(url) => Plain::Postgres(PgConnection::connect(url).await?),
        };
        let texts = (1..7).map(|power| (1 << power, claim_statements(place.is_postgres(), 1 << power))).collect();
        Ok(Self { connection, worker, texts })
    }

    /// Claims `slots`, a power of two, in one transaction.
    pub(crate) async fn claim(&mut self, slots: usize) -> Result<()> {
        let (now, most) = (Value::Big(Some(wall_micros())), Value::Big(Some(i64::try_from(slots)?)));
        let (worker, all) = (Value::Id(Some(self.worker)), Value::Id(Some(Uuid::nil())));
        let claimed = match &mut self.connection {
            Plain::Sqlite(db) => claim!(db, "BEGIN IMMEDIATE", self, [now, most, worker, worker, most, all], slots, row_by_row),
            Plain::Postgres(db) => claim!(db, "BEGIN", self, [worker, all, now, most, most, worker, worker], slots, by_columns),
        };
        ensure!(claimed == slots, "{claimed} of {slots} were claimed");
        Ok(())
    }
}

/// Runs that are counted against each limit.
fn counted(claimed: &[Claimed]) -> BTreeMap<Uuid, i32> {
    let mut used = BTreeMap::new();
    for id in claimed.iter().flat_map(|one| [one.trigger, Uuid::nil()]) {
        *used.entry(id).or_default() += 1;
    }
    used
}

/// What follows a decision, with rows of values filled up to a power of two.
async fn row_by_row(tx: &mut SqliteConnection, texts: &Texts, claimed: &[Claimed], worker: Uuid) -> Result<()> {
    let now = Value::Big(Some(wall_micros()));
    let id = |id: Uuid| Value::Id(Some(id));
    let limits = counted(claimed).into_iter().map(|(trigger, count)| vec![id(trigger), Value::Int(Some(count))]);
    let run = |one: &Claimed| {
        let (generation, turn) = (Value::Int(Some(one.generation)), Value::Int(Some(one.turns + 1)));
        vec![id(one.session), Value::Big(Some(one.head)), id(one.lease), generation, turn]
    };
    let lease = |one: &Claimed| vec![id(one.session), Value::Big(Some(one.head)), id(one.lease)];
    let nothing = [Value::Id(None), Value::Big(None), Value::Id(None), Value::Int(None), Value::Int(None)];
    let follow = [
        filled(limits.collect(), &[Value::Id(None), Value::Int(None)], &[now]),
        filled(claimed.iter().map(run).collect(), &nothing, &[now]),
        filled(claimed.iter().map(lease).collect(), &nothing[..3], &[now]),
        filled(claimed.iter().map(lease).collect(), &nothing[..3], &[id(worker), now, Value::Text("reported")]),
    ];
    for (place, (rows, values)) in follow.into_iter().enumerate() {
        bound!(texts[&rows][place + 1].clone(), values).execute(&mut *tx).await?;
    }
    Ok(())
}

fn filled(mut rows: Vec<Vec<Value>>, nothing: &[Value], then: &[Value]) -> (usize, Vec<Value>) {
    let count = rows.len().next_power_of_two();
    rows.resize(count, nothing.to_vec());
    (count, rows.into_iter().flatten().chain(then.iter().copied()).collect())
}

/// The same with an array for each column; their texts fit any number of rows.
async fn by_columns(tx: &mut PgConnection, texts: &Texts, claimed: &[Claimed], worker: Uuid) -> Result<()> {
    let now = wall_micros();
    let [_, count, start, point, attempts] = texts[&2].clone().map(AssertSqlSafe);
    let (limits, counts): (Vec<Uuid>, Vec<i32>) = counted(claimed).into_iter().unzip();
    let sessions: Vec<Uuid> = claimed.iter().map(|one| one.session).collect();
    let heads: Vec<i64> = claimed.iter().map(|one| one.head).collect();
    let leases: Vec<Uuid> = claimed.iter().map(|one| one.lease).collect();
    let (generations, turns): (Vec<i32>, Vec<i32>) = claimed.iter().map(|one| (one.generation, one.turns + 1)).unzip();
    sqlx::query(count).bind(limits).bind(counts).bind(now).execute(&mut *tx).await?;
    sqlx::query(start).bind(&sessions).bind(&heads).bind(&leases).bind(generations).bind(turns).bind(now).execute(&mut *tx).await?;
    sqlx::query(point).bind(&sessions).bind(&heads).bind(&leases).bind(now).execute(&mut *tx).await?;
    let attempts = sqlx::query(attempts).bind(sessions).bind(heads).bind(leases);
    attempts.bind(worker).bind(now).bind("reported").execute(&mut *tx).await?;
    Ok(())
}
