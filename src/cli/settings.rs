//! `reprise settings …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::json;
use super::plain::plain;
use super::screen::{Screen, Tint};
use super::table::{Column, Table, tinted};
use super::words::{parse_span, span};
use crate::proto::v1::{GetSettingsRequest, SettingRule, Settings, UpdateSettingsRequest};

/// The commands about settings.
#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Show the settings, and what each of them may be
    Get {
        /// Only settings whose path begins with this, for example `sessions`.
        #[arg(default_value = "", hide_default_value = true)]
        path: String,
    },
    /// Change settings: `sessions.auto_cleanup_days=14`; without a value the default comes back
    Set(SetArgs),
}

/// What to change.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// `PATH=VALUE`, or `PATH=` for the default. Spans of time are written as `90s`, `10m`, `1h30m`.
    #[arg(required = true, value_name = "PATH=VALUE")]
    changes: Vec<String>,
    /// Only if the settings still have this version.
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

/// Carries out a command about settings.
pub(crate) async fn run(command: SettingsCommand, api: &Api, screen: &mut Screen) -> Result<Exit, Failure> {
    match command {
        SettingsCommand::Get { path } => {
            let answer = api.settings().get_settings(GetSettingsRequest {}).await?.into_inner();
            if !screen.document(&answer)? {
                table(&answer.settings.unwrap_or_default(), &answer.rules, |rule| rule.path.starts_with(&path), screen)?;
            }
        }
        SettingsCommand::Set(args) => {
            let request = request(&args.changes, &args.etag)?;
            let answer = api.settings().update_settings(request).await?.into_inner();
            if !screen.document(&answer)? {
                let rules = api.settings().get_settings(GetSettingsRequest {}).await?.into_inner().rules;
                let changed: Vec<&str> = args.changes.iter().filter_map(|change| change.split('=').next()).map(str::trim).collect();
                table(&answer.settings.unwrap_or_default(), &rules, |rule| changed.contains(&rule.path.as_str()), screen)?;
            }
        }
    }
    Ok(Exit::Success)
}

fn table(settings: &Settings, rules: &[SettingRule], wanted: impl Fn(&SettingRule) -> bool, screen: &mut Screen) -> Result<(), Failure> {
    let values: Value = serde_json::from_str(&json::text(settings, false)?).map_err(|error| Failure::Other(error.to_string()))?;
    // What a setting does is told where there is room for whole sentences.
    let explained = screen.width() >= 140;
    let mut columns = vec![("SETTING", Column::Whole), ("VALUE", Column::CutEnd), ("MAY BE", Column::CutEnd)];
    columns.extend(explained.then_some(("", Column::CutEnd)));
    let mut table = Table::new(&columns);
    for rule in rules.iter().filter(|rule| wanted(rule)) {
        let (value, default) = (shown(value_at(&values, &rule.path)), shown(Some(&Value::String(rule.default.clone()))));
        let value = if value == default { tinted(value, None) } else { tinted(format!("{value} (default {default})"), Some(Tint::Bold)) };
        let mut row = vec![rule.path.as_str().into(), value, bounds(rule).into()];
        row.extend(explained.then(|| plain(&rule.help).into()));
        table.row(row);
    }
    table.print(screen, "there is no such setting")
}

fn bounds(rule: &SettingRule) -> String {
    let number = |number: f64| {
        if rule.unit == "seconds" || rule.default.ends_with('s') { shown(Some(&json!(format!("{number}s")))) } else { number.to_string() }
    };
    let unit = match rule.unit.as_str() {
        _ if rule.default.ends_with('s') => "",
        "hour" => "o'clock",
        unit => unit,
    };
    let bounds = match (rule.min, rule.max) {
        (Some(min), Some(max)) => format!("{} to {}", number(min), number(max)),
        (Some(min), None) => format!("{} or more", number(min)),
        (None, Some(max)) => format!("{} or less", number(max)),
        (None, None) => return String::new(),
    };
    format!("{bounds} {unit}").trim_end().to_owned()
}

/// The value at a dotted path, in the JSON spelling.
fn value_at<'a>(values: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(values, |value, name| value.get(camel(name)))
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let mut letters = word.chars();
        let capital: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
        text + &capital + letters.as_str()
    })
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "–".into(),
        Some(Value::String(text)) if text.is_empty() => "–".into(),
        // A duration in JSON is a number of seconds with an `s`.
        Some(Value::String(text)) => {
            let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
            match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
                Some(time) if time < Duration::from_secs(10) => format!("{} s", time.as_secs_f64()),
                Some(time) => span(time),
                None => plain(text),
            }
        }
        Some(Value::Number(number)) => number.as_f64().map_or_else(|| number.to_string(), |number| number.to_string()),
        Some(other) => other.to_string(),
    }
}

/// The changes as a request. The mask is sent only when something goes back to its default.
fn request(changes: &[String], etag: &str) -> Result<UpdateSettingsRequest, Failure> {
    let (mut settings, mut paths, mut clears) = (json!({}), Vec::new(), false);
    for change in changes {
        let (path, text) = change.split_once('=').ok_or_else(|| Failure::Usage(format!("`{change}` has no `=`")))?;
        let (path, text) = (path.trim(), text.trim());
        let field = field(path)?;
        paths.push(path.to_owned());
        if text.is_empty() {
            clears = true;
        } else {
            place(&mut settings, path, value(&field, text)?);
        }
    }
    let mut settings: Settings = json::parse(&settings)?;
    etag.clone_into(&mut settings.etag);
    Ok(UpdateSettingsRequest {
        settings: Some(settings),
        update_mask: clears.then_some(prost_types::FieldMask { paths }),
        validate_only: false,
    })
}

/// The field at a dotted path.
fn field(path: &str) -> Result<FieldDescriptor, Failure> {
    let unknown = || Failure::Usage(format!("there is no setting `{path}`; `reprise settings get` lists them"));
    let mut names = path.split('.');
    let first = names.next().ok_or_else(unknown)?;
    let mut field = json::descriptor("Settings")?.get_field_by_name(first).ok_or_else(unknown)?;
    for name in names {
        field = match field.kind() {
            Kind::Message(message) => message.get_field_by_name(name).ok_or_else(unknown)?,
            _ => return Err(unknown()),
        };
    }
    match field.kind() {
        Kind::Message(message) if message.full_name() != "google.protobuf.Duration" => Err(unknown()),
        _ => Ok(field),
    }
}

/// The text as the field's JSON.
fn value(field: &FieldDescriptor, text: &str) -> Result<Value, Failure> {
    let wrong = |what: &str| Failure::Usage(format!("`{}` takes {what}, not `{text}`", field.name()));
    Ok(match field.kind() {
        Kind::Bool => match text {
            "true" | "yes" | "on" => json!(true),
            "false" | "no" | "off" => json!(false),
            _ => return Err(wrong("true or false")),
        },
        Kind::Int32 => json!(text.replace([',', '_'], "").parse::<i32>().map_err(|_| wrong("a whole number"))?),
        Kind::Double => json!(text.trim_start_matches('$').parse::<f64>().map_err(|_| wrong("a number"))?),
        Kind::Message(_) => {
            json!(format!("{}s", parse_span(text).map_err(|_| wrong("a span of time such as 90s or 1h30m"))?.as_secs_f64()))
        }
        _ => json!(text),
    })
}

/// Puts a value at a dotted path of an object.
fn place(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for name in path.split('.') {
        at = &mut at[name];
    }
    *at = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(changes: &[&str]) -> Result<UpdateSettingsRequest, Failure> {
        request(&changes.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), "")
    }

    #[test]
    fn values_are_read_by_the_type_of_their_setting() {
        let read = of(&[
            "sessions.auto_cleanup_days=14",
            "sessions.default_resume_for_new_triggers=yes",
            "agent.timeout=1h30m",
            "agent.max_cost_usd=$2.5",
            "sessions.time_zone=Europe/Berlin",
        ]);
        let settings = read.expect("valid").settings.expect("present");
        let sessions = settings.sessions.expect("present");
        let agent = settings.agent.expect("present");
        assert_eq!(
            (sessions.auto_cleanup_days, sessions.default_resume_for_new_triggers, sessions.time_zone.as_deref()),
            (Some(14), Some(true), Some("Europe/Berlin"))
        );
        assert_eq!((agent.timeout.map(|d| d.seconds), agent.max_cost_usd), (Some(5400), Some(2.5)));
        assert_eq!(sessions.cleanup_hour_local, None, "what is not named stays as it is");
    }

    #[test]
    fn an_empty_value_brings_the_default_back() {
        let request = of(&["limits.max_concurrent_runs=", "sessions.auto_cleanup_days=3"]).expect("valid");
        let paths = request.update_mask.expect("a mask").paths;
        assert_eq!(paths, ["limits.max_concurrent_runs", "sessions.auto_cleanup_days"]);
        assert!(of(&["sessions.auto_cleanup_days=3"]).expect("valid").update_mask.is_none());
    }

    #[test]
    fn what_is_no_setting_is_refused_by_name() {
        for wrong in [
            "sessions=1",
            "sessions.nope=1",
            "sessions.auto_cleanup_days",
            "sessions.auto_cleanup_days=soon",
            "sessions.auto_cleanup_days.x=1",
            "agent.timeout=x",
            "=1",
        ] {
            assert!(matches!(of(&[wrong]), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn settings_are_shown_as_people_write_them() {
        let values = json!({"agent": {"timeout": "3600s"}, "sessions": {"timeZone": "UTC", "autoCleanupDays": 7}});
        assert_eq!(shown(value_at(&values, "agent.timeout")), "1 h");
        assert_eq!(shown(value_at(&values, "sessions.time_zone")), "UTC");
        assert_eq!(shown(value_at(&values, "sessions.auto_cleanup_days")), "7");
        assert_eq!(shown(value_at(&values, "limits.max_queued_runs")), "–");
        assert_eq!(shown(Some(&json!(5.0))), "5");
        assert_eq!((shown(Some(&json!("1s"))).as_str(), shown(Some(&json!("infs"))).as_str()), ("1 s", "infs"));
    }

    #[test]
    fn every_setting_of_the_contract_can_be_set() {
        let mut checked = 0;
        for group in json::descriptor("Settings").expect("in the contract").fields() {
            let Kind::Message(message) = group.kind() else { continue };
            if message.full_name().starts_with("google.") {
                continue;
            }
            for one in message.fields() {
                let text = match one.kind() {
                    Kind::Bool => "true",
                    Kind::Message(_) => "90s",
                    Kind::String => "x",
                    _ => "9",
                };
                assert!(of(&[&format!("{}.{}={text}", group.name(), one.name())]).is_ok(), "{}", one.full_name());
                checked += 1;
            }
        }
        assert!(checked > 10);
    }
}
