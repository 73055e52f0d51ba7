//! Keys of callers. Only their hashes are here.

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};

use super::Store;
use super::entity::api_key::{ActiveModel, Column, Entity};
use crate::domain::{ApiKeyId, Result, UnixMicros};

/// What is known of a key.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) id: ApiKeyId,
    /// For people.
    pub(crate) display_name: String,
    pub(crate) last_use_time: Option<UnixMicros>,
}

/// The key with this hash.
pub(crate) async fn find(store: &Store, hash: &[u8; 32]) -> Result<Option<StoredKey>> {
    let row = Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(store.read()).await?;
    Ok(row.map(|row| StoredKey { id: ApiKeyId(row.id), display_name: row.display_name, last_use_time: row.last_use_time.map(UnixMicros) }))
}

/// How many keys there are.
pub(crate) async fn count(store: &Store) -> Result<u64> {
    Ok(Entity::find().count(store.read()).await?)
}

/// Stores an admin key, unless another server has just stored the same one.
pub(crate) async fn insert(store: &Store, id: ApiKeyId, display_name: &str, hash: &[u8; 32], prefix: &str) -> Result<()> {
    let row = ActiveModel {
        id: Set(id.0),
        display_name: Set(display_name.to_owned()),
        role: Set("admin".to_owned()),
        hash: Set(hash.to_vec()),
        prefix: Set(prefix.to_owned()),
        create_time: Set(UnixMicros::now().0),
        last_use_time: Set(None),
    };
    let keep = OnConflict::column(Column::Hash).do_nothing().to_owned();
    Entity::insert(row).on_conflict(keep).exec_without_returning(store.write()).await?;
    Ok(())
}

/// Notes when a key was used.
pub(crate) async fn touch(store: &Store, id: ApiKeyId, now: UnixMicros) -> Result<()> {
    Entity::update_many().col_expr(Column::LastUseTime, Expr::val(now.0)).filter(Column::Id.eq(id.0)).exec(store.write()).await?;
    Ok(())
}

/// Deletes the keys of this name that have another hash.
pub(crate) async fn delete_others(store: &Store, display_name: &str, hash: &[u8; 32]) -> Result<()> {
    Entity::delete_many().filter(Column::DisplayName.eq(display_name)).filter(Column::Hash.ne(hash.to_vec())).exec(store.write()).await?;
    Ok(())
}

/// Deletes every key.
pub(crate) async fn delete_all(store: &Store) -> Result<()> {
    Entity::delete_many().exec(store.write()).await?;
    Ok(())
}
