//! The schema of Reprise, for SQLite and PostgreSQL alike.
//!
//! Ids are UUIDs (16-byte BLOBs in SQLite), times are microseconds since the Unix epoch, money is nano-dollars, closed
//! sets are text with a CHECK. SQLite tables keep their rowid: a random clustered key would halve the rate of inserts.

#![expect(elided_lifetimes_in_paths, reason = "the trait of sea-orm-migration elides them, and an impl must match")]

pub use sea_orm_migration::MigrationStatus;
pub use sea_orm_migration::prelude::*;

mod columns;
mod m20261123_000001_triggers;
mod m20261123_000002_queue;
mod m20261123_000003_history;
mod m20261123_000004_server;
mod m20261126_000010_sign_in;
mod m20261126_000011_change_stamps;
mod m20261126_000012_usage;
mod m20261126_000020_replays_and_forks;
mod m20261126_000030_workers;
mod m20261126_000031_open_blocks;
mod m20261126_000040_journal_lines;
mod m20261126_000050_counted_spawns;
mod m20261126_000060_metered;

/// Every migration, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            whole(m20261123_000001_triggers::Migration),
            whole(m20261123_000002_queue::Migration),
            whole(m20261123_000003_history::Migration),
            whole(m20261123_000004_server::Migration),
            whole(m20261126_000010_sign_in::Migration),
            whole(m20261126_000011_change_stamps::Migration),
            whole(m20261126_000012_usage::Migration),
            whole(m20261126_000020_replays_and_forks::Migration),
            whole(m20261126_000030_workers::Migration),
            whole(m20261126_000031_open_blocks::Migration),
            whole(m20261126_000040_journal_lines::Migration),
            whole(m20261126_000050_counted_spawns::Migration),
            whole(m20261126_000060_metered::Migration),
        ]
    }
}

/// A migration that is applied whole or not at all, on SQLite too: what is cut off in the middle is tried again from its start.
struct Whole<M>(M);

fn whole<M: MigrationTrait + 'static>(migration: M) -> Box<dyn MigrationTrait> {
    Box::new(Whole(migration))
}

impl<M: MigrationTrait> MigrationName for Whole<M> {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[async_trait::async_trait]
impl<M: MigrationTrait> MigrationTrait for Whole<M> {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.0.up(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        self.0.down(manager).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
