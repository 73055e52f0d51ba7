//! Deliveries as replays and drafts want them.

use std::collections::HashMap;

use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use super::Store;
use super::deliveries::condition;
use super::entity::delivery::{self, Column};
use super::rows::delivery_of;
use crate::domain::{Delivery, DeliveryFilter, DeliveryId, Result, Source, TriggerId};

/// Replays of one delivery that are told.
const TOLD: usize = 20;

impl Store {
    /// The first deliveries that this filter finds, oldest first.
    pub(crate) async fn oldest_deliveries(&self, filter: &DeliveryFilter, most: u32) -> Result<Vec<Delivery>> {
        let query = delivery::Entity::find().filter(condition(filter)).order_by_asc(Column::Id).limit(u64::from(most));
        query.all(self.read()).await?.into_iter().map(delivery_of).collect()
    }

    /// The last deliveries of a trigger, or of a source, newest first.
    pub(crate) async fn recent_deliveries(&self, trigger: Option<TriggerId>, source: Source, most: u32) -> Result<Vec<Delivery>> {
        let query = match trigger {
            Some(id) => delivery::Entity::find().filter(Column::TriggerId.eq(id.0)),
            None => delivery::Entity::find().filter(Column::TriggerId.is_not_null()).filter(Column::Source.eq(source.as_str())),
        };
        let rows = query.order_by_desc(Column::Id).limit(u64::from(most)).all(self.read()).await?;
        rows.into_iter().map(delivery_of).collect()
    }

    /// Adds to each delivery its latest replays: one look into the index for all.
    pub(super) async fn with_replays(&self, mut deliveries: Vec<Delivery>) -> Result<Vec<Delivery>> {
        let replays: Vec<(Uuid, Option<Uuid>)> = delivery::Entity::find()
            .select_only()
            .columns([Column::Id, Column::ReplayOf])
            .filter(Column::ReplayOf.is_in(deliveries.iter().map(|one| one.id.0)))
            .order_by_desc(Column::Id)
            .limit(500 * TOLD as u64)
            .into_tuple()
            .all(self.read())
            .await?;
        let mut by_original: HashMap<Uuid, Vec<DeliveryId>> = HashMap::new();
        for (replay, original) in replays {
            let known = by_original.entry(original.unwrap_or_default()).or_default();
            if known.len() < TOLD {
                known.push(DeliveryId(replay));
            }
        }
        for one in &mut deliveries {
            one.replayed_by = by_original.remove(&one.id.0).unwrap_or_default();
        }
        Ok(deliveries)
    }
}
