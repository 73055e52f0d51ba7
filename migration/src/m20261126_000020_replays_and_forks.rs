//! What a walk of the rules found, replays, forks, and ends that wait for a step.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes_or_none, id_or_none, index, int, text_or_empty};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

/// Every new column, with its table.
fn columns() -> Vec<(&'static str, &'static str, ColumnDef)> {
    vec![
        ("deliveries", "replay_of", id_or_none("replay_of")),
        // Which rules were asked, what each said and how long it took; what they read stands in headers and body.
        ("delivery_payloads", "walk", bytes_or_none("walk")),
        ("sessions", "forked_from", id_or_none("forked_from")),
        ("sessions", "forked_run_id", id_or_none("forked_run_id")),
        ("sessions", "display_name", text_or_empty("display_name")),
        ("conversations", "from_session_id", id_or_none("from_session_id")),
        // Which files of a conversation that is no longer the present one are in custody, as JSON.
        ("conversations", "manifest", text_or_empty("manifest")),
        ("runs", "cancel_mode", text_or_empty("cancel_mode")),
        // Where the transcript ended when the run did: rewrite and size of its main file.
        ("runs", "transcript_rewrite", int("transcript_rewrite")),
        ("runs", "transcript_bytes", big("transcript_bytes")),
    ]
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, _, mut column) in columns() {
            manager.alter_table(Table::alter().table(Alias::new(table)).add_column(&mut column).to_owned()).await?;
        }
        let replays = index("deliveries_replays", "deliveries", &["replay_of", "id"]);
        manager.create_index(replays.to_owned().and_where(Expr::col(Alias::new("replay_of")).is_not_null()).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("deliveries_replays").table(Alias::new("deliveries")).to_owned()).await?;
        for (table, name, _) in columns().into_iter().rev() {
            manager.alter_table(Table::alter().table(Alias::new(table)).drop_column(Alias::new(name)).to_owned()).await?;
        }
        Ok(())
    }
}
