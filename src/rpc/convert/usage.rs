//! What runs cost, added up.

use std::time::Duration;

use super::{count, duration, timestamp};
use crate::domain::{Result, TriggerId, UnixMicros, UsageBucket, UsageGroup, UsageQuery, UsageRow, buckets};
use crate::proto::v1;
use crate::rpc::Fields;

/// What is asked when no time is.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a request asks, up to `now` or up to where its first page ended, by the clock of `zone` unless it names another.
pub fn usage_query(request: &v1::QueryUsageRequest, trigger: Option<TriggerId>, now: UnixMicros, zone: &str) -> Result<UsageQuery> {
    let mut fields = Fields::new();
    let end = fields.time("end_time", request.end_time).unwrap_or(now);
    let start = fields.time("start_time", request.start_time).unwrap_or_else(|| end.minus(WEEK));
    let bucket = fields.choice("bucket", request.bucket).unwrap_or(UsageBucket::None);
    let mut groups: Vec<UsageGroup> = Vec::new();
    for (i, number) in request.group_by.iter().enumerate() {
        let field = format!("group_by[{i}]");
        match fields.choice(&field, *number) {
            Some(group) if groups.contains(&group) => fields.wrong(field, "is named twice"),
            Some(group) => groups.push(group),
            None => fields.check(*number != 0, &field, || "is UNSPECIFIED".to_owned()),
        }
    }
    let session_id = fields.id_or_none("session_id", &request.session_id);
    fields.finish(())?;
    let zone = if request.time_zone.is_empty() { zone } else { &request.time_zone };
    let buckets = buckets(start, end, bucket, zone)?;
    Ok(UsageQuery { start, end, buckets, groups, trigger_id: trigger, session_id })
}

/// A row; the begin of its bucket only where buckets were asked for.
#[must_use]
pub fn usage_row(row: &UsageRow, bucketed: bool) -> v1::UsageRow {
    let (trigger_id, trigger_slug) = row.trigger.as_ref().map(|(id, slug)| (id.to_string(), slug.clone())).unwrap_or_default();
    let (session_id, thread_key) = row.session.as_ref().map(|(id, key)| (id.to_string(), key.clone())).unwrap_or_default();
    let known = row.basis_count > 0;
    v1::UsageRow {
        bucket_start_time: bucketed.then(|| timestamp(row.begin)),
        trigger_id,
        trigger_slug,
        session_id,
        thread_key,
        model: row.model.clone(),
        lineage: super::wire(row.lineage),
        run_count: count(row.run_count),
        succeeded_count: count(row.succeeded_count),
        failed_count: count(row.failed_count),
        continued_count: count(row.continued_count),
        wait_p50: row.wait_p50.map(duration),
        usage: Some(super::run::usage(row.usage)),
        not_started_count: count(row.not_started_count),
        not_spent_usd: known.then(|| row.not_spent.usd()),
        saved_usd: known.then(|| row.saved.usd()),
        basis_count: count(row.basis_count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NanoUsd;

    const NOW: UnixMicros = UnixMicros(1_800_000_000_000_000);

    #[test]
    fn without_a_time_it_is_the_last_week() {
        let query = usage_query(&v1::QueryUsageRequest::default(), None, NOW, "UTC").expect("valid");
        assert_eq!((query.end, query.start), (NOW, NOW.minus(WEEK)));
        assert_eq!(query.buckets.len(), 1);
        let days = v1::QueryUsageRequest { bucket: v1::UsageBucket::Day.into(), ..Default::default() };
        assert_eq!(usage_query(&days, None, NOW, "Europe/Berlin").expect("valid").buckets.len(), 8);
    }

    #[test]
    fn groups_are_named_once_and_known() {
        let request = |groups: &[i32]| v1::QueryUsageRequest { group_by: groups.to_vec(), ..Default::default() };
        assert_eq!(usage_query(&request(&[3, 1]), None, NOW, "UTC").expect("valid").groups, [UsageGroup::Model, UsageGroup::Trigger]);
        let error = usage_query(&request(&[1, 1, 0, 9]), None, NOW, "UTC").expect_err("refused");
        let fields: Vec<String> = error.fields().into_iter().map(|field| field.field).collect();
        assert_eq!(fields, ["group_by[1]", "group_by[2]", "group_by[3]"]);
        let zone = v1::QueryUsageRequest { time_zone: "Mars".to_owned(), ..Default::default() };
        assert_eq!(usage_query(&zone, None, NOW, "UTC").expect_err("refused").fields()[0].field, "time_zone");
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let row = UsageRow { saved: NanoUsd(-5_000_000), basis_count: 1, ..UsageRow::default() };
        let shown = usage_row(&row, false);
        assert_eq!((shown.saved_usd, shown.not_spent_usd, shown.bucket_start_time), (Some(-0.005), Some(0.0), None));
        let shown = usage_row(&UsageRow { basis_count: 0, ..row }, true);
        assert_eq!((shown.saved_usd, shown.not_spent_usd, shown.bucket_start_time.is_some()), (None, None, true));
    }
}
