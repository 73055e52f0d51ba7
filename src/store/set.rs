//! Rows of values within a statement, as each database takes them best.
//!
//! SQLite takes them one by one, filled up to a power of two: so there are few texts, and the connection keeps them prepared.
//! PostgreSQL would plan each value of them anew; it takes an array for each column, and keeps one plan for any number of rows.

use sea_orm::sea_query::ArrayType;
use sea_orm::{DbBackend, Value};

use super::sql::placeholders;

/// A query that gives these rows, and its values. On SQLite further rows of nulls may follow, which join with nothing.
pub(super) fn query(backend: DbBackend, width: usize, mut values: Vec<Value>) -> (String, Vec<Value>) {
    if backend == DbBackend::Postgres {
        return arrays(width, values);
    }
    let rows = filled(values.len() / width);
    fill(&mut values, width, rows);
    (format!("VALUES {}", placeholders(rows, width)), values)
}

/// So many rows, as a power of two.
pub(super) fn filled(rows: usize) -> usize {
    rows.next_power_of_two()
}

/// Adds rows of nulls of the kinds that the first row has.
pub(super) fn fill(values: &mut Vec<Value>, width: usize, rows: usize) {
    let nulls: Vec<Value> = values.iter().take(width).map(Value::as_null).collect();
    while values.len() < rows * width {
        values.extend_from_slice(&nulls);
    }
}

/// One array for each column. An array of a value holds no nulls: a column with some has a second one beside it, which says
/// where its values are.
fn arrays(width: usize, values: Vec<Value>) -> (String, Vec<Value>) {
    let rows = values.len() / width;
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows)).collect();
    for (place, value) in values.into_iter().enumerate() {
        columns[place % width].push(value);
    }
    let (mut names, mut picked, mut arrays) = (Vec::new(), Vec::new(), Vec::new());
    for (place, column) in columns.into_iter().enumerate() {
        let present: Vec<bool> = column.iter().map(Value::is_some).collect();
        let array_type = column.first().map_or(ArrayType::Bool, Value::array_type);
        picked.push(format!("c{place}"));
        names.push(format!("c{place}"));
        if !present.contains(&true) {
            // Nothing but nulls: what is missing at the end of an array is null.
            arrays.push(Value::Array(array_type, None));
        } else if !present.contains(&false) {
            arrays.push(Value::Array(array_type, Some(Box::new(column))));
        } else {
            let some = column.into_iter().map(|value| if value.is_some() { value } else { value.dummy_value() }).collect();
            arrays.push(Value::Array(array_type, Some(Box::new(some))));
            picked[place] = format!("CASE WHEN p{place} THEN c{place} END");
            names.push(format!("p{place}"));
            arrays.push(present.into());
        }
    }
    let text = format!("SELECT {} FROM unnest({}) AS u ({})", picked.join(","), vec!["?"; arrays.len()].join(","), names.join(","));
    (text, arrays)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn sqlite_takes_rows_filled_up_to_a_power_of_two() {
        let values = ["a", "b", "c"].iter().flat_map(|key| -> [Value; 2] { [(*key).into(), 7_i64.into()] }).collect();
        let (text, values) = query(DbBackend::Sqlite, 2, values);
        assert_eq!(text, "VALUES (?,?),(?,?),(?,?),(?,?)");
        assert_eq!(values[4..], ["c".into(), 7_i64.into(), Value::String(None), Value::BigInt(None)]);
    }

    #[test]
    fn postgres_takes_columns_and_is_told_where_their_nulls_are() {
        let id = Uuid::now_v7();
        let row = |number: i32, text: Option<&str>| -> [Value; 4] { [id.into(), number.into(), text.into(), Option::<i64>::None.into()] };
        let (text, values) = query(DbBackend::Postgres, 4, [row(1, None), row(2, Some("b"))].concat());
        assert_eq!(text, "SELECT c0,c1,CASE WHEN p2 THEN c2 END,c3 FROM unnest(?,?,?,?,?) AS u (c0,c1,c2,p2,c3)");
        let texts: Vec<String> = vec![String::new(), "b".to_owned()];
        let nothing: Option<Vec<i64>> = None;
        assert_eq!(values, [vec![id, id].into(), vec![1, 2].into(), texts.into(), vec![false, true].into(), nothing.into()]);
    }
}
