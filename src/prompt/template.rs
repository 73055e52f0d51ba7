//! Templates: what they may name, how they are tried when saved, how they are rendered.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};

use super::fence::{line, visible};
use super::{PromptEvent, PromptInput};
use crate::domain::{DeliveryId, Error, Event, RunId};

/// What one rendering may do: as many steps, or 64 bytes of text for each. Enough for fifty events in a loop, far from a
/// server that hangs or swells.
const FUEL: u64 = 50_000;

/// What a template may name.
const NAMES: &[&str] = &["event", "events", "payload", "thread_key", "trigger", "run_id", "events_block"];
/// What `event` and each of `events` have.
const EVENT_NAMES: &[&str] = &["kind", "action", "actor", "title", "url", "text", "payload", "delivery_id"];

/// What is wrong with a template, and where.
#[derive(Debug)]
pub(super) struct Fault {
    problem: String,
    line: Option<usize>,
}

impl Fault {
    /// As clients see it; `field` names the template.
    pub(super) fn error(self, field: &str) -> Error {
        let names = NAMES.iter().map(|name| (*name).to_owned());
        let known_names = names.chain(EVENT_NAMES.iter().map(|name| format!("event.{name}"))).collect::<Vec<_>>().join(", ");
        Error::TemplateInvalid { field: field.to_owned(), problem: self.problem, line: self.line, known_names }
    }
}

impl From<minijinja::Error> for Fault {
    fn from(error: minijinja::Error) -> Self {
        let place = error.line().map(|line| format!(" on line {line}")).unwrap_or_default();
        let problem = match (error.kind(), error.detail()) {
            (ErrorKind::UndefinedError, detail) => {
                let what = detail.map_or("uses a value that is not there".to_owned(), |detail| format!("fails: {detail}"));
                format!("{what}{place}; where it may be absent, `| default('')` takes its place")
            }
            (ErrorKind::OutOfFuel, _) => format!("takes too many steps or makes too much text{place}"),
            (kind, None) => format!("has an error{place}: {kind}"),
            (kind, Some(detail)) => format!("has an error{place}: {kind}: {detail}"),
        };
        Self { problem, line: error.line() }
    }
}

/// Compiles, names only what there is, and works on a sample event (of which the payload has whatever is asked for, since
/// only a real one can tell).
pub(super) fn check(template: &str) -> Result<(), Fault> {
    let environment = environment();
    let compiled = environment.template_from_str(template)?;
    for name in compiled.undeclared_variables(true) {
        let mut path = name.split('.');
        let known = match (path.next().unwrap_or_default(), path.next()) {
            ("event", Some(field)) => EVENT_NAMES.contains(&field),
            (root, _) => NAMES.contains(&root) || environment.globals().any(|(global, _)| global == root),
        };
        if !known {
            let line = template.lines().position(|line| line.contains(&name)).map(|at| at + 1);
            return Err(Fault { problem: format!("names `{name}`, which is not there"), line });
        }
    }
    let events = sample_events();
    let input = PromptInput { run_id: RunId::new(), trigger_slug: "sample", thread_key: Some("42"), events: &events };
    match render_with(&environment, template, &input, "sample", &Payload::Anything) {
        // What the payload would really be decides these.
        Err(error) if !TELLING.contains(&error.kind()) => Ok(()),
        done => done.map(drop).map_err(Fault::from),
    }
}

/// Errors that do not depend on what the payload holds.
const TELLING: &[ErrorKind] = &[
    ErrorKind::UndefinedError,
    ErrorKind::UnknownFilter,
    ErrorKind::UnknownTest,
    ErrorKind::UnknownFunction,
    ErrorKind::TemplateNotFound,
    ErrorKind::TooManyArguments,
    ErrorKind::MissingArgument,
    ErrorKind::OutOfFuel,
];

/// The words of a prompt. `placeholder` is what `{{ events_block }}` gives.
pub(super) fn render(template: &str, input: &PromptInput<'_>, placeholder: &str) -> Result<String, Fault> {
    let environment = environment();
    let names = environment.template_from_str(template)?.undeclared_variables(true);
    // A payload of megabytes is read only for those who ask.
    let asks = |name: &String| ["payload", "events", "event.payload"].iter().any(|asked| name.starts_with(asked)) || name == "event";
    let payload = if names.iter().any(asks) { Payload::Read } else { Payload::Unread };
    Ok(render_with(&environment, template, input, placeholder, &payload)?)
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment
}

enum Payload {
    Read,
    Unread,
    Anything,
}

impl Payload {
    fn value(&self, event: &PromptEvent) -> Value {
        match self {
            Self::Read => serde_json::from_str(&event.payload_json).unwrap_or_default(),
            Self::Unread => Value::UNDEFINED,
            Self::Anything => Value::from_object(Anything),
        }
    }
}

fn render_with(
    environment: &Environment<'_>,
    template: &str,
    input: &PromptInput<'_>,
    placeholder: &str,
    payload: &Payload,
) -> Result<String, minijinja::Error> {
    let events: Vec<Value> = input.events.iter().map(|event| event_value(event, payload.value(event))).collect();
    let last = events.last().cloned().unwrap_or_default();
    let context = context! {
        payload => last.get_attr("payload").unwrap_or_default(),
        event => last,
        events => events,
        thread_key => input.thread_key.map(line).unwrap_or_default(),
        trigger => input.trigger_slug,
        run_id => input.run_id.to_string(),
        events_block => placeholder,
    };
    environment.template_from_str(template)?.render(context)
}

fn event_value(one: &PromptEvent, payload: Value) -> Value {
    let event = &one.event;
    context! {
        kind => line(&event.kind),
        action => line(&event.action),
        actor => context! { login => line(&event.actor.login), id => line(&event.actor.id) },
        title => line(&event.title),
        url => line(&event.url),
        text => visible(&event.text),
        payload => payload,
        delivery_id => one.delivery_id.to_string(),
    }
}

/// Two events, as a merged run would have.
fn sample_events() -> [PromptEvent; 2] {
    ["opened", "edited"].map(|action| {
        let event = Event {
            kind: "pull_request".to_owned(),
            action: action.to_owned(),
            title: "Add retry to checkout".to_owned(),
            url: "https://example.com/pull/1".to_owned(),
            text: "Please look at this.".to_owned(),
            thread_key: Some("42".to_owned()),
            ..Event::default()
        };
        PromptEvent { delivery_id: DeliveryId::new(), event, payload_json: "{}".to_owned(), payload_file: None }
    })
}

/// Has every field, and is a list of one of itself.
#[derive(Debug)]
struct Anything;

impl Object for Anything {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, _: &Value) -> Option<Value> {
        Some(Value::from_object(Self))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(vec![Value::from_object(Self)])
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sample")
    }
}
