//! What can be changed at run time, with the rule of each value in one table.

use std::time::Duration;

use super::{FieldError, NanoUsd, UnixMicros};

/// What can be changed at run time.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How long conversations live.
    pub sessions: SessionSettings,
    /// How much may run and wait.
    pub limits: LimitSettings,
    /// What runs get when their trigger does not say.
    pub agent: AgentSettings,
    /// How long history is kept.
    pub retention: RetentionSettings,
    /// Counts changes; the etag.
    pub version: i64,
    /// When they last changed.
    pub update_time: UnixMicros,
    /// Who changed them last; empty: nobody yet.
    pub updated_by: String,
}

/// How long conversations live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSettings {
    /// What `resume_sessions` is for a trigger that does not say.
    pub default_resume_for_new_triggers: bool,
    /// After this many days without use a session is stale: never continued, and deleted by the daily clean-up.
    pub auto_cleanup_days: i32,
    /// The local hour of the daily clean-up.
    pub cleanup_hour_local: i32,
    /// Whose local hour, as an IANA name.
    pub time_zone: String,
    /// A conversation is compacted before it grows past this many turns.
    pub force_compaction_turns: i32,
}

/// How much may run and wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSettings {
    /// Runs at once, over all triggers.
    pub max_concurrent_runs: i32,
    /// Runs that wait, over all triggers.
    pub max_queued_runs: i32,
    /// Runs that wait in one session.
    pub max_queued_per_session: i32,
}

/// What runs get when their trigger does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSettings {
    /// Full model name; empty: the config's.
    pub default_model: String,
    /// An entry of the server's profiles.
    pub default_profile: String,
    /// Dollars per run; 0: no limit.
    pub max_cost: NanoUsd,
    /// Wall time per run.
    pub timeout: Duration,
    /// Time without output.
    pub silence_timeout: Duration,
}

/// How long history is kept, in days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Deliveries.
    pub delivery_days: i32,
    /// Their headers and bodies.
    pub delivery_body_days: i32,
    /// Journals.
    pub journal_days: i32,
    /// Runs.
    pub run_days: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sessions: SessionSettings {
                default_resume_for_new_triggers: false,
                auto_cleanup_days: 7,
                cleanup_hour_local: 3,
                time_zone: "UTC".to_owned(),
                force_compaction_turns: 50,
            },
            limits: LimitSettings { max_concurrent_runs: 4, max_queued_runs: 1_000_000, max_queued_per_session: 10_000 },
            agent: AgentSettings {
                default_model: String::new(),
                default_profile: "untrusted".to_owned(),
                max_cost: NanoUsd::from_usd(5.0),
                timeout: Duration::from_secs(3600),
                silence_timeout: Duration::from_secs(600),
            },
            retention: RetentionSettings { delivery_days: 30, delivery_body_days: 30, journal_days: 30, run_days: 400 },
            version: 1,
            update_time: UnixMicros(0),
            updated_by: String::new(),
        }
    }
}

/// What a setting's number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleUnit {
    /// Days.
    Days,
    /// An hour of the day.
    Hour,
    /// Agent turns of a conversation.
    Turns,
    /// Runs.
    Runs,
    /// Seconds.
    Seconds,
    /// US dollars.
    Usd,
}

/// The rule of one numeric setting.
#[derive(Debug, Clone, Copy)]
pub struct SettingRule {
    /// Path within `Settings`.
    pub path: &'static str,
    /// Smallest allowed.
    pub min: f64,
    /// Largest allowed.
    pub max: f64,
    /// What it counts.
    pub unit: RuleUnit,
    /// One sentence for a form.
    pub help: &'static str,
    read: fn(&Settings) -> f64,
}

impl SettingRule {
    /// This setting's value in `settings`.
    #[must_use]
    pub fn value(&self, settings: &Settings) -> f64 {
        (self.read)(settings)
    }
}

macro_rules! rule {
    ($path:literal, $min:expr, $max:expr, $unit:ident, $help:literal, $read:expr) => {
        SettingRule { path: $path, min: $min as f64, max: $max as f64, unit: RuleUnit::$unit, help: $help, read: $read }
    };
}

/// Every numeric setting's rule: what validation checks and what forms show.
pub const SETTING_RULES: &[SettingRule] = &[
    rule!(
        "sessions.auto_cleanup_days",
        1,
        365,
        Days,
        "A session unused for this long is not continued, and is deleted by the daily clean-up.",
        |s| f64::from(s.sessions.auto_cleanup_days)
    ),
    rule!("sessions.cleanup_hour_local", 0, 23, Hour, "The local hour of the daily clean-up.", |s| f64::from(
        s.sessions.cleanup_hour_local
    )),
    rule!("sessions.force_compaction_turns", 1, 500, Turns, "A conversation is compacted before it grows past this many turns.", |s| {
        f64::from(s.sessions.force_compaction_turns)
    }),
    rule!("limits.max_concurrent_runs", 1, 10_000, Runs, "Runs at once, over all triggers.", |s| f64::from(s.limits.max_concurrent_runs)),
    rule!("limits.max_queued_runs", 1, 10_000_000, Runs, "Runs that wait, over all triggers; past it webhooks are answered 503.", |s| {
        f64::from(s.limits.max_queued_runs)
    }),
    rule!("limits.max_queued_per_session", 1, 1_000_000, Runs, "Runs that wait in one session.", |s| f64::from(
        s.limits.max_queued_per_session
    )),
    rule!("agent.max_cost_usd", 0, 10_000, Usd, "Dollars per run; 0 is no limit.", |s| s.agent.max_cost.usd()),
    rule!("agent.timeout", 1, 604_800, Seconds, "Wall time per run.", |s| s.agent.timeout.as_secs_f64()),
    rule!("agent.silence_timeout", 1, 604_800, Seconds, "Time without output after which a run is ended.", |s| s
        .agent
        .silence_timeout
        .as_secs_f64()),
    rule!("retention.delivery_days", 1, 3650, Days, "How long deliveries are kept.", |s| f64::from(s.retention.delivery_days)),
    rule!("retention.delivery_body_days", 1, 3650, Days, "How long their headers and bodies are kept.", |s| f64::from(
        s.retention.delivery_body_days
    )),
    rule!("retention.journal_days", 1, 3650, Days, "How long journals are kept.", |s| f64::from(s.retention.journal_days)),
    rule!("retention.run_days", 1, 3650, Days, "How long runs are kept.", |s| f64::from(s.retention.run_days)),
];

/// The rules with the default of each setting.
pub fn setting_rules() -> impl Iterator<Item = (&'static SettingRule, f64)> {
    let defaults = Settings::default();
    SETTING_RULES.iter().map(move |rule| (rule, rule.value(&defaults)))
}

impl Settings {
    /// Every value out of its range, named with the range.
    #[must_use]
    pub fn problems(&self) -> Vec<FieldError> {
        let mut problems: Vec<FieldError> = SETTING_RULES
            .iter()
            .filter(|rule| !(rule.min..=rule.max).contains(&rule.value(self)))
            .map(|rule| {
                FieldError::new(
                    format!("settings.{}", rule.path),
                    format!("is {}; allowed is {} to {}", rule.value(self), rule.min, rule.max),
                )
            })
            .collect();
        if jiff::tz::TimeZone::get(&self.sessions.time_zone).is_err() {
            problems.push(FieldError::new(
                "settings.sessions.time_zone",
                format!("`{}` is not an IANA time zone such as `Europe/Berlin`", self.sessions.time_zone),
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert_eq!(Settings::default().problems(), vec![]);
    }

    #[test]
    fn a_value_out_of_range_names_the_field_and_the_range() {
        let mut settings = Settings::default();
        settings.sessions.cleanup_hour_local = 24;
        settings.sessions.time_zone = "Mars/Olympus".to_owned();
        let texts: Vec<String> = settings.problems().into_iter().map(|p| format!("`{}` {}", p.field, p.problem)).collect();
        assert_eq!(texts[0], "`settings.sessions.cleanup_hour_local` is 24; allowed is 0 to 23");
        assert!(texts[1].contains("Mars/Olympus"));
    }
}
