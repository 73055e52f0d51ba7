//! Sessions, the unit of scheduling.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub bucket: i16,
    pub trigger_id: Uuid,
    #[sea_orm(column_type = "Text")]
    pub trigger_slug: String,
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub thread_key: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub title: String,
    #[sea_orm(column_type = "Text")]
    pub url: String,
    #[sea_orm(column_type = "Text")]
    pub state: String,
    pub ready_time: i64,
    pub head: i64,
    pub tail: i64,
    pub epoch: i64,
    pub lease_id: Option<Uuid>,
    pub worker_id: Option<Uuid>,
    pub last_worker_id: Option<Uuid>,
    pub generation: i32,
    pub agent_session_id: Option<Uuid>,
    #[sea_orm(column_type = "Text", nullable)]
    pub fingerprint: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub origin: String,
    #[sea_orm(column_type = "Text")]
    pub agent: String,
    #[sea_orm(column_type = "Text")]
    pub profile: String,
    #[sea_orm(column_type = "Text")]
    pub model: String,
    #[sea_orm(column_type = "Text")]
    pub agent_version: String,
    pub turn_count: i32,
    pub turns_since_compaction: i32,
    pub run_count: i32,
    pub queued_count: i32,
    pub live_run_id: Option<Uuid>,
    pub last_run_id: Option<Uuid>,
    pub agent_total_cost_nano: i64,
    pub last_cache_share: Option<f64>,
    pub context_tokens: i64,
    #[sea_orm(column_type = "Text")]
    pub manifest: String,
    pub transcript_bytes: i64,
    pub forked_from: Option<Uuid>,
    pub forked_run_id: Option<Uuid>,
    #[sea_orm(column_type = "Text")]
    pub display_name: String,
    pub create_time: i64,
    pub last_use_time: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cache_read_tokens: i64,
    pub cache_write_tokens: i64,
    pub thinking_tokens: i64,
    pub cost_nano: i64,
    #[sea_orm(column_type = "Text")]
    pub cost_basis: String,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
