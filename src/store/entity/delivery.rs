//! Inbound webhooks, without their bulky part.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "deliveries")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub trigger_id: Option<Uuid>,
    #[sea_orm(column_type = "Text")]
    pub trigger_slug: String,
    #[sea_orm(column_type = "Text")]
    pub source: String,
    #[sea_orm(column_type = "Text")]
    pub origin: String,
    #[sea_orm(column_type = "Text")]
    pub provider_delivery_id: String,
    pub dedupe_key: Option<Vec<u8>>,
    #[sea_orm(column_type = "Text")]
    pub event_kind: String,
    #[sea_orm(column_type = "Text")]
    pub action: String,
    #[sea_orm(column_type = "Text")]
    pub actor_id: String,
    #[sea_orm(column_type = "Text")]
    pub actor_login: String,
    #[sea_orm(column_type = "Text")]
    pub actor_kind: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub thread_key: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub title: String,
    #[sea_orm(column_type = "Text")]
    pub url: String,
    #[sea_orm(column_type = "Text")]
    pub event_text: String,
    #[sea_orm(column_type = "Text")]
    pub outcome: String,
    #[sea_orm(column_type = "Text", nullable)]
    pub reason: Option<String>,
    #[sea_orm(column_type = "Text")]
    pub message: String,
    pub session_id: Option<Uuid>,
    pub run_id: Option<Uuid>,
    pub duplicate_of: Option<Uuid>,
    pub redelivery_of: Option<Uuid>,
    pub replay_of: Option<Uuid>,
    pub duplicate_count: i32,
    pub receive_time: i64,
    pub ack_micros: i64,
    pub body_bytes: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
