//! The model's answers: the pieces that stream in, and the whole blocks that replace them.

use std::collections::HashMap;

use serde_json::Value;

use super::lines::{Seen, int, text};
use crate::domain::{AgentEvent, MeteredMessage, Usage};

/// More subagents than this at once are not told apart any more: memory stays bounded whatever comes.
const MAX_STREAMS: usize = 1024;

/// The answer that each agent (the main one, and each subagent by its tool call) is writing.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_parent: HashMap<String, Stream>,
}

#[derive(Debug, Default)]
struct Stream {
    message_id: String,
    model: String,
    usage: Usage,
    /// The block whose pieces came last and whose whole has not come yet.
    open: Option<usize>,
    /// The index of the next block that comes without pieces.
    next: usize,
    /// A block of an answer that broke off: its pieces were shown, and the next whole block replaces it.
    orphan: Option<String>,
}

impl Streams {
    /// A raw event of the API; none: one we do not know.
    pub(super) fn event(&mut self, event: &Value, parent: &str, seen: &mut Seen) -> Option<Vec<AgentEvent>> {
        let index = usize::try_from(int(&event["index"])).unwrap_or(usize::MAX);
        match text(&event["type"]) {
            "message_start" => Some(self.answer(&event["message"], parent, seen).into_iter().collect()),
            "content_block_start" => {
                let stream = self.stream(parent);
                (stream.open, stream.next) = (Some(index), index);
                Some(Vec::new())
            }
            "content_block_delta" => Some(self.delta(index, &event["delta"], parent).into_iter().collect()),
            "content_block_stop" => {
                let stream = self.stream(parent);
                (stream.open, stream.next) = (None, index.saturating_add(1));
                Some(Vec::new())
            }
            "message_delta" => {
                let stream = self.stream(parent);
                stream.usage = merged(stream.usage, &event["usage"]);
                Some(self.metered(parent, seen).into_iter().collect())
            }
            "message_stop" | "ping" => Some(Vec::new()),
            _ => None,
        }
    }

    /// An answer of the model begins, or one more of its blocks came.
    pub(super) fn answer(&mut self, message: &Value, parent: &str, seen: &mut Seen) -> Option<AgentEvent> {
        seen.retry_status = None;
        seen.error_kind.clear();
        let stream = self.stream(parent);
        let id = text(&message["id"]);
        if stream.message_id != id {
            let orphan = stream.open.map(|index| block_id(&stream.message_id, index)).or(stream.orphan.take());
            *stream = Stream { message_id: id.to_owned(), orphan, ..Stream::default() };
        }
        text(&message["model"]).clone_into(&mut stream.model);
        let told = merged(stream.usage, &message["usage"]);
        // Each block repeats the figures of the beginning, which must not undo those of the end.
        let output_tokens = stream.usage.output_tokens.max(told.output_tokens);
        let usage = Usage { output_tokens, ..told };
        if usage == stream.usage {
            return None;
        }
        stream.usage = usage;
        self.metered(parent, seen)
    }

    /// The id that this whole block shares with its pieces.
    pub(super) fn block_id(&mut self, message_id: &str, parent: &str, kind: &str) -> String {
        let stream = self.stream(parent);
        if stream.message_id != message_id {
            // An answer that the CLI made up: not the model's, so it has no stream.
            return block_id(message_id, 0);
        }
        let index = stream.open.take().unwrap_or(stream.next);
        stream.next = index.saturating_add(1);
        match stream.orphan.take_if(|_| matches!(kind, "text" | "thinking")) {
            Some(orphan) => orphan,
            None => block_id(message_id, index),
        }
    }

    /// Pieces of the agent itself only: one block is shown at a time, and subagents write side by side.
    fn delta(&mut self, index: usize, delta: &Value, parent: &str) -> Option<AgentEvent> {
        let (thinking, piece) = match text(&delta["type"]) {
            "text_delta" => (false, text(&delta["text"])),
            "thinking_delta" => (true, text(&delta["thinking"])),
            _ => return None,
        };
        let block_id = block_id(&self.stream(parent).message_id, index);
        (parent.is_empty() && !piece.is_empty()).then(|| AgentEvent::Delta { block_id, thinking, text: piece.to_owned() })
    }

    fn metered(&mut self, parent: &str, seen: &mut Seen) -> Option<AgentEvent> {
        let Stream { message_id, model, usage, .. } = self.stream(parent);
        if parent.is_empty() {
            seen.context_tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens + usage.output_tokens;
        }
        let metered = MeteredMessage { message_id: message_id.clone(), model: model.clone(), usage: *usage };
        (!metered.message_id.is_empty()).then_some(AgentEvent::Metered(metered))
    }

    fn stream(&mut self, parent: &str) -> &mut Stream {
        if self.by_parent.len() >= MAX_STREAMS && !self.by_parent.contains_key(parent) {
            self.by_parent.retain(|known, _| known.is_empty());
        }
        self.by_parent.entry(parent.to_owned()).or_default()
    }
}

fn block_id(message_id: &str, index: usize) -> String {
    format!("{message_id}:{index}")
}

/// What is told replaces what was known; the end of an answer tells less than its beginning.
fn merged(known: Usage, told: &Value) -> Usage {
    let or = |name: &str, known: i64| if told[name].is_number() { int(&told[name]) } else { known };
    Usage {
        input_tokens: or("input_tokens", known.input_tokens),
        output_tokens: or("output_tokens", known.output_tokens),
        cache_read_tokens: or("cache_read_input_tokens", known.cache_read_tokens),
        cache_write_tokens: or("cache_creation_input_tokens", known.cache_write_tokens),
        thinking_tokens: match &told["output_tokens_details"]["thinking_tokens"] {
            Value::Number(_) => int(&told["output_tokens_details"]["thinking_tokens"]),
            _ => known.thinking_tokens,
        },
        ..known
    }
}
