//! The agents' own lines that no entry holds whole, for the file of a run.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes, drop_all, id, int, primary, table, time};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Apart from the entries, so that whoever reads those never pages over lines.
        let mut lines = table(
            "journal_lines",
            [id("run_id"), int("attempt"), big("first_number"), big("raw_bytes"), time("create_time"), bytes("body")],
        );
        manager.create_table(lines.primary_key(&mut primary(&["run_id", "attempt", "first_number"])).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["journal_lines"]).await
    }
}
