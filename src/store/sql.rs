//! Hand-written statements, one text for both databases: `?` stands for each value.

use sea_orm::{DbBackend, Statement, Value};

/// A statement whose `?` are filled with `values` in order.
pub(crate) fn statement(backend: DbBackend, text: impl Into<String>, values: Vec<Value>) -> Statement {
    let text = text.into();
    let text = if backend == DbBackend::Postgres { numbered(&text) } else { text };
    Statement::from_sql_and_values(backend, text, values)
}

/// The database's time in microseconds, as an expression: servers may disagree about the time, one database does not.
pub(crate) const fn now(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(extract(epoch from clock_timestamp()) * 1000000)::bigint",
        _ => "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    }
}

/// `?` as `$1`, `$2`, … Statements hold no `?` in literals.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    let mut number = 0_u32;
    for piece in text.split_inclusive('?') {
        if let Some(before) = piece.strip_suffix('?') {
            number += 1;
            out.push_str(before);
            out.push('$');
            out.push_str(&number.to_string());
        } else {
            out.push_str(piece);
        }
    }
    out
}

/// `(?,?),(?,?)`: so many rows of so many values.
pub(crate) fn placeholders(rows: usize, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(","));
    vec![row; rows].join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_gets_its_number() {
        let text = format!("INSERT INTO t (a, b) VALUES {}", placeholders(2, 2));
        assert_eq!(text, "INSERT INTO t (a, b) VALUES (?,?),(?,?)");
        assert_eq!(numbered(&text), "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4)");
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
    }
}
