//! Triggers, their secrets, and the limits that claims count against.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes, drop_all, flag, id, index, int, key, table, text, time, time_or_none};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(table(
                "triggers",
                [
                    key("id"),
                    text("slug").unique_key().to_owned(),
                    text("source"),
                    text("hook_token"),
                    flag("enabled", true),
                    text("spec"),
                    big("version"),
                    time("create_time"),
                    time("update_time"),
                ],
            ))
            .await?;
        manager
            .create_table(table(
                "trigger_secrets",
                [
                    key("id"),
                    id("trigger_id"),
                    bytes("sealed"),
                    text("hint"),
                    time("create_time"),
                    time_or_none("expire_time"),
                    time_or_none("last_match_time"),
                ],
            ))
            .await?;
        manager.create_index(index("trigger_secrets_trigger", "trigger_secrets", &["trigger_id"])).await?;
        // One narrow row per trigger and one, with the nil UUID, for all: what may run is decided on locked rows, never by a count.
        manager
            .create_table(table("limits", [key("trigger_id"), int("cap"), int("used"), flag("open", true), time("last_claimed_time")]))
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["triggers", "trigger_secrets", "limits"]).await
    }
}
