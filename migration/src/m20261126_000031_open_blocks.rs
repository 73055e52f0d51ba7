//! The block that each live run is writing, for readers on other servers.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_all, flag, id, key, table, text};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One row per live run, overwritten each tick; it counts only while its lease is the run's.
        manager
            .create_table(table("open_blocks", [key("run_id"), id("lease_id"), text("block_id"), flag("thinking", false), text("body")]))
            .await?;
        if manager.get_database_backend() != sea_orm_migration::sea_orm::DbBackend::Postgres {
            return Ok(());
        }
        // What is lost with a crash is shown anew by the next tick, so none of it goes through the write-ahead log.
        let db = manager.get_connection();
        db.execute_unprepared("ALTER TABLE open_blocks SET UNLOGGED").await?;
        // Rows that change all the time: room for the new version on the same page, and dead ones cleared early.
        for storage in [
            "ALTER TABLE limits SET (fillfactor = 10)",
            "ALTER TABLE workers SET (fillfactor = 50)",
            "ALTER TABLE open_blocks SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)",
            "ALTER TABLE sessions SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)",
            "ALTER TABLE runs SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05)",
        ] {
            db.execute_unprepared(storage).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == sea_orm_migration::sea_orm::DbBackend::Postgres {
            let db = manager.get_connection();
            for table in ["limits", "workers", "sessions", "runs"] {
                db.execute_unprepared(&format!("ALTER TABLE {table} RESET (fillfactor, autovacuum_vacuum_scale_factor)")).await?;
            }
        }
        drop_all(manager, &["open_blocks"]).await
    }
}
