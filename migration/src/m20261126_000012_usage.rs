//! What adding up usage reads: the runs that ended in a time, and the deliveries that were stopped before they could cost.

use sea_orm_migration::prelude::*;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("CREATE INDEX runs_ended ON runs (end_time) WHERE end_time IS NOT NULL").await?;
        db.execute_unprepared(
            "CREATE INDEX deliveries_stopped ON deliveries (receive_time) \
             WHERE reason IN ('author_is_self', 'author_is_bot', 'marker_found')",
        )
        .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        db.execute_unprepared("DROP INDEX runs_ended").await?;
        db.execute_unprepared("DROP INDEX deliveries_stopped").await?;
        Ok(())
    }
}
