//! Adding up what runs cost: which runs, in which buckets of time, and for what.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{ToSpan as _, Zoned};

use super::text_enum::text_enum;
use super::{Error, Lineage, NanoUsd, Result, SessionId, TriggerId, UnixMicros, Usage};

/// The most buckets of one answer: as many hours as twelve weeks have.
const MAX_BUCKETS: usize = 2016;

text_enum! {
    /// Length of a bucket.
    UsageBucket {
        /// The whole time.
        None = "none",
        /// An hour.
        Hour = "hour",
        /// A day of the time zone.
        Day = "day",
    }
}

text_enum! {
    /// What rows are made for besides the buckets.
    UsageGroup {
        /// Each trigger.
        Trigger = "trigger",
        /// Each session.
        Session = "session",
        /// Each model.
        Model = "model",
        /// Each way in which runs got their memory.
        Lineage = "lineage",
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageQuery {
    /// Runs that ended at this time or later.
    pub start: UnixMicros,
    /// And before this one.
    pub end: UnixMicros,
    /// The parts of that time, in order.
    pub buckets: Vec<Bucket>,
    /// What rows are made for besides; each once.
    pub groups: Vec<UsageGroup>,
    /// Only this trigger's.
    pub trigger_id: Option<TriggerId>,
    /// Only this session's.
    pub session_id: Option<SessionId>,
}

/// A part of the time that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Where the hour or day begins, which may be before the time asked for.
    pub begin: UnixMicros,
    /// From here on.
    pub from: UnixMicros,
    /// Up to here, exclusively.
    pub until: UnixMicros,
}

/// Sums of one bucket and group.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UsageRow {
    /// Where the bucket begins.
    pub begin: UnixMicros,
    /// The group's trigger, with its slug.
    pub trigger: Option<(TriggerId, String)>,
    /// The group's session, with its thread.
    pub session: Option<(SessionId, String)>,
    /// The group's model.
    pub model: String,
    /// The group's lineage.
    pub lineage: Option<Lineage>,
    /// Runs that ended.
    pub run_count: i64,
    /// Of these, the ones that succeeded.
    pub succeeded_count: i64,
    /// And those that failed.
    pub failed_count: i64,
    /// And those that continued a conversation.
    pub continued_count: i64,
    /// Median wait from making to start; none: none started.
    pub wait_p50: Option<Duration>,
    /// Tokens and dollars.
    pub usage: Usage,
    /// Deliveries that were stopped as the server's own, a bot's or a loop's.
    pub not_started_count: i64,
    /// What those would have cost.
    pub not_spent: NanoUsd,
    /// What was saved by continuing; may be negative.
    pub saved: NanoUsd,
    /// Fresh runs behind the medians; 0: neither of the two is known.
    pub basis_count: i64,
}

/// The parts of a time, by the calendar of a zone: a day may have 23 or 25 hours.
///
/// # Errors
/// `FieldInvalid`: the time is empty, has too many buckets, or the zone is not known.
pub fn buckets(start: UnixMicros, end: UnixMicros, bucket: UsageBucket, zone: &str) -> Result<Vec<Bucket>> {
    if start >= end {
        return Err(Error::field("start_time", "is not before `end_time`"));
    }
    let zone =
        TimeZone::get(zone).map_err(|_| Error::field("time_zone", format!("`{zone}` is not a time zone, such as `Europe/Berlin`")))?;
    if bucket == UsageBucket::None {
        return Ok(vec![Bucket { begin: start, from: start, until: end }]);
    }
    let micros = |time: &Zoned| UnixMicros(time.timestamp().as_microsecond());
    let out_of_range = |_| Error::field("start_time", "is out of range");
    let mut begin = floor(&start.to_jiff().to_zoned(zone), bucket).map_err(out_of_range)?;
    let mut buckets = Vec::new();
    while micros(&begin) < end {
        if buckets.len() == MAX_BUCKETS {
            return Err(Error::field("bucket", format!("makes more than {MAX_BUCKETS} buckets of this time; ask for longer ones")));
        }
        let next = match bucket {
            UsageBucket::Hour => begin.checked_add(1.hour()),
            UsageBucket::Day | UsageBucket::None => begin.tomorrow().and_then(|next| next.start_of_day()),
        }
        .map_err(out_of_range)?;
        buckets.push(Bucket { begin: micros(&begin), from: micros(&begin).max(start), until: micros(&next).min(end) });
        begin = next;
    }
    Ok(buckets)
}

fn floor(time: &Zoned, bucket: UsageBucket) -> std::result::Result<Zoned, jiff::Error> {
    if bucket == UsageBucket::Day {
        return time.start_of_day();
    }
    let over = i64::from(time.minute()).minutes().seconds(i64::from(time.second())).nanoseconds(i64::from(time.subsec_nanosecond()));
    time.checked_sub(over)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn at(text: &str) -> UnixMicros {
        UnixMicros(text.parse::<jiff::Timestamp>().expect("a time").as_microsecond())
    }

    fn lengths(start: &str, end: &str, bucket: UsageBucket) -> Vec<i64> {
        let all = buckets(at(start), at(end), bucket, "Europe/Berlin").expect("buckets");
        assert!(all.windows(2).all(|pair| pair[0].until == pair[1].from), "without gaps");
        all.iter().map(|one| (one.until.0 - one.from.0) / HOUR).collect()
    }

    #[test]
    fn days_follow_the_clock_of_their_zone() {
        // Clocks went forward on 29 March 2026 and back on 25 October.
        assert_eq!(lengths("2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z", UsageBucket::Day), [24, 23, 24]);
        assert_eq!(lengths("2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z", UsageBucket::Day), [24, 25, 24]);
        assert_eq!(lengths("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", UsageBucket::Hour), [1; 25]);
    }

    #[test]
    fn the_first_and_last_bucket_end_with_the_time_asked_for() {
        let all = buckets(at("2026-05-05T10:30:00Z"), at("2026-05-07T01:15:00Z"), UsageBucket::Day, "Asia/Kolkata").expect("buckets");
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].begin, all[0].from), (at("2026-05-04T18:30:00Z"), at("2026-05-05T10:30:00Z")));
        assert_eq!((all[2].begin, all[2].until), (at("2026-05-06T18:30:00Z"), at("2026-05-07T01:15:00Z")));
        let hours = buckets(at("2026-05-05T10:40:00Z"), at("2026-05-05T11:00:00Z"), UsageBucket::Hour, "Asia/Kolkata").expect("buckets");
        assert_eq!((hours.len(), hours[0].begin), (1, at("2026-05-05T10:30:00Z")));
    }

    #[test]
    fn what_cannot_be_answered_is_refused_by_its_field() {
        let refused = |start, end, bucket, zone| buckets(at(start), at(end), bucket, zone).expect_err("refused").fields()[0].field.clone();
        let (day, later) = ("2026-05-05T00:00:00Z", "2027-05-05T00:00:00Z");
        assert_eq!(refused(later, day, UsageBucket::None, "UTC"), "start_time");
        assert_eq!(refused(day, later, UsageBucket::Hour, "UTC"), "bucket");
        assert_eq!(refused(day, later, UsageBucket::Day, "Mars/Olympus"), "time_zone");
    }
}
