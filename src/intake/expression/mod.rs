//! CEL behind a type of our own: checked when a trigger is saved, compiled once, evaluated over one event.
//!
//! The engine has neither a cost limit nor a time-out, so what is bounded is the expression itself: its length, its
//! size and how deep its loops nest. Everything else is linear in the payload, which has a limit of its own.

mod check;
mod reads;
mod value;

use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, Value};
pub(crate) use reads::read;
use serde_json::Value as Json;

use crate::domain::{Event, Header};

/// Bytes of source that an expression may have.
pub const MAX_SOURCE: usize = 4 * 1024;

/// What an expression and a template may name: name, CEL type, meaning.
pub const VARIABLES: &[(&str, &str, &str)] = &[
    ("event.kind", "string", "The sender's name of the event, such as `issue_comment`."),
    ("event.action", "string", "What happened, such as `created`; empty when the sender names none."),
    ("event.actor.id", "string", "The author's id, as the sender wrote it."),
    ("event.actor.login", "string", "The author's name."),
    ("event.actor.kind", "string", "`user`, `bot` or `unknown`."),
    ("event.text", "string", "What a person wrote: the comment, else the body."),
    ("event.title", "string", "Title of the pull request, issue or task."),
    ("event.url", "string", "Link to it."),
    ("event.thread_key", "string", "The source's own thread key; null when the event has no thread."),
    ("payload", "map", "The whole body, such as `payload.pull_request.draft`."),
    ("headers", "map", "Request headers by lower-case name, such as `headers[\"x-github-event\"]`."),
];

/// Address space of the thread that parses; only what is touched is ever used.
const PARSER_STACK: usize = 256 * 1024 * 1024;

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Why an expression cannot be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// To be read after the field's name.
    pub(crate) problem: String,
    /// From 1, where it is known.
    pub(crate) line: Option<usize>,
    /// From 1, where it is known.
    pub(crate) column: Option<usize>,
}

/// What a rule sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) event: &'a Event,
    pub(crate) payload: &'a Json,
    pub(crate) headers: &'a [Header],
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
    event: bool,
    payload: bool,
    headers: bool,
    /// Names of the members that it may read.
    pub(crate) reads: Arc<[String]>,
}

impl Expression {
    /// Compiles and checks everything that can be known without an event.
    pub(crate) fn compile(source: &str) -> Result<Self, Invalid> {
        if source.len() > MAX_SOURCE {
            return Err(Invalid {
                problem: format!("has {} bytes; at most {MAX_SOURCE} are allowed", source.len()),
                line: None,
                column: None,
            });
        }
        // The parser recurses as deep as a source nests, so it gets a stack that the longest source cannot exhaust.
        let parser = std::thread::Builder::new().stack_size(PARSER_STACK);
        std::thread::scope(|scope| parser.spawn_scoped(scope, || Self::parse(source)).ok().and_then(|parsed| parsed.join().ok()))
            .unwrap_or_else(|| Err(Invalid { problem: "could not be read".to_owned(), line: None, column: None }))
    }

    fn parse(source: &str) -> Result<Self, Invalid> {
        let program = ENV.compile(source).map_err(|errors| check::syntax(&errors))?;
        let names = check::check(&program)?;
        let reads = reads::of(program.expression()).into();
        let [event, payload, headers] = ["event", "payload", "headers"].map(|name| names.contains(name));
        Ok(Self { event, payload, headers, reads, program })
    }

    /// A rule's verdict. Errors say what went wrong, for people.
    pub(crate) fn test(&self, scope: Scope<'_>) -> Result<bool, String> {
        match self.evaluate(scope)? {
            Value::Bool(verdict) => Ok(verdict),
            other => Err(format!("gives {}, not true or false", described(&other))),
        }
    }

    /// A thread key; none when the result is empty or null.
    pub(crate) fn key(&self, scope: Scope<'_>) -> Result<Option<String>, String> {
        match self.evaluate(scope)? {
            Value::String(key) => Ok(Some(key.as_str().to_owned()).filter(|key| !key.is_empty())),
            Value::Int(key) => Ok(Some(key.to_string())),
            Value::UInt(key) => Ok(Some(key.to_string())),
            Value::Null => Ok(None),
            other => Err(format!("gives {}, not a string or a whole number", described(&other))),
        }
    }

    fn evaluate(&self, scope: Scope<'_>) -> Result<Value, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        if self.event {
            context.add_variable_as_val("event", value::event(scope.event));
        }
        if self.payload {
            context.add_variable_as_val("payload", value::json(scope.payload));
        }
        if self.headers {
            context.add_variable_as_val("headers", value::headers(scope.headers));
        }
        self.program.execute(&context).map_err(|error| check::told(&error))
    }
}

/// The names an expression may use, for error metadata.
pub(crate) fn known_names() -> String {
    VARIABLES.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", ")
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "a bool",
        Value::Int(_) | Value::UInt(_) => "a number",
        Value::Float(_) => "a fraction",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Null => "null",
        _ => "another type",
    }
}

#[cfg(test)]
mod tests;
