//! Codes that sign a browser in once, and API keys that end.

use sea_orm_migration::prelude::*;

use crate::columns::{drop_all, id, id_or_none, one_of, table, text_or_empty, time, time_or_none};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(table(
                "sign_in_codes",
                [
                    ColumnDef::new(Alias::new("hash")).blob().not_null().primary_key().to_owned(),
                    one_of("role", &["admin"]),
                    // The key that the code's key ends with, and that key's name.
                    id("made_by"),
                    text_or_empty("made_by_name"),
                    time("create_time"),
                    time("expire_time"),
                    // When the key of the code ends at the latest.
                    time_or_none("key_expire_time"),
                ],
            ))
            .await?;
        for column in [time_or_none("expire_time"), id_or_none("made_by")] {
            manager.alter_table(Table::alter().table(Alias::new("api_keys")).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A key that ends would have no end without its column.
        let ending =
            Query::delete().from_table(Alias::new("api_keys")).and_where(Expr::col(Alias::new("expire_time")).is_not_null()).to_owned();
        manager.execute(ending).await?;
        for column in ["expire_time", "made_by"] {
            manager.alter_table(Table::alter().table(Alias::new("api_keys")).drop_column(Alias::new(column)).to_owned()).await?;
        }
        drop_all(manager, &["sign_in_codes"]).await
    }
}
