//! Statements that go to the database together.
//!
//! SQLite runs on a thread of its own, and each statement is a way there and back; on a busy machine those ways cost more
//! than the work. It takes several statements as one text, so a step of a transaction is one way. PostgreSQL takes one
//! statement at a time, so there the same steps are sent one after the other.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, QueryResult, Value};

use super::sql::{placeholders, statement};

/// The most rows of one set statement.
const LARGEST_SET: usize = 128;

/// One statement of several.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// The statement up to and with the `SELECT` or `RETURNING` of its columns; all of it when it gives no rows. Empty: it
    /// is left out.
    pub(crate) head: String,
    /// The columns and what stands behind them.
    pub(crate) tail: String,
    /// What the `?` of both stand for.
    pub(crate) values: Vec<Value>,
}

impl Part {
    /// Rows come with the place of their part in front, so that they can be told apart.
    fn text(&self, place: usize) -> String {
        if self.tail.is_empty() { self.head.clone() } else { format!("{} {place}, {}", self.head, self.tail) }
    }
}

/// Runs all of these in order; the rows of each, whose own columns begin at [`FIRST`].
pub(crate) async fn run(db: &impl ConnectionTrait, parts: Vec<Part>) -> Result<Vec<Vec<QueryResult>>, DbErr> {
    let backend = db.get_database_backend();
    let mut found: Vec<Vec<QueryResult>> = parts.iter().map(|_| Vec::new()).collect();
    let meant = parts.into_iter().enumerate().filter(|(_, part)| !part.head.is_empty());
    if backend != DbBackend::Sqlite {
        for (place, part) in meant {
            let text = part.text(place);
            found[place] = db.query_all_raw(statement(backend, text, part.values)).await?;
        }
        return Ok(found);
    }
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for (place, mut part) in meant {
        texts.push(part.text(place));
        values.append(&mut part.values);
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

/// `WITH k (…) AS (VALUES …)`: the keys that a query joins with, one index look-up each.
///
/// They are filled up with nulls, which join with nothing, to a power of two: so there are few texts, and the connection
/// keeps them prepared.
pub(crate) fn keys(columns: &str, mut values: Vec<Value>) -> (String, Vec<Value>) {
    let width = columns.split(',').count();
    let rows = filled(values.len() / width);
    fill(&mut values, width, rows);
    (format!("WITH k ({columns}) AS (VALUES {})", placeholders(rows, width)), values)
}

/// So many rows, as a power of two.
fn filled(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// Adds rows of nulls of the kinds that the first row has.
fn fill(values: &mut Vec<Value>, width: usize, rows: usize) {
    let nulls: Vec<Value> = values.iter().take(width).map(Value::as_null).collect();
    while values.len() < rows * width {
        values.extend_from_slice(&nulls);
    }
}

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

    /// The statement for so many rows. A row whose first value is null writes nothing.
    fn text(&self, rows: usize) -> String {
        let values = placeholders(rows, self.width());
        match self {
            Self::Insert { table, columns, .. } => {
                let columns = columns.join(",");
                format!("INSERT INTO {table} ({columns}) SELECT * FROM (VALUES {values}) AS v WHERE column1 IS NOT NULL")
            }
            Self::Update { table, columns, set, .. } => {
                format!("WITH v ({}) AS (VALUES {values}) UPDATE {table} SET {set} FROM v WHERE {table}.id = v.id", columns.join(","))
            }
        }
    }

    /// The next `rows` rows, filled up with nulls, as a statement and its values. What is left stays.
    fn take(&mut self, rows: usize) -> (String, Vec<Value>) {
        let (width, text) = (self.width(), self.text(rows));
        let mut some = std::mem::take(self.values());
        *self.values() = some.split_off(some.len().min(rows * width));
        fill(&mut some, width, rows);
        (text, some)
    }
}

/// Writes all of these in their order; each statement is filled up, so that there are a handful of texts, which the connection
/// keeps prepared.
pub(crate) async fn write(tx: &DatabaseTransaction, writes: Vec<Write>) -> Result<(), DbErr> {
    let mut writes: Vec<Write> = writes.into_iter().filter(|one| one.rows() > 0).collect();
    let backend = tx.get_database_backend();
    if backend != DbBackend::Sqlite {
        for mut one in writes {
            while one.rows() > 0 {
                let (text, values) = one.take(filled(one.rows().min(LARGEST_SET)));
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
            let (text, mut some) = one.take(rows);
            texts.push(text);
            values.append(&mut some);
        }
        tx.execute_raw(statement(backend, texts.join(";"), values)).await?;
        writes.retain(|one| one.rows() > 0);
    }
    Ok(())
}
