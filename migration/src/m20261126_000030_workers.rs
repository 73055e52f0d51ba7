//! Workers hold leases: how long each may be taken for alive, where it lives, and how much it takes on.

use sea_orm_migration::prelude::*;

use crate::columns::{big, index, int, key, one_of, table, text_or_empty, time, time_or_none};

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

/// Renames the table, makes the new one, and takes the rows over: SQLite cannot change a CHECK in place.
async fn replace(manager: &SchemaManager<'_>, new: TableCreateStatement, take_over: &str) -> Result<(), DbErr> {
    let (workers, before) = (Alias::new("workers"), Alias::new("workers_before"));
    manager.rename_table(Table::rename().table(workers, before.clone()).to_owned()).await?;
    manager.create_table(new).await?;
    manager.get_connection().execute_unprepared(take_over).await?;
    manager.drop_table(Table::drop().table(before).to_owned()).await
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let new = table(
            "workers",
            [
                key("id"),
                one_of("state", &["live", "draining", "dead"]),
                text_or_empty("host"),
                int("pid"),
                text_or_empty("version"),
                // The lock that its process holds: of two workers with one lock the older one is dead for certain.
                text_or_empty("place"),
                int("capacity"),
                // In the database's time. What is past it, and a grace more, may be taken over by anybody.
                big("lease_until"),
                time("start_time"),
                time_or_none("end_time"),
            ],
        );
        let take_over = "INSERT INTO workers (id, state, host, pid, version, start_time, end_time) \
                         SELECT id, state, host, pid, version, start_time, end_time FROM workers_before";
        replace(manager, new, take_over).await?;
        manager
            .create_index(
                index("workers_lease", "workers", &["lease_until"]).and_where(Expr::col(Alias::new("state")).ne("dead")).to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let old = table(
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
        );
        let take_over = "INSERT INTO workers (id, state, host, pid, version, start_time, end_time) \
                         SELECT id, CASE state WHEN 'draining' THEN 'live' ELSE state END, host, pid, version, start_time, end_time \
                         FROM workers_before";
        replace(manager, old, take_over).await
    }
}
