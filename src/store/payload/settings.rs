//! Settings as stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{from_json, to_json};
use crate::domain::{AgentSettings, LimitSettings, NanoUsd, Result, RetentionSettings, SessionSettings, Settings};

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Shape {
    sessions: SessionsShape,
    limits: LimitsShape,
    agent: AgentShape,
    retention: RetentionShape,
}

macro_rules! shape {
    ($name:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        /// A value that is absent takes today's default.
        #[derive(Serialize, Deserialize, Default)]
        #[serde(default)]
        struct $name { $($field: Option<$type>),+ }
    };
}

shape!(SessionsShape {
    default_resume_for_new_triggers: bool,
    auto_cleanup_days: i32,
    cleanup_hour_local: i32,
    time_zone: String,
    force_compaction_turns: i32,
});
shape!(LimitsShape { max_concurrent_runs: i32, max_queued_runs: i32, max_queued_per_session: i32 });
shape!(AgentShape { default_model: String, default_profile: String, max_cost_nano: i64, timeout_ms: u64, silence_timeout_ms: u64 });
shape!(RetentionShape { delivery_days: i32, delivery_body_days: i32, journal_days: i32, run_days: i32 });

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Settings from what is stored; `version`, `update_time` and `updated_by` are columns of their own.
pub(crate) fn settings_from(text: &str) -> Result<Settings> {
    let shape: Shape = from_json(text)?;
    let base = Settings::default();
    let Shape { sessions: s, limits: l, agent: a, retention: r } = shape;
    Ok(Settings {
        sessions: SessionSettings {
            default_resume_for_new_triggers: s.default_resume_for_new_triggers.unwrap_or(base.sessions.default_resume_for_new_triggers),
            auto_cleanup_days: s.auto_cleanup_days.unwrap_or(base.sessions.auto_cleanup_days),
            cleanup_hour_local: s.cleanup_hour_local.unwrap_or(base.sessions.cleanup_hour_local),
            time_zone: s.time_zone.unwrap_or(base.sessions.time_zone),
            force_compaction_turns: s.force_compaction_turns.unwrap_or(base.sessions.force_compaction_turns),
        },
        limits: LimitSettings {
            max_concurrent_runs: l.max_concurrent_runs.unwrap_or(base.limits.max_concurrent_runs),
            max_queued_runs: l.max_queued_runs.unwrap_or(base.limits.max_queued_runs),
            max_queued_per_session: l.max_queued_per_session.unwrap_or(base.limits.max_queued_per_session),
        },
        agent: AgentSettings {
            default_model: a.default_model.unwrap_or(base.agent.default_model),
            default_profile: a.default_profile.unwrap_or(base.agent.default_profile),
            max_cost: a.max_cost_nano.map_or(base.agent.max_cost, NanoUsd),
            timeout: a.timeout_ms.map_or(base.agent.timeout, Duration::from_millis),
            silence_timeout: a.silence_timeout_ms.map_or(base.agent.silence_timeout, Duration::from_millis),
        },
        retention: RetentionSettings {
            delivery_days: r.delivery_days.unwrap_or(base.retention.delivery_days),
            delivery_body_days: r.delivery_body_days.unwrap_or(base.retention.delivery_body_days),
            journal_days: r.journal_days.unwrap_or(base.retention.journal_days),
            run_days: r.run_days.unwrap_or(base.retention.run_days),
        },
        ..base
    })
}

/// As stored.
pub(crate) fn settings_to(settings: &Settings) -> String {
    let Settings { sessions: s, limits: l, agent: a, retention: r, .. } = settings;
    to_json(&Shape {
        sessions: SessionsShape {
            default_resume_for_new_triggers: Some(s.default_resume_for_new_triggers),
            auto_cleanup_days: Some(s.auto_cleanup_days),
            cleanup_hour_local: Some(s.cleanup_hour_local),
            time_zone: Some(s.time_zone.clone()),
            force_compaction_turns: Some(s.force_compaction_turns),
        },
        limits: LimitsShape {
            max_concurrent_runs: Some(l.max_concurrent_runs),
            max_queued_runs: Some(l.max_queued_runs),
            max_queued_per_session: Some(l.max_queued_per_session),
        },
        agent: AgentShape {
            default_model: Some(a.default_model.clone()),
            default_profile: Some(a.default_profile.clone()),
            max_cost_nano: Some(a.max_cost.0),
            timeout_ms: Some(millis(a.timeout)),
            silence_timeout_ms: Some(millis(a.silence_timeout)),
        },
        retention: RetentionShape {
            delivery_days: Some(r.delivery_days),
            delivery_body_days: Some(r.delivery_body_days),
            journal_days: Some(r.journal_days),
            run_days: Some(r.run_days),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_read_back_and_absent_ones_take_the_default() {
        let mut settings = Settings::default();
        settings.sessions.auto_cleanup_days = 3;
        settings.agent.timeout = Duration::from_millis(1500);
        assert_eq!(settings_from(&settings_to(&settings)).expect("reads"), settings);
        assert_eq!(settings_from("{\"limits\":{\"max_queued_runs\":5},\"later\":1}").expect("reads").limits.max_queued_runs, 5);
        assert_eq!(settings_from("").expect("reads"), Settings::default());
    }
}
