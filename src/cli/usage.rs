//! `reprise usage`: what runs cost.

use clap::Args;
use jiff::tz::TimeZone;

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::id;
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::table::{Cell, Column, Table};
use super::words::{choice, cost, count, dotted, money, named_id, parse_moment, plural, share, span, time, wire_span, word};
use crate::proto::v1::{QueryUsageRequest, UsageBucket, UsageGroup, UsageRow};

/// What to add up.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Only runs that ended since then: a time, or how long ago (`2h`). Default: seven days ago.
    #[arg(long, value_parser = parse_moment)]
    since: Option<prost_types::Timestamp>,
    /// Only runs that ended before then: a time, or how long ago (`2h`).
    #[arg(long, value_parser = parse_moment)]
    until: Option<prost_types::Timestamp>,
    /// A row for each: hour, day.
    #[arg(long, value_parser = |text: &str| choice::<UsageBucket>(text, "USAGE_BUCKET_", UsageBucket::as_str_name))]
    bucket: Option<UsageBucket>,
    /// A row for each: trigger, session, model, lineage.
    #[arg(long, value_parser = |text: &str| choice::<UsageGroup>(text, "USAGE_GROUP_", UsageGroup::as_str_name))]
    by: Vec<UsageGroup>,
    /// Time zone of hours and days, such as Europe/Berlin. Default: that of the settings.
    #[arg(long, default_value = "", hide_default_value = true)]
    time_zone: String,
    /// Only runs of this trigger, by slug or id.
    #[arg(long, default_value = "", hide_default_value = true)]
    trigger: String,
    /// Only runs of this session.
    #[arg(long)]
    session: Option<String>,
    /// Most rows to show.
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=500))]
    limit: i32,
}

/// Adds up and shows.
pub(crate) async fn run(args: UsageArgs, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    let session_id = id::if_given(args.session.as_deref(), |text| id::session(api, text)).await?;
    let request = QueryUsageRequest {
        start_time: args.since,
        end_time: args.until,
        time_zone: args.time_zone.clone(),
        bucket: args.bucket.unwrap_or(UsageBucket::None).into(),
        group_by: args.by.iter().copied().map(Into::into).collect(),
        trigger_id: args.trigger,
        session_id,
        page_size: args.limit,
        page_token: String::new(),
    };
    let answer = api.runs().query_usage(request).await?.into_inner();
    if screen.document(&answer)? {
        return Ok(Exit::Success);
    }
    if args.bucket.is_some() || !args.by.is_empty() {
        table(&answer.rows, args.bucket, !args.by.is_empty(), &args.time_zone, screen)?;
        if !answer.next_page_token.is_empty() {
            screen.line(screen.paint(Tint::Dim, "there are more: --limit and the filters choose"))?;
        }
    }
    let total = answer.total.unwrap_or_default();
    screen.line(summary(&total))?;
    if let Some(saved) = total.saved_usd {
        let basis = plural(total.basis_count.into(), "fresh run");
        screen.line(screen.paint(Tint::Dim, &format!("continuing saved {} (against the median of {basis})", money(saved))))?;
    }
    if let Some(not_spent) = total.not_spent_usd.filter(|_| total.not_started_count > 0) {
        let events = plural(total.not_started_count.into(), "event");
        screen.line(screen.paint(Tint::Dim, &format!("not spent {} on {events} of the server's own or of bots", money(not_spent))))?;
    }
    Ok(Exit::Success)
}

fn summary(total: &UsageRow) -> String {
    let usage = total.usage.clone().unwrap_or_default();
    let wait = total.wait_p50.as_ref().map(|wait| format!("waited {} (median)", span(wire_span(wait)))).unwrap_or_default();
    let parts = [
        plural(total.run_count.into(), "run"),
        format!("{} failed", count(total.failed_count.into())),
        format!("{} continued", count(total.continued_count.into())),
        cost(Some(&usage)),
        format!("cache {}", share(usage.cache_share)),
        wait,
    ];
    dotted(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// One line a row; of when and what for only what was asked.
fn table(rows: &[UsageRow], bucket: Option<UsageBucket>, grouped: bool, zone: &str, screen: &mut Screen) -> Result<(), Failure> {
    let zone = TimeZone::get(zone).unwrap_or_else(|_| TimeZone::system());
    let format = if bucket == Some(UsageBucket::Hour) { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d" };
    let bucketed = bucket.is_some_and(|bucket| bucket != UsageBucket::None);
    let asked = [bucketed, grouped || !bucketed, true, true, true, true, true, true];
    let columns = [
        ("TIME", Column::Whole),
        ("FOR", Column::CutEnd),
        ("RUNS", Column::Right),
        ("FAILED", Column::Right),
        ("CONTINUED", Column::Right),
        ("COST", Column::Right),
        ("CACHE", Column::Right),
        ("SAVED", Column::Right),
    ];
    let columns: Vec<_> = columns.into_iter().zip(asked).filter(|(_, asked)| *asked).map(|(column, _)| column).collect();
    let mut table = Table::new(&columns);
    for row in rows {
        let begin = time(row.bucket_start_time.as_ref()).map(|at| at.to_zoned(zone.clone()).strftime(format).to_string());
        let cells: [Cell; 8] = [
            begin.unwrap_or_else(|| "–".to_owned()).into(),
            group(row).into(),
            count(row.run_count.into()).into(),
            count(row.failed_count.into()).into(),
            count(row.continued_count.into()).into(),
            cost(row.usage.as_ref()).into(),
            share(row.usage.as_ref().and_then(|usage| usage.cache_share)).into(),
            row.saved_usd.map_or_else(|| "–".to_owned(), money).into(),
        ];
        table.row(cells.into_iter().zip(asked).filter(|(_, asked)| *asked).map(|(cell, _)| cell));
    }
    table.print(screen, "no runs ended in this time")
}

fn group(row: &UsageRow) -> String {
    let session = if row.thread_key.is_empty() && !row.session_id.is_empty() { named_id(&row.session_id) } else { plain(&row.thread_key) };
    let lineage = if row.lineage == 0 { String::new() } else { word(row.lineage().as_str_name(), "LINEAGE_") };
    let text = dotted(&[&plain(&row.trigger_slug), &session, &plain(&row.model), &lineage]);
    if text.is_empty() { "–".to_owned() } else { text }
}
