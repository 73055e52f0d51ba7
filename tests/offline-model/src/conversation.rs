//! A request of the Messages API, read as a conversation: what came before, and what is asked now.

use serde_json::Value;

/// How the CLI's summary begins after a compaction. It stands in a user message, often in the
/// same one as the new prompt, and is history all the same.
const SUMMARY_START: &str = "This session is being continued from a previous conversation";

/// One content block, reduced to what the answers depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Block {
    /// Plain text.
    Text(String),
    /// The model asked for a tool.
    ToolUse(String),
    /// What the tool gave.
    ToolResult {
        /// Its text.
        text: String,
        /// Whether the tool failed.
        is_error: bool,
    },
}

/// One message of the request.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// `user`, `assistant` or `system`.
    pub(crate) role: String,
    /// Its blocks, in order.
    pub(crate) blocks: Vec<Block>,
}

/// The request as the reviewer sees it.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Every message, in order.
    pub(crate) messages: Vec<Message>,
    /// Where the present turn begins in `messages`.
    turn: usize,
    /// Texts of the turn's first messages that are older than the turn (a summary).
    carried: Vec<String>,
    /// What the user asks now.
    pub(crate) prompt: String,
}

impl Conversation {
    /// Reads a request body.
    pub(crate) fn of(body: &Value) -> Self {
        let messages: Vec<Message> = array(body, "messages").iter().map(message_of).collect();
        let turn = turn_start(&messages);
        let opening = &messages[turn..opening_end(&messages, turn)];
        let carried = opening.iter().flat_map(texts_of).filter(|t| is_summary(t)).map(str::to_owned).collect();
        let asked: Vec<String> = opening.iter().flat_map(asked_in).collect();
        let prompt = asked.join("\n").trim().to_owned();
        Self { messages, turn, carried, prompt }
    }

    /// The turn's tool results so far, in order.
    pub(crate) fn tool_results(&self) -> Vec<(&str, bool)> {
        let after = opening_end(&self.messages, self.turn);
        let blocks = self.messages[after..].iter().flat_map(|m| &m.blocks);
        blocks
            .filter_map(|b| match b {
                Block::ToolResult { text, is_error } => Some((text.as_str(), *is_error)),
                Block::Text(_) | Block::ToolUse(_) => None,
            })
            .collect()
    }

    /// What the model said in earlier turns, and what a summary kept of it. Newest last.
    pub(crate) fn remembered(&self) -> impl DoubleEndedIterator<Item = &str> {
        let earlier = self.messages[..self.turn].iter();
        let said = earlier.flat_map(|m| texts_of(m).filter(|t| m.role == "assistant" || is_summary(t)));
        said.chain(self.carried.iter().map(String::as_str))
    }

    /// Whether `literal` stands anywhere before the present turn.
    pub(crate) fn history_contains(&self, literal: &str) -> bool {
        let blocks = self.messages[..self.turn].iter().flat_map(|m| &m.blocks);
        let texts = blocks.map(|b| match b {
            Block::Text(text) | Block::ToolUse(text) | Block::ToolResult { text, .. } => text.as_str(),
        });
        texts.chain(self.carried.iter().map(String::as_str)).any(|t| t.contains(literal))
    }

    /// Number of user turns before this one.
    pub(crate) fn turns_before(&self) -> usize {
        self.messages[..self.turn].iter().filter(|m| !asked_in(m).is_empty()).count()
    }

    /// All texts of all messages, each under its role.
    pub(crate) fn full_text(&self) -> String {
        let mut out = String::new();
        for message in &self.messages {
            for block in &message.blocks {
                let (Block::Text(text) | Block::ToolUse(text) | Block::ToolResult { text, .. }) = block;
                out.push_str(&message.role);
                out.push_str(": ");
                out.push_str(text);
                out.push('\n');
            }
        }
        out
    }
}

/// The texts of the request's system prompt, with the system messages that stand in the
/// conversation: the CLI puts the working directory into one of them.
pub(crate) fn system_text(body: &Value) -> String {
    let top = blocks_of(&body["system"]);
    let inner = array(body, "messages").iter().filter(|m| m["role"] != "assistant");
    let all = top.into_iter().chain(inner.flat_map(|m| blocks_of(&m["content"])));
    let texts = all.filter_map(|b| match b {
        Block::Text(text) => Some(text),
        Block::ToolUse(_) | Block::ToolResult { .. } => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// A list field, empty when it is missing.
pub(crate) fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The turn begins with the last messages that hold words of the user, not only tool results.
fn turn_start(messages: &[Message]) -> usize {
    let mut end = messages.len();
    while end > 0 {
        let start = messages[..end].iter().rposition(|m| m.role == "assistant").map_or(0, |at| at + 1);
        let group = &messages[start..end];
        let results = group.iter().flat_map(|m| &m.blocks).any(|b| matches!(b, Block::ToolResult { .. }));
        if start == 0 || !results || group.iter().any(|m| !asked_in(m).is_empty()) {
            return start;
        }
        // Step over the replies that asked for the tools.
        end = start;
        while end > 0 && messages[end - 1].role == "assistant" {
            end -= 1;
        }
    }
    0
}

/// Where the turn's own first messages end and the model's replies begin.
fn opening_end(messages: &[Message], turn: usize) -> usize {
    messages[turn..].iter().position(|m| m.role == "assistant").map_or(messages.len(), |at| turn + at)
}

fn texts_of(message: &Message) -> impl DoubleEndedIterator<Item = &str> {
    message.blocks.iter().filter_map(|b| match b {
        Block::Text(text) => Some(text.as_str()),
        Block::ToolUse(_) | Block::ToolResult { .. } => None,
    })
}

fn is_summary(text: &str) -> bool {
    text.trim_start().starts_with(SUMMARY_START)
}

/// The user's own words in a message: no summary, no record of a local command, no note of the CLI.
fn asked_in(message: &Message) -> Vec<String> {
    if message.role != "user" {
        return Vec::new();
    }
    let notes = ["<local-command-", "<command-name>", "[Request interrupted by user"];
    let words = texts_of(message).filter(|t| !is_summary(t)).map(|t| without_reminders(t).trim().to_owned());
    words.filter(|t| !t.is_empty() && !notes.iter().any(|n| t.starts_with(n))).collect()
}

fn message_of(raw: &Value) -> Message {
    Message { role: raw["role"].as_str().unwrap_or("user").to_owned(), blocks: blocks_of(&raw["content"]) }
}

fn blocks_of(content: &Value) -> Vec<Block> {
    match content {
        Value::String(text) => vec![Block::Text(text.clone())],
        Value::Array(blocks) => blocks.iter().filter_map(block_of).collect(),
        _ => Vec::new(),
    }
}

fn block_of(raw: &Value) -> Option<Block> {
    match raw["type"].as_str()? {
        "text" => Some(Block::Text(raw["text"].as_str()?.to_owned())),
        "tool_use" => Some(Block::ToolUse(format!("{} {}", raw["name"].as_str().unwrap_or("?"), raw["input"]))),
        "tool_result" => {
            let texts = blocks_of(&raw["content"]).into_iter().filter_map(|b| match b {
                Block::Text(text) => Some(text),
                Block::ToolUse(_) | Block::ToolResult { .. } => None,
            });
            let is_error = raw["is_error"].as_bool().unwrap_or(false);
            Some(Block::ToolResult { text: texts.collect::<Vec<_>>().join("\n"), is_error })
        }
        _ => None,
    }
}

/// Takes the CLI's own notes out of a user text.
fn without_reminders(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<system-reminder>") {
        out.push_str(before);
        rest = after.split_once("</system-reminder>").map_or("", |(_, tail)| tail);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tool_results_stay_in_the_turn_and_the_summary_is_history() {
        let body = json!({"messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "This session is being continued from a previous conversation: HERON [[hang]]"},
                {"type": "text", "text": "<system-reminder>x</system-reminder>\nnow [[say: a]]"}]},
            {"role": "system", "content": "# Environment"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "Read", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "done", "is_error": false}]},
        ]});
        let it = Conversation::of(&body);
        assert_eq!(it.prompt, "now [[say: a]]");
        assert_eq!(it.tool_results(), vec![("done", false)]);
        assert!(it.history_contains("HERON"));
        assert_eq!(it.remembered().count(), 1);
    }

    #[test]
    fn an_answered_turn_is_over() {
        let body = json!({"messages": [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "WREN"},
            {"role": "user", "content": "two"},
        ]});
        let it = Conversation::of(&body);
        assert_eq!((it.prompt.as_str(), it.turns_before()), ("two", 1));
        assert_eq!(it.remembered().collect::<Vec<_>>(), vec!["WREN"]);
        assert!(!it.history_contains("two"));
    }
}
