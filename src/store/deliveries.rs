//! Deliveries, read.

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, ExprTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select};

use super::Store;
use super::entity::delivery::{self, Column};
use super::entity::{delivery_payload, run_delivery};
use super::page::{SLACK, first_id_at, page_by_id};
use super::rows::{delivery_of, payload_of};
use crate::domain::{Delivery, DeliveryFilter, DeliveryId, DeliveryPayload, Page, PageRequest, Result};

impl Store {
    /// The delivery of this id, without its bulky part.
    pub(crate) async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>> {
        let row = delivery::Entity::find_by_id(id.0).one(self.read()).await?;
        let found = row.map(delivery_of).transpose()?;
        Ok(self.with_replays(found.into_iter().collect()).await?.pop())
    }

    /// Headers and whole body of a delivery; none: they are not kept.
    pub(crate) async fn delivery_payload(&self, id: DeliveryId) -> Result<Option<DeliveryPayload>> {
        let row = delivery_payload::Entity::find_by_id(id.0).one(self.read()).await?;
        row.as_ref().map(payload_of).transpose()
    }

    /// Deliveries, newest first.
    pub(crate) async fn list_deliveries(&self, filter: &DeliveryFilter, page: PageRequest) -> Result<Page<Delivery>> {
        let (rows, next) = page_by_id(select(filter, page).all(self.read()).await?, page, |row| row.id);
        let items = rows.into_iter().map(delivery_of).collect::<Result<_>>()?;
        Ok(Page { items: self.with_replays(items).await?, next })
    }
}

pub(super) fn select(filter: &DeliveryFilter, page: PageRequest) -> Select<delivery::Entity> {
    let query = delivery::Entity::find().filter(condition(filter)).order_by_desc(Column::Id).limit(u64::from(page.size) + 1);
    match page.after {
        Some(after) => query.filter(Column::Id.lt(after.id)),
        None => query,
    }
}

pub(super) fn condition(filter: &DeliveryFilter) -> Condition {
    let mut all = Condition::all();
    if let Some(id) = filter.trigger_id {
        all = all.add(Column::TriggerId.eq(id.0));
    }
    // A run's deliveries are found by the links, which are indexed and hold the merged ones too.
    let links = || Query::select().column(run_delivery::Column::DeliveryId).from(run_delivery::Entity).to_owned();
    if let Some(id) = filter.run_id {
        all = all.add(Column::Id.in_subquery(links().and_where(Expr::col(run_delivery::Column::RunId).eq(id.0)).to_owned()));
    }
    if let Some(id) = filter.session_id {
        // Those that were dropped or repeated made no run there, and are of the session all the same.
        all = all.add(Column::SessionId.eq(id.0));
    }
    if !filter.outcomes.is_empty() {
        all = all.add(Column::Outcome.is_in(filter.outcomes.iter().map(|outcome| outcome.as_str())));
    }
    if !filter.origins.is_empty() {
        all = all.add(Column::Origin.is_in(filter.origins.iter().map(|origin| origin.as_str())));
    }
    if let Some(kind) = &filter.event_kind {
        all = all.add(Column::EventKind.eq(kind));
    }
    if let Some(actor) = &filter.actor {
        all = all.add(Condition::any().add(Column::ActorLogin.eq(actor)).add(Column::ActorId.eq(actor)));
    }
    if let Some(start) = filter.start_time {
        all = all.add(Column::ReceiveTime.gte(start.0)).add(Column::Id.gte(first_id_at(start.minus(SLACK))));
    }
    if let Some(end) = filter.end_time {
        all = all.add(Column::ReceiveTime.lt(end.0)).add(Column::Id.lt(first_id_at(end.plus(SLACK))));
    }
    all
}
