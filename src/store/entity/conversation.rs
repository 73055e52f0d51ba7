//! The lineage of sessions.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "conversations")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub session_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub generation: i32,
    pub agent_session_id: Uuid,
    #[sea_orm(column_type = "Text")]
    pub origin: String,
    pub cause_run_id: Option<Uuid>,
    pub start_time: i64,
    pub turn_count: i32,
    pub from_session_id: Option<Uuid>,
    #[sea_orm(column_type = "Text")]
    pub manifest: String,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
