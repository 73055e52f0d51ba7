//! What CEL rules may be, and what they give.

use std::time::Instant;

use serde_json::json;

use super::*;
use crate::domain::{Actor, ActorKind};

fn event() -> Event {
    Event {
        kind: "issue_comment".into(),
        action: "created".into(),
        actor: Actor { id: "7".into(), login: "maria".into(), kind: ActorKind::User },
        thread_key: Some("acme/shop#412".into()),
        title: "Add retry".into(),
        url: String::new(),
        text: "please fix".into(),
    }
}

fn payload() -> Json {
    json!({
        "id": 9_007_199_254_740_993_i64, "huge": u64::MAX, "half": 0.5, "none": null, "on": true,
        "issue": { "number": 412, "pull_request": {}, "labels": [{ "name": "bug" }, { "name": "p1" }] },
        "same": { "a": 1, "b": [1, { "c": 2 }] }, "a.b": 5
    })
}

fn headers() -> Vec<Header> {
    [("x-github-event", "issue_comment"), ("x-twice", "a"), ("x-twice", "b")]
        .map(|(name, value)| Header { name: name.into(), value: value.into() })
        .to_vec()
}

fn with<T>(source: &str, ask: impl FnOnce(&Expression, Scope<'_>) -> T) -> T {
    let expression = Expression::compile(source).unwrap_or_else(|e| panic!("{source}: {e:?}"));
    ask(&expression, Scope { event: &event(), payload: &payload(), headers: &headers() })
}

#[test]
fn rules_see_event_payload_and_headers() {
    for source in [
        "event.kind == 'issue_comment' && event.action in ['created', 'edited']",
        "event.actor.login == 'maria' && event.actor.kind == 'user' && event.actor.id == '7'",
        "event.text.contains('fix') && event.title.startsWith('Add') && event.text.matches('^please .*')",
        "event.thread_key == 'acme/shop#412' && event.url == ''",
        "has(payload.issue.pull_request) && !has(payload.pull_request)",
        "payload.issue.labels.exists(l, l.name == 'p1') && !payload.issue.labels.all(l, l.name == 'p1')",
        "payload.issue.labels.map(l, l.name) == ['bug', 'p1']",
        "payload.issue.labels.filter(l, l.name == 'bug').size() == 1 && size(payload.issue) == 3",
        "payload.id == 9007199254740993 && payload.id != 9007199254740992 && type(payload.id) == int",
        "payload.huge == 18446744073709551615u && payload.half < 1.0 && payload.on && payload.none == null",
        "payload['a.b'] == 5 && 'issue' in payload && payload.issue['number'] == 412",
        "payload.same == {'a': 1, 'b': [1, {'c': 2}]} && {'a': 1, 'b': [1, {'c': 2}]} == payload.same && payload.same == payload.same",
        "payload.same.exists(k, k == 'a') && [payload.same][0].a == 1 && {'x': payload.same}.x.b[1].c == 2",
        "headers['x-github-event'] == 'issue_comment' && headers['x-twice'] == 'a, b'",
        "(payload.issue.number > 400 ? payload.same : payload.issue).a == 1",
    ] {
        assert_eq!(with(source, |e, scope| e.test(scope)), Ok(true), "{source}");
    }
}

#[test]
fn a_key_is_a_string_or_a_whole_number_or_nothing() {
    for (source, key) in [
        ("payload.id", Some("9007199254740993")),
        ("payload.huge", Some("18446744073709551615")),
        ("'pr-' + string(payload.issue.number)", Some("pr-412")),
        ("has(payload.missing) ? payload.missing : ''", None),
        ("payload.none", None),
        ("event.thread_key", Some("acme/shop#412")),
    ] {
        assert_eq!(with(source, |e, scope| e.key(scope)), Ok(key.map(str::to_owned)), "{source}");
    }
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    for (source, part) in [
        ("payload.missing == 1", "`missing`"),
        ("payload.issue.number", "gives a number, not true or false"),
        ("event.kind + 1 == 'x'", "cannot use"),
        ("payload.issue.labels[5].name == ''", "past the end"),
        ("1 / (payload.issue.number - 412) == 1", "divides by zero"),
        ("payload.same", "gives a map"),
        ("'x'.matches('(')", "failed in `matches`"),
    ] {
        let told = with(source, |e, scope| e.test(scope)).expect_err(source);
        assert!(told.contains(part), "{source}: {told}");
    }
    for source in ["payload.half", "payload.on", "payload.same", "payload.issue.labels"] {
        assert!(with(source, |e, scope| e.key(scope)).is_err(), "{source}");
    }
}

#[test]
fn what_can_be_known_is_refused_when_saved_with_its_place() {
    let deep = "payload.a.all(x, x.all(y, y.all(z, z)))";
    for (source, part, line, column) in [
        ("event.kind ==", "cannot be read", Some(1), None),
        ("event.kind == 'a' &&\n  evnt.kind == 'b'", "`evnt`", Some(2), Some(3)),
        ("event.kin == 'a'", "`event.kin`", Some(1), Some(6)),
        ("has(event.actor.logn)", "`event.actor.logn`", Some(1), Some(4)),
        ("[1].exists(n, event.kind.first == 'a')", "`event.kind.first`", Some(1), Some(25)),
        ("env.HOME == ''", "`env`", Some(1), Some(1)),
        ("payload.a.map(x, y)", "`y`", Some(1), Some(18)),
        ("shell('id')", "`shell`", Some(1), None),
        (deep, "nests loops", Some(1), None),
        ("google.protobuf.Duration{}", "builds a message", Some(1), None),
        ("", "cannot be read", None, None),
    ] {
        let invalid = Expression::compile(source).err().unwrap_or_else(|| panic!("{source} compiled"));
        assert!(invalid.problem.contains(part), "{source}: {invalid:?}");
        if line.is_some() {
            assert_eq!(invalid.line, line, "{source}: {invalid:?}");
        }
        if column.is_some() {
            assert_eq!(invalid.column, column, "{source}: {invalid:?}");
        }
    }
    let long = format!("'{}' == ''", "x".repeat(MAX_SOURCE));
    assert!(Expression::compile(&long).expect_err("too long").problem.contains("4096"));
    let wide = vec!["1"; 300].join("+");
    assert!(Expression::compile(&wide).is_err());
    let two = "payload.a.all(x, x.all(y, y))";
    assert!(Expression::compile(two).is_ok());
}

#[test]
fn hostile_sources_end_soon() {
    let started = Instant::now();
    for source in [
        "(".repeat(4000),
        "!".repeat(4000),
        "[".repeat(4000),
        "a.".repeat(2000),
        "{1:".repeat(1300),
        "-".repeat(4000) + "1",
        "true?".repeat(800),
        "\u{0}\u{1f600}'".repeat(600),
    ] {
        let before = Instant::now();
        assert!(Expression::compile(&source).is_err() || source.starts_with("--"), "{}", source.chars().take(8).collect::<String>());
        assert!(before.elapsed().as_secs() < 5, "{}: {:?}", source.chars().take(8).collect::<String>(), before.elapsed());
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn the_deepest_allowed_expression_fits_an_ordinary_stack() {
    let sources = [
        format!("payload{} == 1", ".a".repeat(45)),
        format!("payload{} == 1", "['a']".repeat(45)),
        "!!".repeat(22) + "payload.on",
        "1+".repeat(45) + "payload.id > 0",
        format!("{}payload.on{}", "payload.on ? (".repeat(22), ") : false".repeat(22)),
    ];
    for source in sources {
        let told = with(&source, |e, scope| e.test(scope));
        assert!(told == Ok(true) || told.as_ref().is_err_and(|e| e.contains("`a`")), "{source}: {told:?}");
    }
    let invalid = Expression::compile(&format!("payload{}", ".a".repeat(60))).expect_err("too deep");
    assert!(invalid.problem.contains("too deep"), "{invalid:?}");
}
