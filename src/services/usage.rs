//! QueryUsage: what runs cost.

use uuid::Uuid;

use super::Services;
use crate::domain::{Bucket, Cursor, Result, UnixMicros, UsageBucket, UsageQuery, UsageRow};
use crate::proto::v1;
use crate::rpc::PageTokens;
use crate::rpc::convert::{WireEnum as _, usage_query, usage_row};

impl Services {
    pub(super) async fn usage(&self, request: &v1::QueryUsageRequest) -> Result<v1::QueryUsageResponse> {
        let (page, tokens) = PageTokens::read(request)?;
        // Later pages are of the time of the first one: their token has where they begin, and what was `now`.
        let (offset, now) = page.after.map_or((0, UnixMicros::now()), |after| (after.key, time_of(after.id)));
        let trigger = self.filter_trigger(&request.trigger_id).await?;
        let zone = self.rooms.settings.get().sessions.time_zone.clone();
        let query = usage_query(request, trigger, now, &zone)?;
        let mut rows = self.rooms.store.usage(&query, offset, page.size + 1).await?;
        let more = rows.len() > page.size as usize;
        rows.truncate(page.size as usize);
        let next = Cursor { key: offset + i64::from(page.size), id: id_of(query.end) };
        let bucketed = UsageBucket::from_wire(request.bucket).is_some_and(|bucket| bucket != UsageBucket::None);
        Ok(v1::QueryUsageResponse {
            rows: rows.iter().map(|row| usage_row(row, bucketed)).collect(),
            total: Some(usage_row(&self.total(query).await?, false)),
            next_page_token: tokens.next(more.then_some(next)),
        })
    }

    async fn total(&self, query: UsageQuery) -> Result<UsageRow> {
        let whole = Bucket { begin: query.start, from: query.start, until: query.end };
        let whole = UsageQuery { buckets: vec![whole], groups: Vec::new(), ..query };
        Ok(self.rooms.store.usage(&whole, 0, 1).await?.pop().unwrap_or_default())
    }
}

/// A time in the place of an id.
fn id_of(time: UnixMicros) -> Uuid {
    Uuid::from_u64_pair(0, u64::from_be_bytes(time.0.to_be_bytes()))
}

fn time_of(id: Uuid) -> UnixMicros {
    UnixMicros(i64::from_be_bytes(id.as_u64_pair().1.to_be_bytes()))
}
