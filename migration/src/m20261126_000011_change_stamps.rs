//! What says that a run or a delivery changed, whoever wrote it: lists are watched by reading on after the last stamp.
//!
//! PostgreSQL stamps with the number of the writing transaction. Numbers are given before they are committed, so a reader goes on
//! from the oldest transaction that was still open when it read. SQLite has one writer, so there the next number is in the order
//! of the commits; new rows need none, since their row numbers are in that order already.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

/// The watched tables, and the columns whose change counts. A journal that grows is no change of its run.
const WATCHED: [(&str, &str); 2] = [
    (
        "runs",
        "status, not_before, wait_reason, attempt, cancel_requested, delivery_count, title, lineage, continued_from, generation, turn, \
         model, agent_version, profile, billing, max_cost_nano, cost_nano, input_tokens, output_tokens, context_tokens, result_text, \
         failure_reason, warnings, start_time, end_time",
    ),
    ("deliveries", "outcome, reason, message, session_id, run_id, duplicate_of, duplicate_count"),
];

fn sqlite_up(table: &str, columns: &str) -> String {
    format!(
        "ALTER TABLE {table} ADD COLUMN change_stamp BIGINT; \
         CREATE INDEX {table}_changed ON {table} (change_stamp) WHERE change_stamp IS NOT NULL; \
         CREATE TRIGGER {table}_stamp AFTER UPDATE OF {columns} ON {table} BEGIN \
             UPDATE {table} SET change_stamp = \
                 (SELECT coalesce(max(change_stamp), 0) + 1 FROM {table} WHERE change_stamp IS NOT NULL) WHERE rowid = NEW.rowid; \
         END;"
    )
}

fn postgres_up(table: &str, columns: &str) -> String {
    format!(
        "ALTER TABLE {table} ADD COLUMN change_stamp BIGINT; \
         ALTER TABLE {table} ALTER COLUMN change_stamp SET DEFAULT (pg_current_xact_id()::text::bigint); \
         CREATE INDEX {table}_changed ON {table} (change_stamp, id) WHERE change_stamp IS NOT NULL; \
         CREATE TRIGGER {table}_stamp BEFORE UPDATE OF {columns} ON {table} FOR EACH ROW EXECUTE FUNCTION stamp_change();"
    )
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (db, postgres) = (manager.get_connection(), manager.get_database_backend() == DbBackend::Postgres);
        if postgres {
            db.execute_unprepared(
                "CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN NEW.change_stamp := pg_current_xact_id()::text::bigint; RETURN NEW; END $$",
            )
            .await?;
        }
        for (table, columns) in WATCHED {
            let sql = if postgres { postgres_up(table, columns) } else { sqlite_up(table, columns) };
            db.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (db, postgres) = (manager.get_connection(), manager.get_database_backend() == DbBackend::Postgres);
        for (table, _) in WATCHED {
            let of = if postgres { format!(" ON {table}") } else { String::new() };
            db.execute_unprepared(&format!(
                "DROP TRIGGER {table}_stamp{of}; DROP INDEX {table}_changed; ALTER TABLE {table} DROP COLUMN change_stamp;"
            ))
            .await?;
        }
        if postgres {
            db.execute_unprepared("DROP FUNCTION stamp_change()").await?;
        }
        Ok(())
    }
}
