//! Keys of callers. Only their hashes are here.

use std::collections::HashSet;

use sea_orm::sea_query::{Expr, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait as _, PaginatorTrait, QueryFilter, QuerySelect as _};

use super::Store;
use super::entity::api_key::{ActiveModel, Column, Entity};
use crate::domain::{ApiKeyId, Result, UnixMicros};

/// The hash of a key.
pub(crate) type Hash = [u8; 32];

/// So many keys in one query, whatever the database allows.
const AT_ONCE: usize = 500;

/// What is known of a key.
#[derive(Debug)]
pub(crate) struct StoredKey {
    pub(crate) id: ApiKeyId,
    /// For people.
    pub(crate) display_name: String,
    pub(crate) last_use_time: Option<UnixMicros>,
    /// When it ends; none: it does not.
    pub(crate) expire_time: Option<UnixMicros>,
    /// The key that it ends with.
    pub(crate) made_by: Option<ApiKeyId>,
}

/// A key to be stored.
#[derive(Debug)]
pub(crate) struct NewKey<'a> {
    pub(crate) id: ApiKeyId,
    pub(crate) display_name: &'a str,
    pub(crate) hash: &'a Hash,
    pub(crate) prefix: &'a str,
    pub(crate) expire_time: Option<UnixMicros>,
    pub(crate) made_by: Option<ApiKeyId>,
}

/// The key with this hash.
pub(crate) async fn find(store: &Store, hash: &Hash) -> Result<Option<StoredKey>> {
    let row = Entity::find().filter(Column::Hash.eq(hash.to_vec())).one(store.read()).await?;
    Ok(row.map(|row| StoredKey {
        id: ApiKeyId(row.id),
        display_name: row.display_name,
        last_use_time: row.last_use_time.map(UnixMicros),
        expire_time: row.expire_time.map(UnixMicros),
        made_by: row.made_by.map(ApiKeyId),
    }))
}

/// Those of these keys that are there and not over.
pub(crate) async fn live(store: &Store, hashes: &[Hash], now: UnixMicros) -> Result<HashSet<Hash>> {
    let mut live = HashSet::new();
    for some in hashes.chunks(AT_ONCE) {
        let query = Entity::find().select_only().column(Column::Hash).filter(Column::Hash.is_in(some.iter().map(|hash| hash.to_vec())));
        let lasting = Column::ExpireTime.is_null().or(Column::ExpireTime.gt(now.0));
        let found: Vec<Vec<u8>> = query.filter(lasting).into_tuple().all(store.read()).await?;
        live.extend(found.into_iter().filter_map(|hash| Hash::try_from(hash).ok()));
    }
    Ok(live)
}

/// Whether this key is there.
pub(crate) async fn exists(store: &Store, id: ApiKeyId) -> Result<bool> {
    Ok(Entity::find_by_id(id.0).count(store.read()).await? > 0)
}

/// How many keys there are that do not end.
pub(crate) async fn count(store: &Store) -> Result<u64> {
    Ok(Entity::find().filter(Column::ExpireTime.is_null()).count(store.read()).await?)
}

/// Stores an admin key, unless another server has just stored the same one.
pub(crate) async fn insert(store: &Store, key: NewKey<'_>) -> Result<()> {
    let row = ActiveModel {
        id: Set(key.id.0),
        display_name: Set(key.display_name.to_owned()),
        role: Set("admin".to_owned()),
        hash: Set(key.hash.to_vec()),
        prefix: Set(key.prefix.to_owned()),
        create_time: Set(UnixMicros::now().0),
        last_use_time: Set(None),
        expire_time: Set(key.expire_time.map(|time| time.0)),
        made_by: Set(key.made_by.map(|id| id.0)),
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

/// Deletes the keys of this name that have another hash, and what was made with them.
pub(crate) async fn delete_others(store: &Store, display_name: &str, hash: &Hash) -> Result<()> {
    let others = Column::DisplayName.eq(display_name).and(Column::Hash.ne(hash.to_vec())).and(Column::MadeBy.is_null());
    let makers = Query::select().column(Column::Id).from(Entity).and_where(others.clone()).to_owned();
    Entity::delete_many().filter(Column::MadeBy.in_subquery(makers)).exec(store.write()).await?;
    Entity::delete_many().filter(others).exec(store.write()).await?;
    Ok(())
}

/// Deletes the keys that ended before this time.
pub(crate) async fn delete_ended(store: &Store, before: UnixMicros) -> Result<()> {
    Entity::delete_many().filter(Column::ExpireTime.lt(before.0)).exec(store.write()).await?;
    Ok(())
}

/// Deletes every key.
pub(crate) async fn delete_all(store: &Store) -> Result<()> {
    Entity::delete_many().exec(store.write()).await?;
    Ok(())
}
