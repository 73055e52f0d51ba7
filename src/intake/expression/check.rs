//! What of an expression can be judged before there is an event, and how its errors are told.

use std::collections::HashSet;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::{ExecutionError, ParseErrors, Program};

use super::{Invalid, VARIABLES};

const MAX_NODES: usize = 256;
const MAX_LOOP_DEPTH: usize = 2;
/// Evaluation recurses: this many levels fit the stack of any thread.
const MAX_DEPTH: usize = 48;

const ROOTS: &[&str] = &["event", "payload", "headers"];

/// Names of types, as in `type(payload.id) == int`.
const TYPES: &[&str] = &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "timestamp", "type", "uint"];

const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// The first syntax error.
pub(super) fn syntax(errors: &ParseErrors) -> Invalid {
    let Some(first) = errors.errors.first() else {
        return Invalid { problem: "cannot be read".to_owned(), line: None, column: None };
    };
    let place = |n: isize| usize::try_from(n).ok().filter(|n| *n > 0);
    let told = first.msg.trim().trim_start_matches("Syntax error: ");
    Invalid { problem: format!("cannot be read: {told}"), line: place(first.pos.0), column: place(first.pos.1) }
}

/// Checks size, loops and names; gives the variables it uses.
pub(super) fn check(program: &Program) -> Result<HashSet<&str>, Invalid> {
    let mut walk = Walk { program, nodes: 0, depth: 0, bound: Vec::new(), used: HashSet::new() };
    walk.node(program.expression(), 0)?;
    Ok(walk.used)
}

struct Walk<'p> {
    program: &'p Program,
    nodes: usize,
    depth: usize,
    /// Names bound by the loops around.
    bound: Vec<&'p str>,
    used: HashSet<&'p str>,
}

impl<'p> Walk<'p> {
    fn node(&mut self, node: &'p IdedExpr, loops: usize) -> Result<(), Invalid> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.invalid(node.id, format!("is too large; at most {MAX_NODES} parts are allowed")));
        }
        if self.depth == MAX_DEPTH {
            return Err(self.invalid(node.id, format!("nests too deep; at most {MAX_DEPTH} levels are allowed")));
        }
        self.depth += 1;
        let inner = self.inner(node, loops);
        self.depth -= 1;
        inner
    }

    fn inner(&mut self, node: &'p IdedExpr, loops: usize) -> Result<(), Invalid> {
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.name(node.id, name),
            Expr::Select(select) => {
                if let Some(path) = self.of_event(&node.expr).filter(|path| !is_of_event(path)) {
                    return Err(self.invalid(node.id, format!("reads `{path}`, which no event has")));
                }
                self.node(&select.operand, loops)
            }
            Expr::List(list) => list.elements.iter().try_for_each(|item| self.node(item, loops)),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr), loops),
            Expr::Struct(_) => Err(self.invalid(node.id, "builds a message, which is not allowed here".to_owned())),
            Expr::Call(call) => {
                let operator = call.func_name.starts_with(['_', '@', '!', '-']);
                if !operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
                    let known = FUNCTIONS.join(", ");
                    return Err(self.invalid(node.id, format!("calls `{}`, which is not known; known are {known}", call.func_name)));
                }
                call.target.iter().map(|target| &**target).chain(&call.args).try_for_each(|part| self.node(part, loops))
            }
            Expr::Comprehension(inner) => {
                if loops == MAX_LOOP_DEPTH {
                    return Err(self.invalid(node.id, format!("nests loops too deep; at most {MAX_LOOP_DEPTH} levels are allowed")));
                }
                self.node(&inner.iter_range, loops)?;
                self.node(&inner.accu_init, loops)?;
                let before = self.bound.len();
                self.bound.extend([inner.iter_var.as_str(), inner.accu_var.as_str()]);
                self.bound.extend(inner.iter_var2.as_deref());
                [&inner.loop_cond, &inner.loop_step, &inner.result].into_iter().try_for_each(|part| self.node(part, loops + 1))?;
                self.bound.truncate(before);
                Ok(())
            }
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'p EntryExpr>, loops: usize) -> Result<(), Invalid> {
        for entry in entries {
            match entry {
                EntryExpr::MapEntry(entry) => {
                    self.node(&entry.key, loops)?;
                    self.node(&entry.value, loops)?;
                }
                EntryExpr::StructField(field) => self.node(&field.value, loops)?,
            }
        }
        Ok(())
    }

    /// What is read of the event, such as `event.actor.login`. Its members are the same whatever was sent.
    fn of_event(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Ident(name) => (name == "event" && !self.bound.contains(&name.as_str())).then(|| name.clone()),
            Expr::Select(select) => Some(format!("{}.{}", self.of_event(&select.operand.expr)?, select.field)),
            _ => None,
        }
    }

    fn name(&mut self, id: u64, name: &'p str) -> Result<(), Invalid> {
        if self.bound.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        if !ROOTS.contains(&name) {
            return Err(self.invalid(id, format!("names `{name}`, which is not known; known are {}", ROOTS.join(", "))));
        }
        self.used.insert(name);
        Ok(())
    }

    fn invalid(&self, id: u64, problem: String) -> Invalid {
        let place = self.program.source_info().offset_for(id).map(|(start, _)| place(&self.program.source_info().source, start as usize));
        Invalid { problem, line: place.map(|(line, _)| line), column: place.map(|(_, column)| column) }
    }
}

/// Whether the event has this, as a value or as what holds values.
fn is_of_event(path: &str) -> bool {
    VARIABLES.iter().any(|(name, ..)| name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// Line and column, both from 1, of the character at `offset`.
fn place(source: &str, offset: usize) -> (usize, usize) {
    source.chars().take(offset).fold((1, 1), |(line, column), c| if c == '\n' { (line + 1, 1) } else { (line, column + 1) })
}

/// An error of an evaluation in words. Values of the payload are left out: they may be large, or secret.
pub(super) fn told(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("reads `{}`, which this event does not have; ask with `has(…)` first", short(key)),
        ExecutionError::NoSuchOverload(overload) => {
            format!("cannot use {} with {}", overload.function(), overload.argument_types().join(" and "))
        }
        ExecutionError::UndeclaredReference(name) => format!("names `{}`, which is not known", short(name)),
        ExecutionError::IndexOutOfBounds(_) => "reads past the end of a list".to_owned(),
        ExecutionError::UnexpectedType { got, want } => format!("has {} where {} is needed", short(got), short(want)),
        ExecutionError::FunctionError { function, message } => format!("failed in `{function}`: {}", short(message)),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "divides by zero".to_owned(),
        ExecutionError::Overflow(..) => "gives a number that is too large".to_owned(),
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => format!("cannot use {operator} with these types"),
        ExecutionError::ValuesNotComparable(..) => "compares values of types that have no order".to_owned(),
        ExecutionError::UnsupportedIndex(..) | ExecutionError::UnsupportedKeyType(_) => {
            "uses a value as an index that cannot be one".to_owned()
        }
        _ => "failed on this event".to_owned(),
    }
}

fn short(text: &str) -> String {
    text.chars().take(120).collect()
}
