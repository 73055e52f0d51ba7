//! Adding up what runs cost. One statement gives the rows, the same one without groups the total.
//!
//! Runs that ended and deliveries that were stopped are facts of one list. Medians are taken by rank, since SQLite has no
//! function for them. Times are whole numbers of ours and stand in the text; ids are bound.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, QueryResult, Value};
use uuid::Uuid;

use super::Store;
use super::rows::word_or_none;
use super::sql::statement;
use crate::domain::{Bucket, CostBasis, NanoUsd, Result, SessionId, TriggerId, UnixMicros, Usage, UsageGroup, UsageQuery, UsageRow};

/// Runs that went on in a conversation there was.
const CONTINUED: &str = "'continued', 'restored', 'forked'";
/// As the index of these deliveries has it.
const STOPPED: &str = "d.reason IN ('author_is_self', 'author_is_bot', 'marker_found')";

/// The columns of a group, and how its facts give them.
struct Columns {
    name: &'static str,
    shown: &'static str,
}

const fn columns(group: UsageGroup) -> Columns {
    match group {
        UsageGroup::Trigger => Columns { name: "trigger_id", shown: "max(trigger_slug)" },
        UsageGroup::Session => Columns { name: "session_id", shown: "max(thread_key)" },
        UsageGroup::Model => Columns { name: "model", shown: "''" },
        UsageGroup::Lineage => Columns { name: "lineage", shown: "''" },
    }
}

impl Store {
    /// The rows of a query, newest bucket first, within it the dearest first: at most `limit` from `offset` on.
    pub(crate) async fn usage(&self, query: &UsageQuery, offset: i64, limit: u32) -> Result<Vec<UsageRow>> {
        let (text, values) = text(query, offset, limit);
        let rows = self.read().query_all_raw(statement(self.backend(), text, values)).await?;
        rows.iter().map(|row| read(row, &query.groups)).collect()
    }
}

fn text(query: &UsageQuery, offset: i64, limit: u32) -> (String, Vec<Value>) {
    let (start, end) = (query.start.0, query.end.0);
    let time = |time: UnixMicros| format!("CAST({} AS BIGINT)", time.0);
    let bucket = |one: &Bucket| format!("({}, {}, {})", time(one.begin), time(one.from), time(one.until));
    let buckets: Vec<String> = query.buckets.iter().map(bucket).collect();
    let names: Vec<&str> = query.groups.iter().map(|group| columns(*group).name).collect();
    let key = ["begin_time"].iter().chain(&names).copied().collect::<Vec<_>>().join(", ");
    let selected: String = query.groups.iter().map(|group| columns(*group)).map(|c| format!("{}, {}, ", c.name, c.shown)).collect();
    let mut values: Vec<Value> = Vec::new();
    let mut narrowed = |alias: &str, session: bool| {
        let mut text = String::new();
        if let Some(id) = query.trigger_id {
            text.push_str(&format!(" AND {alias}.trigger_id = ?"));
            values.push(id.0.into());
        }
        if let Some(id) = query.session_id.filter(|_| session) {
            text.push_str(&format!(" AND {alias}.session_id = ?"));
            values.push(id.0.into());
        }
        text
    };
    let (fresh, all) = (narrowed("r", false), narrowed("r", false));
    let runs = narrowed("r", true);
    // A stopped delivery has no session, model or lineage that it could be added to.
    let whole = query.session_id.is_none() && query.groups.iter().all(|group| *group == UsageGroup::Trigger);
    let stopped = if whole { stopped(&narrowed("d", false)) } else { String::new() };
    let text = format!(
        "WITH bucket (begin_time, from_time, until_time) AS (VALUES {buckets}), \
         fresh AS ({fresh}), every_run AS ({all}), \
         basis AS (SELECT f.trigger_id, f.median AS fresh_cost, f.ranked AS fresh_count, e.median AS run_cost \
             FROM fresh f JOIN every_run e ON e.trigger_id = f.trigger_id), \
         fact AS (SELECT b.begin_time, r.id, r.trigger_id, r.trigger_slug, r.session_id, r.thread_key, r.model, r.lineage, r.status, \
             r.start_time - r.create_time AS wait, r.input_tokens, r.output_tokens, r.cache_read_tokens, r.cache_write_tokens, \
             r.thinking_tokens, r.cost_nano, r.cost_basis, 0 AS stopped \
             FROM bucket b JOIN runs r ON r.end_time >= b.from_time AND r.end_time < b.until_time \
             WHERE r.end_time IS NOT NULL{runs}{stopped}), \
         ranked AS (SELECT fact.*, basis.fresh_cost, basis.fresh_count, basis.run_cost, \
             CASE WHEN fact.lineage IN ({CONTINUED}) THEN 1 ELSE 0 END AS continued, \
             row_number() OVER (PARTITION BY {key} ORDER BY CASE WHEN wait IS NULL THEN 1 ELSE 0 END, wait) AS place, \
             count(wait) OVER (PARTITION BY {key}) AS waits, \
             row_number() OVER (PARTITION BY {key}, fact.trigger_id ORDER BY fact.id) AS nth \
             FROM fact LEFT JOIN (SELECT trigger_id AS of_trigger, fresh_cost, fresh_count, run_cost FROM basis) basis \
             ON basis.of_trigger = fact.trigger_id) \
         SELECT {selected}begin_time, {SUMS} FROM ranked GROUP BY {key} \
         ORDER BY begin_time DESC, sum(cost_nano) DESC, {key} LIMIT {limit} OFFSET {offset}",
        buckets = buckets.join(", "),
        fresh = medians("r.lineage = 'fresh'", start, end, &fresh),
        all = medians("r.lineage IS NOT NULL", start, end, &all),
    );
    (text, values)
}

/// What the facts of a row add up to.
const SUMS: &str = "CAST(count(*) - sum(stopped) AS BIGINT), \
    CAST(sum(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) AS BIGINT), \
    CAST(sum(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS BIGINT), \
    CAST(sum(continued) AS BIGINT), \
    CAST(sum(CASE WHEN wait IS NOT NULL AND place IN ((waits + 1) / 2, (waits + 2) / 2) THEN wait END) AS BIGINT) \
    / nullif(count(CASE WHEN wait IS NOT NULL AND place IN ((waits + 1) / 2, (waits + 2) / 2) THEN 1 END), 0), \
    CAST(sum(input_tokens) AS BIGINT), CAST(sum(output_tokens) AS BIGINT), CAST(sum(cache_read_tokens) AS BIGINT), \
    CAST(sum(cache_write_tokens) AS BIGINT), CAST(sum(thinking_tokens) AS BIGINT), CAST(sum(cost_nano) AS BIGINT), \
    max(CASE cost_basis WHEN 'reported' THEN 0 WHEN 'derived' THEN 1 WHEN 'metered' THEN 2 ELSE 3 END), \
    CAST(sum(stopped) AS BIGINT), \
    CAST(sum(CASE WHEN stopped = 1 THEN coalesce(run_cost, 0) ELSE 0 END) AS BIGINT), \
    CAST(sum(CASE WHEN continued = 1 AND fresh_cost IS NOT NULL THEN fresh_cost - cost_nano ELSE 0 END) AS BIGINT), \
    CAST(sum(CASE WHEN nth = 1 THEN coalesce(fresh_count, 0) ELSE 0 END) AS BIGINT)";

/// For each trigger the median cost of its runs of a kind, and how many there are.
fn medians(kind: &str, start: i64, end: i64, narrowed: &str) -> String {
    format!(
        "SELECT trigger_id, max(many) AS ranked, \
         CAST(sum(CASE WHEN place IN ((many + 1) / 2, (many + 2) / 2) THEN cost_nano END) AS BIGINT) \
         / count(CASE WHEN place IN ((many + 1) / 2, (many + 2) / 2) THEN 1 END) AS median FROM (\
         SELECT r.trigger_id, r.cost_nano, row_number() OVER (PARTITION BY r.trigger_id ORDER BY r.cost_nano) AS place, \
         count(*) OVER (PARTITION BY r.trigger_id) AS many \
         FROM runs r WHERE r.end_time >= {start} AND r.end_time < {end} AND {kind}{narrowed}) one_kind GROUP BY trigger_id"
    )
}

/// Deliveries that were stopped, as facts that cost nothing.
fn stopped(narrowed: &str) -> String {
    format!(
        " UNION ALL SELECT b.begin_time, d.id, d.trigger_id, d.trigger_slug, NULL, NULL, '', NULL, '', NULL, 0, 0, 0, 0, 0, 0, 'reported', 1 \
         FROM bucket b JOIN deliveries d ON d.receive_time >= b.from_time AND d.receive_time < b.until_time \
         WHERE {STOPPED} AND d.trigger_id IS NOT NULL{narrowed}"
    )
}

fn read(row: &QueryResult, groups: &[UsageGroup]) -> Result<UsageRow> {
    let mut found = UsageRow::default();
    let mut at = 0;
    for group in groups {
        match group {
            UsageGroup::Trigger => found.trigger = Some((TriggerId(row.try_get_by_index(at)?), row.try_get_by_index(at + 1)?)),
            UsageGroup::Session => {
                let id: Uuid = row.try_get_by_index(at)?;
                let thread: Option<String> = row.try_get_by_index(at + 1)?;
                found.session = Some((SessionId(id), thread.unwrap_or_default()));
            }
            UsageGroup::Model => found.model = row.try_get_by_index(at)?,
            UsageGroup::Lineage => found.lineage = word_or_none(row.try_get_by_index::<Option<String>>(at)?.as_deref())?,
        }
        at += 2;
    }
    let number = |index: usize| -> Result<i64> { Ok(row.try_get_by_index(at + index)?) };
    found.begin = UnixMicros(number(0)?);
    (found.run_count, found.succeeded_count, found.failed_count, found.continued_count) = (number(1)?, number(2)?, number(3)?, number(4)?);
    let wait: Option<i64> = row.try_get_by_index(at + 5)?;
    found.wait_p50 = wait.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
    let basis: i32 = row.try_get_by_index(at + 12)?;
    found.usage = Usage {
        input_tokens: number(6)?,
        output_tokens: number(7)?,
        cache_read_tokens: number(8)?,
        cache_write_tokens: number(9)?,
        thinking_tokens: number(10)?,
        cost: NanoUsd(number(11)?),
        cost_basis: usize::try_from(basis).ok().and_then(|basis| CostBasis::ALL.get(basis)).copied().unwrap_or(CostBasis::Unknown),
    };
    found.not_started_count = number(13)?;
    found.not_spent = NanoUsd(number(14)?);
    found.saved = NanoUsd(number(15)?);
    found.basis_count = number(16)?;
    Ok(found)
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
