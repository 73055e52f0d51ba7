//! How many processes of an attempt are in its sums, so that none is counted twice.

use sea_orm_migration::prelude::*;

use crate::columns::int;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(Alias::new("attempts")).add_column(int("counted_spawns")).to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table(Alias::new("attempts")).drop_column(Alias::new("counted_spawns")).to_owned()).await
    }
}
