//! Settings and the rules that forms need.

use super::{duration, etag, timestamp};
use crate::domain::{NanoUsd, Result, RuleUnit, Settings, UnixMicros, setting_rules};
use crate::proto::v1;
use crate::rpc::{Fields, MAX_TEXT};

/// Fields of the settings that no update writes.
pub const SETTINGS_FIXED: [&str; 3] = ["etag", "update_time", "updated_by"];

/// The settings, every field with its value.
#[must_use]
pub fn settings(settings: &Settings) -> v1::Settings {
    let (sessions, limits, agent, retention) = (&settings.sessions, &settings.limits, &settings.agent, &settings.retention);
    v1::Settings {
        sessions: Some(v1::SessionSettings {
            default_resume_for_new_triggers: Some(sessions.default_resume_for_new_triggers),
            auto_cleanup_days: Some(sessions.auto_cleanup_days),
            cleanup_hour_local: Some(sessions.cleanup_hour_local),
            time_zone: Some(sessions.time_zone.clone()),
            force_compaction_turns: Some(sessions.force_compaction_turns),
        }),
        limits: Some(v1::LimitSettings {
            max_concurrent_runs: Some(limits.max_concurrent_runs),
            max_queued_runs: Some(limits.max_queued_runs),
            max_queued_per_session: Some(limits.max_queued_per_session),
        }),
        agent: Some(v1::AgentSettings {
            default_model: Some(agent.default_model.clone()),
            default_profile: Some(agent.default_profile.clone()),
            max_cost_usd: Some(agent.max_cost.usd()),
            timeout: Some(duration(agent.timeout)),
            silence_timeout: Some(duration(agent.silence_timeout)),
        }),
        retention: Some(v1::RetentionSettings {
            delivery_days: Some(retention.delivery_days),
            delivery_body_days: Some(retention.delivery_body_days),
            journal_days: Some(retention.journal_days),
            run_days: Some(retention.run_days),
        }),
        etag: etag(settings.version),
        update_time: (settings.update_time != UnixMicros(0)).then(|| timestamp(settings.update_time)),
        updated_by: settings.updated_by.clone(),
    }
}

/// The settings that a message says, with the default of what is absent. What the server sets is taken from `present`.
pub fn parse_settings(message: &v1::Settings, present: &Settings) -> Result<Settings> {
    let mut fields = Fields::new();
    let mut settings = Settings {
        version: present.version,
        update_time: present.update_time,
        updated_by: present.updated_by.clone(),
        ..Settings::default()
    };
    take_sessions(&mut settings, message.sessions.clone().unwrap_or_default());
    take_limits(&mut settings, message.limits.unwrap_or_default());
    take_agent(&mut fields, &mut settings, message.agent.clone().unwrap_or_default());
    take_retention(&mut settings, message.retention.unwrap_or_default());
    for problem in settings.problems() {
        fields.wrong(problem.field, problem.problem);
    }
    fields.finish(settings)
}

fn set<T>(target: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *target = given;
    }
}

fn take_sessions(settings: &mut Settings, given: v1::SessionSettings) {
    let sessions = &mut settings.sessions;
    set(&mut sessions.default_resume_for_new_triggers, given.default_resume_for_new_triggers);
    set(&mut sessions.auto_cleanup_days, given.auto_cleanup_days);
    set(&mut sessions.cleanup_hour_local, given.cleanup_hour_local);
    set(&mut sessions.time_zone, given.time_zone);
    set(&mut sessions.force_compaction_turns, given.force_compaction_turns);
}

fn take_limits(settings: &mut Settings, given: v1::LimitSettings) {
    set(&mut settings.limits.max_concurrent_runs, given.max_concurrent_runs);
    set(&mut settings.limits.max_queued_runs, given.max_queued_runs);
    set(&mut settings.limits.max_queued_per_session, given.max_queued_per_session);
}

fn take_agent(fields: &mut Fields, settings: &mut Settings, given: v1::AgentSettings) {
    let agent = &mut settings.agent;
    let timeout = fields.duration("settings.agent.timeout", given.timeout);
    let silence = fields.duration("settings.agent.silence_timeout", given.silence_timeout);
    let usd = given.max_cost_usd;
    fields.check(usd.is_none_or(f64::is_finite), "settings.agent.max_cost_usd", || "is not a number".to_owned());
    if let Some(model) = &given.default_model {
        let good = model.len() <= MAX_TEXT && !model.starts_with('-') && model.bytes().all(|b| b.is_ascii_graphic());
        fields.check(good, "settings.agent.default_model", || "must be one word that does not begin with -".to_owned());
    }
    set(&mut agent.default_model, given.default_model);
    set(&mut agent.default_profile, given.default_profile.filter(|name| !name.is_empty()));
    set(&mut agent.max_cost, usd.map(NanoUsd::from_usd));
    set(&mut agent.timeout, timeout);
    set(&mut agent.silence_timeout, silence);
}

fn take_retention(settings: &mut Settings, given: v1::RetentionSettings) {
    set(&mut settings.retention.delivery_days, given.delivery_days);
    set(&mut settings.retention.delivery_body_days, given.delivery_body_days);
    set(&mut settings.retention.journal_days, given.journal_days);
    set(&mut settings.retention.run_days, given.run_days);
}

/// What each setting may be: the numbers by their rules, the others in words.
#[must_use]
pub fn setting_rule_messages(default_model: &str) -> Vec<v1::SettingRule> {
    let defaults = Settings::default();
    let numbers = setting_rules().map(|(rule, default)| v1::SettingRule {
        path: rule.path.to_owned(),
        min: Some(rule.min),
        max: Some(rule.max),
        default: if rule.unit == RuleUnit::Seconds { format!("{default}s") } else { default.to_string() },
        unit: unit(rule.unit).to_owned(),
        help: rule.help.to_owned(),
    });
    let words = [
        ("sessions.default_resume_for_new_triggers", "false", "Whether a new trigger that does not say continues its conversations."),
        ("sessions.time_zone", defaults.sessions.time_zone.as_str(), "IANA name of the time zone of the daily clean-up's hour."),
        ("agent.default_model", default_model, "Model of triggers that name none; empty: the one of the server's configuration."),
        (
            "agent.default_profile",
            defaults.agent.default_profile.as_str(),
            "Profile of triggers that name none: an entry of the server's configuration.",
        ),
    ];
    let words = words.map(|(path, default, help)| v1::SettingRule {
        path: path.to_owned(),
        default: default.to_owned(),
        help: help.to_owned(),
        ..Default::default()
    });
    numbers.chain(words).collect()
}

const fn unit(unit: RuleUnit) -> &'static str {
    match unit {
        RuleUnit::Days => "days",
        RuleUnit::Hour => "hour",
        RuleUnit::Turns => "turns",
        RuleUnit::Runs => "runs",
        RuleUnit::Seconds => "seconds",
        RuleUnit::Usd => "USD",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rpc::merge;

    fn changed() -> Settings {
        let mut settings = Settings { version: 9, ..Settings::default() };
        settings.sessions.time_zone = "Europe/Berlin".to_owned();
        settings.agent.max_cost = NanoUsd::from_usd(0.25);
        settings.retention.run_days = 7;
        settings
    }

    #[test]
    fn settings_read_back_from_the_wire() {
        assert_eq!(parse_settings(&settings(&changed()), &changed()).expect("valid"), changed());
    }

    #[test]
    fn an_update_writes_what_is_present_and_a_mask_sets_back_to_defaults() {
        let change = v1::Settings {
            sessions: Some(v1::SessionSettings { auto_cleanup_days: Some(30), ..Default::default() }),
            ..Default::default()
        };
        let merged = merge("Settings", &SETTINGS_FIXED, &settings(&changed()), &change, None).expect("merged");
        let updated = parse_settings(&merged, &changed()).expect("valid");
        assert_eq!((updated.sessions.auto_cleanup_days, updated.sessions.time_zone.as_str()), (30, "Europe/Berlin"));
        let mask = prost_types::FieldMask { paths: vec!["sessions.time_zone".to_owned(), "retention".to_owned()] };
        let merged = merge("Settings", &SETTINGS_FIXED, &settings(&changed()), &v1::Settings::default(), Some(&mask)).expect("merged");
        let cleared = parse_settings(&merged, &changed()).expect("valid");
        assert_eq!((cleared.sessions.time_zone.as_str(), cleared.retention.run_days, cleared.agent.max_cost.usd()), ("UTC", 400, 0.25));
    }

    #[test]
    fn a_value_out_of_range_is_named_by_its_path() {
        let given = v1::Settings {
            agent: Some(v1::AgentSettings { max_cost_usd: Some(-1.0), ..Default::default() }),
            limits: Some(v1::LimitSettings { max_concurrent_runs: Some(0), ..Default::default() }),
            ..Default::default()
        };
        let error = parse_settings(&given, &Settings::default()).expect_err("wrong");
        let mut named: Vec<String> = error.fields().into_iter().map(|f| f.field).collect();
        named.sort();
        assert_eq!(named, ["settings.agent.max_cost_usd", "settings.limits.max_concurrent_runs"]);
    }

    #[test]
    fn every_setting_has_a_rule() {
        let rules = setting_rule_messages("m");
        assert_eq!(rules.len(), 17);
        let timeout = rules.iter().find(|rule| rule.path == "agent.timeout").expect("there");
        assert_eq!((timeout.default.as_str(), timeout.unit.as_str(), timeout.max), ("3600s", "seconds", Some(604_800.0)));
    }
}
