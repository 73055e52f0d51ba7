//! The server itself: workers, settings, keys and remembered requests.

use sea_orm_migration::prelude::*;

use crate::columns::{big, bytes, drop_all, id, int, key, one_of, primary, table, text, text_or_empty, text_or_none, time, time_or_none};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One row per boot of one server process.
        manager
            .create_table(table(
                "workers",
                [
                    key("id"),
                    one_of("state", &["live", "dead"]),
                    text_or_empty("host"),
                    int("pid"),
                    text_or_empty("version"),
                    time("start_time"),
                    time_or_none("end_time"),
                ],
            ))
            .await?;
        manager
            .create_table(table(
                "settings",
                [
                    text("name").primary_key().to_owned(),
                    text("value"),
                    big("version"),
                    time("update_time"),
                    text_or_empty("updated_by"),
                    // The local date of the last daily clean-up, taken by compare-and-set.
                    text_or_none("last_cleanup_date"),
                ],
            ))
            .await?;
        manager
            .create_table(table(
                "api_keys",
                [
                    key("id"),
                    text_or_empty("display_name"),
                    one_of("role", &["admin"]),
                    ColumnDef::new(Alias::new("hash")).blob().not_null().unique_key().to_owned(),
                    text("prefix"),
                    time("create_time"),
                    time_or_none("last_use_time"),
                ],
            ))
            .await?;
        let mut requests = table(
            "remembered_requests",
            [id("api_key_id"), text("rpc"), text("request_id"), bytes("content_hash"), bytes("response"), time("create_time")],
        );
        manager.create_table(requests.primary_key(&mut primary(&["api_key_id", "rpc", "request_id"])).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_all(manager, &["workers", "settings", "api_keys", "remembered_requests"]).await
    }
}
