//! Attempts at runs.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub run_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub number: i32,
    pub lease_id: Uuid,
    pub worker_id: Uuid,
    pub trigger_version: i64,
    #[sea_orm(column_type = "Text", nullable)]
    pub lineage: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub agent_session_id: String,
    #[sea_orm(column_type = "Text")]
    pub agent_version: String,
    pub start_time: i64,
    pub end_time: Option<i64>,
    #[sea_orm(column_type = "Text")]
    pub exit: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub failure_reason: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub failure_message: String,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub thinking_tokens: i64,
    pub cost_nano: i64,
    #[sea_orm(column_type = "Text")]
    pub cost_basis: String,
    /// How many of its processes are in these sums.
    pub counted_spawns: i32,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
