//! What an expression reads: the members of event, payload and headers that it names, and their values in an event.

use cel::common::ast::operators::INDEX;
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use serde_json::Value as Json;

use super::Scope;

/// Members of one expression that are told; more than these say nothing to people.
const MOST: usize = 24;
/// Bytes of a value that are told.
const VALUE_BYTES: usize = 256;

/// The members that this expression names, as it writes them, each once: `payload.issue.number`, `headers["x-a"]`.
pub(super) fn of(node: &IdedExpr) -> Vec<String> {
    let mut found = Vec::new();
    walk(node, &mut Vec::new(), &mut found);
    found.truncate(MOST);
    found
}

fn walk<'e>(node: &'e IdedExpr, bound: &mut Vec<&'e str>, found: &mut Vec<String>) {
    if let Some(name) = member(node, bound) {
        if !found.contains(&name) {
            found.push(name);
        }
        return;
    }
    match &node.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => walk(&select.operand, bound, found),
        Expr::List(list) => list.elements.iter().for_each(|item| walk(item, bound, found)),
        Expr::Map(map) => map.entries.iter().for_each(|one| entry(&one.expr, bound, found)),
        Expr::Struct(message) => message.entries.iter().for_each(|one| entry(&one.expr, bound, found)),
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).for_each(|part| walk(part, bound, found)),
        Expr::Comprehension(inner) => {
            walk(&inner.iter_range, bound, found);
            walk(&inner.accu_init, bound, found);
            let before = bound.len();
            bound.extend([inner.iter_var.as_str(), inner.accu_var.as_str()]);
            bound.extend(inner.iter_var2.as_deref());
            [&inner.loop_cond, &inner.loop_step, &inner.result].into_iter().for_each(|part| walk(part, bound, found));
            bound.truncate(before);
        }
    }
}

fn entry<'e>(entry: &'e EntryExpr, bound: &mut Vec<&'e str>, found: &mut Vec<String>) {
    match entry {
        EntryExpr::MapEntry(entry) => [&entry.key, &entry.value].into_iter().for_each(|part| walk(part, bound, found)),
        EntryExpr::StructField(field) => walk(&field.value, bound, found),
    }
}

/// The name of a member, if this is nothing but one: names and literal places below a variable that no loop binds.
fn member(node: &IdedExpr, bound: &[&str]) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) if matches!(name.as_str(), "event" | "payload" | "headers") && !bound.contains(&name.as_str()) => {
            Some(name.clone())
        }
        Expr::Select(select) => Some(format!("{}.{}", member(&select.operand, bound)?, select.field)),
        Expr::Call(call) if call.func_name == INDEX => {
            let [of, place] = call.args.as_slice() else { return None };
            let place = match &place.expr {
                Expr::Literal(LiteralValue::String(text)) => Json::from(text.inner()).to_string(),
                Expr::Literal(LiteralValue::Int(number)) => number.inner().to_string(),
                _ => return None,
            };
            Some(format!("{}[{place}]", member(of, bound)?))
        }
        _ => None,
    }
}

/// The value of a member in an event, as JSON of a readable length; `absent` when the event does not have it.
pub(crate) fn read(name: &str, scope: Scope<'_>) -> String {
    let steps = steps(name);
    let value = match steps.split_first() {
        Some((Json::String(root), rest)) => match root.as_str() {
            "payload" => below(scope.payload, rest).cloned(),
            "event" => below(&event(scope), rest).cloned(),
            "headers" => below(&headers(scope), rest).cloned(),
            _ => None,
        },
        _ => None,
    };
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    let kept = text.floor_char_boundary(VALUE_BYTES);
    if kept < text.len() { format!("{}… ({} bytes)", &text[..kept], text.len()) } else { text }
}

/// The parts of a member's name: texts for names, numbers for places in lists.
fn steps(name: &str) -> Vec<Json> {
    let mut steps = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let mut values = serde_json::Deserializer::from_str(inner).into_iter::<Json>();
            let Some(Ok(place)) = values.next() else { return Vec::new() };
            rest = inner.get(values.byte_offset()..).and_then(|rest| rest.strip_prefix(']')).unwrap_or_default();
            steps.push(place);
        } else {
            let plain = rest.strip_prefix('.').unwrap_or(rest);
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            steps.push(Json::from(&plain[..end]));
            rest = &plain[end..];
        }
    }
    steps
}

fn below<'j>(json: &'j Json, steps: &[Json]) -> Option<&'j Json> {
    steps.iter().try_fold(json, |value, step| match (value, step) {
        (Json::Object(entries), Json::String(name)) => entries.get(name),
        (Json::Array(items), Json::Number(place)) => items.get(usize::try_from(place.as_u64()?).ok()?),
        _ => None,
    })
}

fn event(Scope { event, .. }: Scope<'_>) -> Json {
    serde_json::json!({
        "kind": event.kind, "action": event.action, "title": event.title, "url": event.url, "text": event.text,
        "thread_key": event.thread_key,
        "actor": { "id": event.actor.id, "login": event.actor.login, "kind": event.actor.kind.as_str() },
    })
}

fn headers(scope: Scope<'_>) -> Json {
    let mut joined = serde_json::Map::new();
    for header in scope.headers {
        let value = String::from_utf8_lossy(&header.value);
        match joined.get_mut(&header.name) {
            Some(Json::String(text)) => {
                text.push_str(", ");
                text.push_str(&value);
            }
            _ => _ = joined.insert(header.name.clone(), Json::from(value.into_owned())),
        }
    }
    Json::Object(joined)
}

#[cfg(test)]
mod tests {
    use super::super::{Expression, Scope};
    use super::*;
    use crate::domain::{Event, Header};

    #[test]
    fn an_expression_tells_what_it_reads_and_nothing_else() {
        for (source, names) in [
            ("event.action == 'created' && payload.issue.number > 3", &["event.action", "payload.issue.number"] as &[_]),
            ("has(payload.pull_request) || 'x' in payload.labels", &["payload.pull_request", "payload.labels"]),
            ("payload.issue.labels.exists(l, l.name == event.text) && event.text != ''", &["payload.issue.labels", "event.text"]),
            (
                "headers['x-github-event'] == 'push' && payload['a.b'][0].c == 1",
                &[r#"headers["x-github-event"]"#, r#"payload["a.b"][0].c"#],
            ),
            ("payload[event.kind] == 1", &["payload", "event.kind"]),
            ("[1].exists(payload, payload == 1)", &[]),
            ("'pr-' + string(payload.n) + string(payload.n)", &["payload.n"]),
        ] {
            let expression = Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error:?}"));
            assert_eq!(&*expression.reads, names, "{source}");
        }
    }

    #[test]
    fn a_member_reads_as_the_event_has_it() {
        let event = Event { action: "created".into(), ..Event::default() };
        let payload = serde_json::json!({ "n": 7, "a.b": [{ "c": "é\"" }], "long": "ü".repeat(400) });
        let headers = [("x", "1"), ("x", "2")].map(|(name, value)| Header { name: name.into(), value: value.into() });
        let value = |name| read(name, Scope { event: &event, payload: &payload, headers: &headers });
        assert_eq!(value("payload.n"), "7");
        assert_eq!(value(r#"payload["a.b"][0].c"#), r#""é\"""#);
        assert_eq!(value("event.action"), r#""created""#);
        assert_eq!((value("event.thread_key"), value("event.actor.kind")), ("null".into(), r#""unknown""#.into()));
        assert_eq!(value(r#"headers["x"]"#), r#""1, 2""#);
        for missing in ["payload.m", "payload.n.x", r#"payload["a.b"][1]"#, "headers.y", "other.x", "payload["] {
            assert_eq!(value(missing), "absent", "{missing}");
        }
        assert!(value("payload.long").len() < 300 && value("payload.long").ends_with("(802 bytes)"));
    }
}
