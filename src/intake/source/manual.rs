//! Bodies of no particular provider: fired by hand, or sent by anyone who may choose their shape.
//!
//! The fields that rules and prompts know are looked for at the top and then under `data`, by their plain names.

use serde_json::Value as Json;

use super::{Look, Reading, first_id, first_text};
use crate::domain::{Actor, ActorKind, Event};

/// Where a thread key may stand.
pub(super) const THREAD: &[&str] = &["thread_key", "data.thread_key"];

pub(super) fn read(payload: &Json) -> Reading {
    let author = ["actor", "author", "user", "data.actor", "data.author", "data.user"].iter().find_map(|path| payload.at(path));
    Reading {
        delivery_id: String::new(),
        hello: false,
        event: Event {
            kind: first_text(payload, &["type", "event", "kind"]),
            action: first_text(payload, &["action", "data.action"]),
            actor: author.map(actor).unwrap_or_default(),
            thread_key: first_id(payload, THREAD),
            title: first_text(payload, &["title", "data.title"]),
            url: first_text(payload, &["url", "data.url"]),
            text: first_text(payload, &["text", "message", "data.text", "data.message"]),
        },
    }
}

/// An author is an object, or only a name.
fn actor(author: &Json) -> Actor {
    let kind = match first_text(author, &["kind", "type"]).to_ascii_lowercase().as_str() {
        "bot" => ActorKind::Bot,
        "user" | "person" => ActorKind::User,
        _ => ActorKind::Unknown,
    };
    let login = author.as_str().map_or_else(|| first_text(author, &["login", "name", "username"]), str::to_owned);
    Actor { id: author.id("id").unwrap_or_default(), login, kind }
}
