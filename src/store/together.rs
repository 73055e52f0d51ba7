//! Statements that go to the database together.
//!
//! SQLite runs on a thread of its own, and each statement is a way there and back; on a busy machine those ways cost more
//! than the work. It takes several statements as one text, so a step of a transaction is one way. PostgreSQL takes one
//! statement at a time, so there the same steps are sent one after the other.

use std::borrow::Cow;

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Value};

use super::set::{self, fill, filled};
use super::sql::statement;

/// The most rows of one set statement.
const LARGEST_SET: usize = 128;

/// One statement of several.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The rows that it joins with.
    pub(crate) keys: Keys,
    /// The statement up to and with the `SELECT` or `RETURNING` of its columns; all of it when it gives no rows. Empty: it
    /// is left out.
    pub(crate) head: Cow<'static, str>,
    /// The columns and what stands behind them.
    pub(crate) tail: Cow<'static, str>,
    /// What the `?` of both stand for.
    pub(crate) values: Vec<Value>,
}

/// The keys that a statement joins with under the name `k`, one index look-up each.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// Their names. Empty: there are none.
    columns: &'static str,
    /// Row by row.
    values: Vec<Value>,
}

impl Keys {
    pub(crate) fn new(columns: &'static str, values: Vec<Value>) -> Self {
        Self { columns, values }
    }

    fn with(self, backend: DbBackend) -> (String, Vec<Value>) {
        if self.columns.is_empty() {
            return (String::new(), Vec::new());
        }
        let (rows, values) = set::query(backend, self.columns.split(',').count(), self.values);
        (format!("WITH k ({}) AS ({rows}) ", self.columns), values)
    }
}

impl Part {
    /// Rows come with the place of their part in front, so that they can be told apart.
    pub(crate) fn text(self, backend: DbBackend, place: usize) -> (String, Vec<Value>) {
        let (with, mut values) = self.keys.with(backend);
        values.extend(self.values);
        let columns = if self.tail.is_empty() { String::new() } else { format!(" {place}, {}", self.tail) };
        (format!("{with}{}{columns}", self.head), values)
    }
}

/// Runs all of these in order; the rows of each, whose own columns begin at [`FIRST`].
pub(crate) async fn run(db: &impl ConnectionTrait, parts: Vec<Part>) -> Result<Vec<Vec<QueryResult>>, DbErr> {
    let backend = db.get_database_backend();
    let mut found: Vec<Vec<QueryResult>> = parts.iter().map(|_| Vec::new()).collect();
    let meant = parts.into_iter().enumerate().filter(|(_, part)| !part.head.is_empty());
    if backend != DbBackend::Sqlite {
        for (place, part) in meant {
            let (text, values) = part.text(backend, place);
            found[place] = db.query_all_raw(statement(backend, text, values)).await?;
        }
        return Ok(found);
    }
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for (place, part) in meant {
        let (text, some) = part.text(backend, place);
        texts.push(text);
        values.extend(some);
    }
    if texts.is_empty() {
        return Ok(found);
    }
    for row in db.query_all_raw(statement(backend, texts.join(";"), values)).await? {
        let place = usize::try_from(row.try_get_by_index::<i64>(0)?).unwrap_or(usize::MAX);
        if let Some(rows) = found.get_mut(place) {
            rows.push(row);
        }
    }
    Ok(found)
}

/// The place of a row's first own column: before it stands which part gave the row.
pub(crate) const FIRST: usize = 1;

/// What is to be written to one table, row by row.
#[derive(Debug)]
pub(crate) enum Write {
    /// New rows.
    Insert { table: &'static str, columns: &'static [&'static str], values: Vec<Value> },
    /// `SET` of rows by their first column, which is the id; `v` names the row of values.
    Update { table: &'static str, columns: &'static [&'static str], set: &'static str, values: Vec<Value> },
}

impl Write {
    fn width(&self) -> usize {
        match self {
            Self::Insert { columns, .. } | Self::Update { columns, .. } => columns.len(),
        }
    }

    fn rows(&self) -> usize {
        let (Self::Insert { values, .. } | Self::Update { values, .. }) = self;
        values.len() / self.width()
    }

    fn values(&mut self) -> &mut Vec<Value> {
        let (Self::Insert { values, .. } | Self::Update { values, .. }) = self;
        values
    }

    /// The next `rows` rows as a statement and its values. What is left stays.
    fn take(&mut self, backend: DbBackend, rows: usize) -> (String, Vec<Value>) {
        let width = self.width();
        let mut some = std::mem::take(self.values());
        *self.values() = some.split_off(some.len().min(rows * width));
        if backend == DbBackend::Sqlite {
            fill(&mut some, width, rows);
        }
        let (rows, values) = set::query(backend, width, some);
        let text = match self {
            // A row whose first value is null fills the set up.
            Self::Insert { table, columns, .. } if backend == DbBackend::Sqlite => {
                format!("INSERT INTO {table} ({}) SELECT * FROM ({rows}) AS v WHERE column1 IS NOT NULL", columns.join(","))
            }
            Self::Insert { table, columns, .. } => format!("INSERT INTO {table} ({}) {rows}", columns.join(",")),
            Self::Update { table, columns, set, .. } => {
                format!("WITH v ({}) AS ({rows}) UPDATE {table} SET {set} FROM v WHERE {table}.id = v.id", columns.join(","))
            }
        };
        (text, values)
    }
}

/// Writes all of these in their order.
pub(crate) async fn write(tx: &DatabaseTransaction, writes: Vec<Write>) -> Result<(), DbErr> {
    let mut writes: Vec<Write> = writes.into_iter().filter(|one| one.rows() > 0).collect();
    let backend = tx.get_database_backend();
    if backend != DbBackend::Sqlite {
        for mut one in writes {
            while one.rows() > 0 {
                let (text, values) = one.take(backend, LARGEST_SET);
                tx.execute_raw(statement(backend, text, values)).await?;
            }
        }
        return Ok(());
    }
    while !writes.is_empty() {
        let most = writes.iter().map(Write::rows).max().unwrap_or(0);
        let rows = filled(most.min(LARGEST_SET));
        let (mut texts, mut values) = (Vec::new(), Vec::new());
        for one in &mut writes {
            let (text, mut some) = one.take(backend, rows);
            texts.push(text);
            values.append(&mut some);
        }
        tx.execute_raw(statement(backend, texts.join(";"), values)).await?;
        writes.retain(|one| one.rows() > 0);
    }
    Ok(())
}
