//! ClickUp: tasks and their comments.

use serde_json::Value as Json;

use super::{Look, Raw, Reading, Refusal, first_id, first_text, signature};
use crate::domain::{Actor, ActorKind, Event, HmacAlgorithm, HmacEncoding};

const SIGNATURE: &str = "x-signature";
/// What an event of the public API belongs to.
pub(super) const THREAD: &[&str] = &["task_id", "list_id", "folder_id", "space_id", "goal_id"];

pub(super) fn verify(raw: &Raw<'_>, secrets: &[&[u8]]) -> Result<usize, Refusal> {
    let given = raw.header(SIGNATURE).map(|hex| signature::decode(HmacEncoding::Hex, hex));
    let verdict = signature::matching(HmacAlgorithm::Sha256, secrets, &[raw.body], given.as_slice());
    if given.is_none() { Err(signature::missing(SIGNATURE)) } else { verdict }
}

pub(super) fn read(payload: &Json) -> Reading {
    if payload.get("version").is_some_and(Json::is_object) { automation(payload) } else { webhook(payload) }
}

/// Webhooks of the public API.
fn webhook(payload: &Json) -> Reading {
    let kind = payload.text("event");
    let item = payload.at("history_items.0").unwrap_or(&Json::Null);
    let task = payload.id("task_id");
    Reading {
        // ClickUp sends no delivery id: the history item that caused the event is the same in every attempt.
        delivery_id: match (payload.id("webhook_id"), item.id("id")) {
            (Some(webhook), Some(item)) => format!("{webhook}:{kind}:{item}"),
            _ => String::new(),
        },
        hello: false,
        event: Event {
            action: String::new(),
            actor: Actor { id: item.id("user.id").unwrap_or_default(), login: item.text("user.username"), kind: ActorKind::Unknown },
            thread_key: first_id(payload, THREAD),
            title: first_text(payload, &["task.name", "name"]),
            url: task.map(|task| format!("https://app.clickup.com/t/{task}")).unwrap_or_default(),
            text: comment(item),
            kind,
        },
    }
}

/// What a person wrote in a comment: ClickUp sends it as plain text, or as a list of pieces.
fn comment(item: &Json) -> String {
    let plain = first_text(item, &["comment.text_content", "comment.comment_text"]);
    if !plain.is_empty() {
        return plain.trim_end().to_owned();
    }
    let pieces = item.at("comment.comment").and_then(Json::as_array);
    pieces.map(|pieces| pieces.iter().map(|piece| piece.text("text")).collect()).unwrap_or_default()
}

/// The newer shape, in which one object carries its version and its relations.
fn automation(payload: &Json) -> Reading {
    let relation = |kind: &str| {
        let relations = payload.at("version.data.relationships")?.as_array()?;
        relations.iter().find(|relation| relation.get("type").and_then(Json::as_str) == Some(kind))?.id("object_id")
    };
    let by_program = payload.text("version.data.context.originating_service") == "publicapi";
    let task = (payload.text("version.object_type") == "task").then(|| payload.id("version.object_id")).flatten();
    let parent = relation("comment-parent").or(task).or_else(|| payload.id("task_id"));
    Reading {
        delivery_id: payload.id("hist_id").unwrap_or_default(),
        hello: false,
        event: Event {
            kind: payload.text("version.object_type"),
            action: payload.text("version.operation"),
            actor: Actor {
                id: relation("comment-author").unwrap_or_default(),
                login: String::new(),
                kind: if by_program { ActorKind::Bot } else { ActorKind::Unknown },
            },
            url: parent.as_ref().map(|task| format!("https://app.clickup.com/t/{task}")).unwrap_or_default(),
            thread_key: parent,
            title: payload.text("version.data.name"),
            text: first_text(payload, &["version.data.text_content", "version.data.comment_text"]),
        },
    }
}
