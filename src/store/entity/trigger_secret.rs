//! Sealed secrets of triggers.

use sea_orm::entity::prelude::*;

#[derive(Debug, Clone, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "trigger_secrets")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub trigger_id: Uuid,
    pub sealed: Vec<u8>,
    #[sea_orm(column_type = "Text")]
    pub hint: String,
    pub create_time: i64,
    pub expire_time: Option<i64>,
    pub last_match_time: Option<i64>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
