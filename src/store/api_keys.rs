//! Keys of callers. Only their hashes are here.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter};

use super::Store;
use super::entity::api_key::{ActiveModel, Column, Entity};
use crate::domain::{ApiKeyId, Result, UnixMicros};

/// The key with this hash, and its name for people.
pub(crate) async fn find(store: &Store, hash: &[u8; 32]) -> Result<Option<(ApiKeyId, String)>> {
    let row = Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(store.read()).await?;
    Ok(row.map(|row| (ApiKeyId(row.id), row.display_name)))
}

/// How many keys there are.
pub(crate) async fn count(store: &Store) -> Result<u64> {
    Ok(Entity::find().count(store.read()).await?)
}

/// Stores an admin key.
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
    Entity::insert(row).exec_without_returning(store.write()).await?;
    Ok(())
}

/// Notes that a key was used, to the minute: a write a call would be too many.
pub(crate) async fn touch(store: &Store, id: ApiKeyId, now: UnixMicros) -> Result<()> {
    let minute = 60_000_000;
    Entity::update_many()
        .col_expr(Column::LastUseTime, now.0.into())
        .filter(Column::Id.eq(id.0))
        .filter(Column::LastUseTime.is_null().or(Column::LastUseTime.lt(now.0 - minute)))
        .exec(store.write())
        .await?;
    Ok(())
}

/// Deletes every key.
pub(crate) async fn delete_all(store: &Store) -> Result<()> {
    Entity::delete_many().exec(store.write()).await?;
    Ok(())
}
