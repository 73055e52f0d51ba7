//! Runs.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "runs")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub session_id: Uuid,
    pub seq: i64,
    pub trigger_id: Uuid,
    #[sea_orm(column_type = "Text")]
    pub trigger_slug: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub thread_key: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub title: String,
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    #[sea_orm(column_type = "Text")]
    pub status: String,
    pub not_before: i64,
    #[sea_orm(column_type = "Text")]
    pub wait_reason: String,
    pub attempt: i32,
    pub interruptions: i32,
    pub lease_id: Option<Uuid>,
    pub cancel_requested: bool,
    #[sea_orm(column_type = "Text")]
    pub cancel_reason: String,
    #[sea_orm(column_type = "Text")]
    pub cancel_mode: String,
    #[sea_orm(column_type = "Text")]
    pub requester_kind: String,
    #[sea_orm(column_type = "Text")]
    pub requester_id: String,
    #[sea_orm(column_type = "Text")]
    pub requester_name: String,
    #[sea_orm(column_type = "Text")]
    pub session_mode: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub prompt_override: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub prompt: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub prompt_kind: Option<String>,
    pub delivery_count: i32,
    pub retry_of: Option<Uuid>,
    #[sea_orm(column_type = "Text", nullable)]
    pub lineage: Option<String>,
    pub continued_from: Option<Uuid>,
    pub generation: i32,
    pub turn: i32,
    #[sea_orm(column_type = "Text")]
    pub model: String,
    #[sea_orm(column_type = "Text")]
    pub agent_version: String,
    #[sea_orm(column_type = "Text")]
    pub profile: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub billing: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub by_model: String,
    pub max_cost_nano: i64,
    pub context_tokens: i64,
    pub context_window_tokens: i64,
    #[sea_orm(column_type = "Text")]
    pub result_text: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub failure_reason: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub failure_message: String,
    pub failure_api_status: Option<i32>,
    #[sea_orm(column_type = "Text")]
    pub warnings: String,
    pub first_sequence: i32,
    pub next_sequence: i32,
    pub transcript_rewrite: i32,
    pub transcript_bytes: i64,
    pub create_time: i64,
    pub start_time: Option<i64>,
    pub end_time: Option<i64>,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub thinking_tokens: i64,
    pub cost_nano: i64,
    #[sea_orm(column_type = "Text")]
    pub cost_basis: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub metered: Option<String>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
