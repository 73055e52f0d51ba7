//! Figures and names as people read them.

use std::time::Duration;

use jiff::Timestamp;

use crate::proto::v1::{CostBasis, Usage};

/// US dollars: two decimals from ten cents up, four below.
pub(crate) fn money(usd: f64) -> String {
    if usd == 0.0 {
        return "$0".into();
    }
    let (sign, usd) = (if usd < 0.0 { "-" } else { "" }, usd.abs());
    let text = if usd >= 0.09995 { format!("{usd:.2}") } else { format!("{usd:.4}") };
    match text.split_once('.') {
        Some((whole, rest)) => format!("{sign}${}.{rest}", grouped(whole)),
        None => format!("{sign}${text}"),
    }
}

/// The cost of a usage, with a mark when it is an estimate.
pub(crate) fn cost(usage: Option<&Usage>) -> String {
    let Some(usage) = usage else { return "–".into() };
    match usage.cost_basis() {
        CostBasis::Unspecified if usage.cost_usd == 0.0 => "–".into(),
        CostBasis::Metered => format!("~{}", money(usage.cost_usd)),
        CostBasis::Unknown => format!("≥{}", money(usage.cost_usd)),
        _ => money(usage.cost_usd),
    }
}

/// A whole number with a comma between groups of three digits.
pub(crate) fn count(number: i64) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(&number.unsigned_abs().to_string()))
}

fn grouped(digits: &str) -> String {
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 turn`, `2 turns`.
pub(crate) fn plural(number: i64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A share between 0 and 1.
pub(crate) fn share(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0))
}

/// A span of time: one unit takes a space, two take none.
pub(crate) fn span(span: Duration) -> String {
    let tenths = span.as_secs_f64();
    let whole = tenths.round() as u64;
    match whole {
        _ if span.as_millis() < 100 => format!("{} ms", span.as_millis()),
        _ if tenths < 9.95 => format!("{tenths:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => pair(whole / 60, "m", "min", whole % 60, "s"),
        3600..86_400 => pair(whole / 3600, "h", "h", whole % 3600 / 60, "m"),
        _ => pair(whole / 86_400, "d", "d", whole % 86_400 / 3600, "h"),
    }
}

/// The same without a fraction, for what counts up while it is looked at.
pub(crate) fn whole_span(time: Duration) -> String {
    let seconds = time.as_secs().max(1);
    if seconds < 10 { format!("{seconds} s") } else { span(Duration::from_secs(seconds)) }
}

fn pair(major: u64, short: &str, alone: &str, minor: u64, unit: &str) -> String {
    if minor == 0 { format!("{major} {alone}") } else { format!("{major}{short} {minor}{unit}") }
}

/// How long ago, in its largest unit.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    match seconds {
        ..1 => "now".into(),
        1..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A time of the wire.
pub(crate) fn time(stamp: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    stamp.and_then(|stamp| Timestamp::new(stamp.seconds, stamp.nanos).ok())
}

/// A span of the wire; a negative one counts as none.
pub(crate) fn wire_span(span: &prost_types::Duration) -> Duration {
    Duration::new(u64::try_from(span.seconds).unwrap_or(0), u32::try_from(span.nanos).unwrap_or(0))
}

/// A span for the wire.
pub(crate) fn to_wire(span: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos: span.subsec_nanos().cast_signed() }
}

/// The time between two moments, none when it is negative.
pub(crate) fn between(from: Option<&prost_types::Timestamp>, to: Option<&prost_types::Timestamp>) -> Option<Duration> {
    time(to)?.duration_since(time(from)?).try_into().ok()
}

/// A size in bytes.
pub(crate) fn size(bytes: i64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// Reads a span such as `90`, `1.5s`, `10m`, `1h30m`, `7d`.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a span of time such as 30s, 10m, 1h30m or 7d");
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut rest = compact.as_str();
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = &after[unit..];
    }
    if compact.is_empty() { Err(wrong()) } else { Duration::try_from_secs_f64(total).map_err(|_| wrong()) }
}

/// Reads a moment: a time such as `2026-01-31T12:00:00Z`, or how long ago, such as `2h`.
pub(crate) fn parse_moment(text: &str) -> Result<prost_types::Timestamp, String> {
    let moment = match text.parse::<Timestamp>() {
        Ok(moment) => moment,
        Err(_) => {
            let back =
                parse_span(text).map_err(|_| format!("`{text}` is neither a time such as 2026-01-31T12:00:00Z nor a span such as 2h"))?;
            Timestamp::now() - back
        }
    };
    Ok(prost_types::Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() })
}

/// A value of an enum for people: `RUN_STATE_SUCCEEDED` with prefix `RUN_STATE_` is `succeeded`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    match name.strip_prefix(prefix).unwrap_or(name) {
        "UNSPECIFIED" => "–".into(),
        word => word.to_lowercase().replace('_', " "),
    }
}

/// The value of an enum that `text` names, as `succeeded` or `RUN_STATE_SUCCEEDED`; the error lists what may stand there.
pub(crate) fn choice<E: TryFrom<i32> + Copy>(text: &str, prefix: &str, name: impl Fn(&E) -> &'static str) -> Result<E, String> {
    let wanted = text.to_uppercase().replace(['-', ' '], "_");
    let wanted = wanted.strip_prefix(prefix).unwrap_or(&wanted);
    let all = || (1..64).map_while(|number| E::try_from(number).ok());
    let short = |value: &E| name(value).trim_start_matches(prefix);
    all().find(|value| short(value) == wanted).ok_or_else(|| {
        let known: Vec<_> = all().map(|value| short(&value).to_lowercase().replace('_', "-")).collect();
        format!("one of {}", known.join(", "))
    })
}

/// The parts that are there, with a dot between them.
pub(crate) fn dotted(parts: &[&str]) -> String {
    parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// A word and a value, or nothing when there is no value.
pub(crate) fn labelled(label: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{label} {value}") }
}

/// An id as its last four characters, or more when `among` has another one with the same end.
pub(crate) fn short_id(id: &str, among: &[&str]) -> String {
    let Some((_, body)) = id.split_once('_') else { return id.to_owned() };
    let length = (4..=body.len()).find(|length| {
        let end = &id[id.len() - length..];
        !among.iter().any(|other| *other != id && other.ends_with(end))
    });
    format!("…{}", &id[id.len() - length.unwrap_or(body.len()).min(body.len())..])
}

/// `run_…7k2m`: the kind of an id and its last four characters.
pub(crate) fn named_id(id: &str) -> String {
    match id.split_once('_') {
        Some((kind, body)) if body.len() > 4 => format!("{kind}_…{}", &body[body.len() - 4..]),
        _ => id.to_owned(),
    }
}

/// The beginning of the agent's own id of a conversation.
pub(crate) fn conversation(id: &str) -> String {
    // Ids that are ordered by time share their beginning, so theirs is shown by its end.
    match (id.len(), id.as_bytes().get(14)) {
        (36, Some(b'7')) => format!("…{}", &id[32..]),
        (36, _) => format!("{}…", &id[..4]),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_the_decimals_that_matter() {
        for (usd, text) in [
            (0.0, "$0"),
            (0.0904, "$0.0904"),
            (0.00748, "$0.0075"),
            (0.09996, "$0.10"),
            (0.1, "$0.10"),
            (5.0, "$5.00"),
            (1234.5, "$1,234.50"),
        ] {
            assert_eq!(money(usd), text);
        }
        let estimate = Usage { cost_usd: 0.02, cost_basis: CostBasis::Metered.into(), ..Usage::default() };
        assert_eq!(cost(Some(&estimate)), "~$0.0200");
        assert_eq!(cost(Some(&Usage::default())), "–");
    }

    #[test]
    fn spans_read_well_and_never_show_sixty() {
        for (millis, text) in [
            (3, "3 ms"),
            (100, "0.1 s"),
            (8_240, "8.2 s"),
            (9_960, "10 s"),
            (48_000, "48 s"),
            (59_700, "1 min"),
            (72_000, "1m 12s"),
            (840_000, "14 min"),
            (42_840_000, "11h 54m"),
            (259_200_000, "3 d"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn spans_are_read_in_the_usual_spellings() {
        for (text, seconds) in
            [("90", 90.0), ("1.5s", 1.5), ("500ms", 0.5), ("10m", 600.0), ("1h 30m", 5400.0), ("7d", 604_800.0), ("0s", 0.0)]
        {
            assert_eq!(parse_span(text).map(|s| s.as_secs_f64()), Ok(seconds));
        }
        for wrong in ["", "h", "5 parsecs", "-3s", "1..2s"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn short_ids_grow_until_they_are_unique() {
        let (a, b) = ("run_01h455vb4pex5vsknk084s7k2m", "run_01h455vb4pex5vsknk084t7k2m");
        assert_eq!(short_id(a, &[a]), "…7k2m");
        assert_eq!(short_id(a, &[a, b]), "…s7k2m");
        assert_eq!(named_id(a), "run_…7k2m");
    }

    #[test]
    fn values_of_enums_are_read_and_refused_with_the_choices() {
        use crate::proto::v1::RunState;
        let read = |text| choice::<RunState>(text, "RUN_STATE_", RunState::as_str_name);
        assert_eq!(read("failed"), Ok(RunState::Failed));
        assert_eq!(read("RUN_STATE_QUEUED"), Ok(RunState::Queued));
        assert_eq!(read("gone"), Err("one of queued, waiting, running, cancelling, succeeded, failed, cancelled".into()));
        assert_eq!(word("RUN_STATE_SUCCEEDED", "RUN_STATE_"), "succeeded");
    }

    #[test]
    fn sizes_counts_and_shares() {
        assert_eq!((size(900).as_str(), size(1536).as_str()), ("900 B", "1.5 KiB"));
        assert_eq!((count(24_102).as_str(), count(-1_000).as_str(), count(7).as_str()), ("24,102", "-1,000", "7"));
        assert_eq!((share(Some(0.9991)).as_str(), share(None).as_str()), ("99.9 %", "–"));
    }
}
