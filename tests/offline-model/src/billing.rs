//! Prompt caching, billed like the API does it: prefixes up to a `cache_control` mark are kept for
//! a while, and a later request that begins with one reads it instead of paying for it again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::conversation::array;

/// How many prefixes are kept.
const CAPACITY: usize = 4096;
/// How many blocks before a mark the API looks for an older prefix.
const LOOK_BACK: usize = 20;
const SHORT: Duration = Duration::from_secs(5 * 60);
const LONG: Duration = Duration::from_secs(60 * 60);

/// What a request costs in tokens, as the API reports it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Neither read from nor written to the cache.
    pub(crate) input: u64,
    /// Written, to be kept for five minutes.
    pub(crate) write_short: u64,
    /// Written, to be kept for an hour.
    pub(crate) write_long: u64,
    /// Read from the cache.
    pub(crate) read: u64,
    /// Of the answer.
    pub(crate) output: u64,
}

impl Usage {
    /// The `usage` object of an answer.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "input_tokens": self.input,
            "cache_creation_input_tokens": self.write_short + self.write_long,
            "cache_read_input_tokens": self.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.write_short,
                "ephemeral_1h_input_tokens": self.write_long,
            },
            "output_tokens": self.output,
            "service_tier": "standard",
        })
    }
}

/// The prefixes seen of late.
#[derive(Debug, Default)]
pub(crate) struct PrefixCache {
    kept: HashMap<u64, Kept>,
}

#[derive(Debug)]
struct Kept {
    until: Instant,
    life: Duration,
}

/// A block boundary of a request: the hash and the length of everything before it.
struct Edge {
    hash: u64,
    chars: u64,
    mark: Option<Duration>,
}

impl PrefixCache {
    /// Bills the input of a request, and keeps its marked prefixes for the next one.
    pub(crate) fn bill(&mut self, body: &Value, now: Instant) -> Usage {
        let edges = edges_of(body);
        let total = edges.last().map_or(0, |e| tokens(e.chars));
        let marks: Vec<usize> = (0..edges.len()).filter(|&i| edges[i].mark.is_some()).collect();
        self.kept.retain(|_, k| k.until > now);
        let hit =
            marks.iter().rev().find_map(|&m| (m.saturating_sub(LOOK_BACK)..=m).rev().find(|&i| self.kept.contains_key(&edges[i].hash)));
        let mut usage = Usage { read: hit.map_or(0, |i| tokens(edges[i].chars)), ..Usage::default() };
        if let Some(kept) = hit.and_then(|i| self.kept.get_mut(&edges[i].hash)) {
            kept.until = now + kept.life;
        }
        let mut billed = usage.read;
        for &m in &marks {
            let life = edges[m].mark.unwrap_or(SHORT);
            let upto = tokens(edges[m].chars);
            let fresh = upto.saturating_sub(billed);
            if life == LONG {
                usage.write_long += fresh;
            } else {
                usage.write_short += fresh;
            }
            billed = billed.max(upto);
            self.keep(edges[m].hash, life, now);
        }
        // The API never reports less than a few tokens of plain input.
        usage.input = total.saturating_sub(billed).max(3);
        usage
    }

    fn keep(&mut self, hash: u64, life: Duration, now: Instant) {
        if self.kept.len() >= CAPACITY
            && !self.kept.contains_key(&hash)
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, k)| k.until).map(|(h, _)| *h)
        {
            self.kept.remove(&oldest);
        }
        self.kept.insert(hash, Kept { until: now + life, life });
    }
}

/// About how many tokens a text of that many characters has.
pub(crate) fn tokens(chars: u64) -> u64 {
    chars.div_ceil(4)
}

/// The tokens of a whole request.
pub(crate) fn count(body: &Value) -> u64 {
    edges_of(body).last().map_or(0, |e| tokens(e.chars))
}

/// The boundaries in the order in which the API hashes: tools, system, messages.
fn edges_of(body: &Value) -> Vec<Edge> {
    let mut state = DefaultHasher::new();
    body["model"].as_str().unwrap_or("").hash(&mut state);
    let mut chars = 0;
    let mut edges = Vec::new();
    let mut add = |label: &str, block: &Value| {
        let mut bare = block.clone();
        let mark = bare.as_object_mut().and_then(|o| o.remove("cache_control"));
        let text = bare.to_string();
        (label, &text).hash(&mut state);
        chars += text.chars().count() as u64;
        let mark = mark.filter(Value::is_object).map(|m| if m["ttl"] == "1h" { LONG } else { SHORT });
        edges.push(Edge { hash: state.finish(), chars, mark });
    };
    for tool in array(body, "tools") {
        add("tool", tool);
    }
    each_block(&body["system"], |block| {
        // The CLI's billing line names its build, and the API leaves it out too.
        if !block["text"].as_str().is_some_and(|t| t.starts_with("x-anthropic-billing-header")) {
            add("system", block);
        }
    });
    for message in array(body, "messages") {
        let role = message["role"].as_str().unwrap_or("user");
        each_block(&message["content"], |block| add(role, block));
    }
    edges
}

/// A plain string counts as one text block: the CLI sends the same message now as one, now as the other.
fn each_block(content: &Value, mut with: impl FnMut(&Value)) {
    match content {
        Value::String(text) => with(&json!({"type": "text", "text": text})),
        Value::Array(blocks) => blocks.iter().for_each(with),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(messages: Value) -> Value {
        json!({"model": "m", "messages": messages,
            "system": [{"type": "text", "text": "x".repeat(4000), "cache_control": {"type": "ephemeral"}}]})
    }

    #[test]
    fn a_resumed_turn_reads_what_the_first_wrote() {
        let mut cache = PrefixCache::default();
        let now = Instant::now();
        let mark = json!({"type": "ephemeral"});
        let first = turn(json!([{"role": "user", "content": [{"type": "text", "text": "one", "cache_control": mark}]}]));
        let one = cache.bill(&first, now);
        assert!(one.read == 0 && one.write_short > 1000, "{one:?}");
        let second = turn(json!([
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": [{"type": "text", "text": "two", "cache_control": mark}]}]));
        let two = cache.bill(&second, now);
        assert!(two.read == one.write_short && two.write_short < 50, "{two:?}");
        let late = cache.bill(&second, now + Duration::from_secs(301));
        assert_eq!(late.read, 0);
    }
}
