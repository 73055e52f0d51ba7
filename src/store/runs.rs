//! Runs, read.

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, ExprTrait as _, Iterable as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};

use super::Store;
use super::entity::{run, run_delivery};
use super::page::{first_id_at, page_by_id};
use super::rows::runs_of;
use crate::domain::{Cursor, Page, PageRequest, Result, Run, RunFilter, RunId, RunState, RunStatus};

/// A filter that hardly fits may look at so many rows for one page; the next page goes on from there.
const LOOKED_AT: usize = 5000;

impl Store {
    /// The run of this id, with its attempts and its usage by model.
    pub(crate) async fn run(&self, id: RunId) -> Result<Option<Run>> {
        let row = run::Entity::find_by_id(id.0).all(self.read()).await?;
        Ok(runs_of(self.read(), row, true).await?.pop())
    }

    /// Runs, newest first, without attempts and usage by model.
    pub(crate) async fn list_runs(&self, filter: &RunFilter, page: PageRequest) -> Result<Page<Run>> {
        // What a queued run waits for is told by other rows, so whether it is `Waiting` is seen after the query.
        let exact = filter.states.contains(&RunState::Queued) == filter.states.contains(&RunState::Waiting);
        let mut fitting = Vec::new();
        let mut after = page.after;
        let mut looked_at = 0;
        loop {
            let want = PageRequest { size: page.size, after };
            let rows = self.run_rows(filter, want).await?;
            let (rows, next) = page_by_id(rows, want, |row| row.id);
            looked_at += rows.len();
            let runs = runs_of(self.read(), rows, false).await?;
            fitting.extend(runs.into_iter().filter(|run| exact || filter.states.contains(&run.state())));
            if fitting.len() > page.size as usize {
                fitting.truncate(page.size as usize);
                let next = fitting.last().map(|run| Cursor { key: 0, id: run.id.0 });
                return Ok(Page { items: fitting, next });
            }
            if next.is_none() || exact || looked_at >= LOOKED_AT {
                return Ok(Page { items: fitting, next });
            }
            after = next;
        }
    }

    async fn run_rows(&self, filter: &RunFilter, page: PageRequest) -> Result<Vec<run::Model>> {
        let statuses = statuses(filter);
        let query = filtered(filter, page);
        let narrow = filter.trigger_id.is_some() || filter.session_id.is_some() || filter.delivery_id.is_some();
        if narrow || statuses.is_empty() {
            let query = if statuses.is_empty() { query } else { query.filter(run::Column::Status.is_in(statuses)) };
            return Ok(query.all(self.read()).await?);
        }
        // One look into the index for each state: asked for together they would all be read and sorted.
        let mut rows = Vec::new();
        for status in statuses {
            rows.extend(query.clone().filter(run::Column::Status.eq(status)).all(self.read()).await?);
        }
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        rows.truncate(page.size as usize + 1);
        Ok(rows)
    }
}

/// The stored words of the wanted states; none: all.
fn statuses(filter: &RunFilter) -> Vec<&'static str> {
    let of = |state: &RunState| match state {
        RunState::Queued | RunState::Waiting => &[RunStatus::Queued][..],
        RunState::Running => &[RunStatus::Starting, RunStatus::Running],
        RunState::Cancelling => &[RunStatus::Cancelling],
        RunState::Succeeded => &[RunStatus::Succeeded],
        RunState::Failed => &[RunStatus::Failed],
        RunState::Cancelled => &[RunStatus::Cancelled],
    };
    let mut words: Vec<_> = filter.states.iter().flat_map(of).map(|status| status.as_str()).collect();
    if words.is_empty() && !filter.failure_reasons.is_empty() {
        words.push(RunStatus::Failed.as_str());
    }
    words.sort_unstable();
    words.dedup();
    words
}

/// Runs without their prompts, which can be large, and which no list shows.
pub(super) fn shown() -> Select<run::Entity> {
    use run::Column;
    let shown = Column::iter().filter(|column| !matches!(column, Column::Prompt | Column::PromptOverride));
    let query = run::Entity::find().select_only().columns(shown);
    ["prompt", "prompt_override"].into_iter().fold(query, |query, unread| query.expr_as(Expr::cust("NULL"), unread))
}

/// Everything of the filter but the states.
pub(super) fn filtered(filter: &RunFilter, page: PageRequest) -> Select<run::Entity> {
    use run::Column;
    let mut query = shown();
    query = query.order_by_desc(Column::Id).limit(u64::from(page.size) + 1);
    if let Some(after) = page.after {
        query = query.filter(Column::Id.lt(after.id));
    }
    if let Some(id) = filter.trigger_id {
        query = query.filter(Column::TriggerId.eq(id.0));
    }
    if let Some(id) = filter.session_id {
        query = query.filter(Column::SessionId.eq(id.0));
    }
    if let Some(id) = filter.delivery_id {
        let links = Query::select()
            .column(run_delivery::Column::RunId)
            .from(run_delivery::Entity)
            .and_where(Expr::col(run_delivery::Column::DeliveryId).eq(id.0))
            .to_owned();
        query = query.filter(Column::Id.in_subquery(links));
    }
    if let Some(key) = &filter.thread_key {
        query = query.filter(Column::ThreadKey.eq(key));
    }
    if !filter.failure_reasons.is_empty() {
        query = query.filter(Column::FailureReason.is_in(filter.failure_reasons.iter().map(|reason| reason.as_str())));
    }
    if !filter.lineages.is_empty() {
        query = query.filter(Column::Lineage.is_in(filter.lineages.iter().map(|lineage| lineage.as_str())));
    }
    if let Some(start) = filter.start_time {
        // The id is made a moment before its row: the index finds the neighbourhood, the time decides.
        query = query.filter(Column::CreateTime.gte(start.0)).filter(Column::Id.gte(first_id_at(start.minus(super::page::SLACK))));
    }
    if let Some(end) = filter.end_time {
        query = query.filter(Column::CreateTime.lt(end.0)).filter(Column::Id.lt(first_id_at(end.plus(super::page::SLACK))));
    }
    query
}
