//! What the present attempt of a live run was metered to have used by now.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::columns::text_or_none;

#[derive(Debug, DeriveMigrationName)]
pub(crate) struct Migration;

const SQLITE_UP: &str = "CREATE TRIGGER runs_metered_stamp AFTER UPDATE OF metered ON runs BEGIN \
     UPDATE runs SET change_stamp = \
         (SELECT coalesce(max(change_stamp), 0) + 1 FROM runs WHERE change_stamp IS NOT NULL) WHERE rowid = NEW.rowid; \
 END;";
const POSTGRES_UP: &str = "CREATE TRIGGER runs_metered_stamp BEFORE UPDATE OF metered ON runs FOR EACH ROW EXECUTE FUNCTION stamp_change()";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // As JSON, since it is read as a whole and never searched.
        let mut column = text_or_none("metered");
        manager.alter_table(Table::alter().table(Alias::new("runs")).add_column(&mut column).to_owned()).await?;
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        manager.get_connection().execute_unprepared(if postgres { POSTGRES_UP } else { SQLITE_UP }).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let of = if manager.get_database_backend() == DbBackend::Postgres { " ON runs" } else { "" };
        manager.get_connection().execute_unprepared(&format!("DROP TRIGGER runs_metered_stamp{of}")).await?;
        manager.alter_table(Table::alter().table(Alias::new("runs")).drop_column(Alias::new("metered")).to_owned()).await
    }
}
