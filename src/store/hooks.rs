//! What intake reads of a trigger, and the one thing it writes there.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr};

use super::Store;
use super::entity::{trigger, trigger_secret};
use super::rows::trigger_of;
use crate::domain::{Result, SecretId, Trigger, UnixMicros};

/// A secret as it is stored.
#[derive(Debug)]
pub(crate) struct SealedSecret {
    pub(crate) id: SecretId,
    pub(crate) sealed: Vec<u8>,
    pub(crate) expire_time: Option<UnixMicros>,
}

/// The trigger of this slug, with its secrets, oldest first.
pub(crate) async fn hook(store: &Store, slug: &str) -> Result<Option<(Trigger, Vec<SealedSecret>)>> {
    let Some(row) = trigger::Entity::find().filter(trigger::Column::Slug.eq(slug)).one(store.read()).await? else {
        return Ok(None);
    };
    let secrets = trigger_secret::Entity::find()
        .filter(trigger_secret::Column::TriggerId.eq(row.id))
        .order_by_asc(trigger_secret::Column::Id)
        .all(store.read())
        .await?;
    let trigger = trigger_of(row, &secrets)?;
    let sealed = secrets.into_iter().map(|row| SealedSecret {
        id: SecretId(row.id),
        sealed: row.sealed,
        expire_time: row.expire_time.map(UnixMicros),
    });
    Ok(Some((trigger, sealed.collect())))
}

/// Notes that a delivery fitted this secret.
pub(crate) async fn note_match(store: &Store, secret: SecretId, time: UnixMicros) -> Result<()> {
    let tx = store.begin().await?;
    trigger_secret::Entity::update_many()
        .col_expr(trigger_secret::Column::LastMatchTime, Expr::value(time.0))
        .filter(trigger_secret::Column::Id.eq(secret.0))
        .exec(&tx)
        .await?;
    Ok(tx.commit().await?)
}
