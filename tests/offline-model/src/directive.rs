//! `[[name: value]]` marks in a prompt, by which a test says what the double shall do.

use serde_json::Value;

/// One mark of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directive {
    /// What stands before the colon.
    pub(crate) name: String,
    /// What stands after it, trimmed; empty when there is no colon.
    pub(crate) value: String,
}

/// All marks of `text`, in order. What is no mark is skipped: prompts hold webhook text, which
/// may contain any brackets.
pub(crate) fn parse(text: &str) -> Vec<Directive> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("[[") {
        rest = &rest[start + 2..];
        let name_end = rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_end);
        if name.is_empty() {
            continue;
        }
        if let Some(next) = after.strip_prefix("]]") {
            found.push(Directive { name: name.to_owned(), value: String::new() });
            rest = next;
        } else if let Some(body) = after.strip_prefix(':')
            && let Some((value, used)) = value_of(body)
        {
            found.push(Directive { name: name.to_owned(), value });
            rest = &body[used..];
        }
    }
    found
}

/// The value up to the closing brackets, and how many bytes it took. A value with an object in it
/// ends at the first brackets that leave the object whole, since JSON may hold `]]` itself.
fn value_of(body: &str) -> Option<(String, usize)> {
    let ends: Vec<usize> = body.match_indices("]]").map(|(at, _)| at).take(64).collect();
    let first = *ends.first()?;
    if body[..first].contains('{') {
        for &end in &ends {
            for candidate in [body[..end].to_owned(), unescape(&body[..end])] {
                if let Some(open) = candidate.find('{')
                    && serde_json::from_str::<Value>(&candidate[open..]).is_ok()
                {
                    return Some((candidate.trim().to_owned(), end + 2));
                }
            }
        }
    }
    Some((unescape(&body[..first]).trim().to_owned(), first + 2))
}

/// Undoes JSON string escapes: a payload that stands in the prompt as JSON has its quotes escaped.
fn unescape(raw: &str) -> String {
    if raw.contains('\\')
        && let Ok(text) = serde_json::from_str::<String>(&format!("\"{raw}\""))
    {
        return text;
    }
    raw.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String) {
        let mut all = parse(text);
        assert_eq!(all.len(), 1, "{text}: {all:?}");
        let it = all.remove(0);
        (it.name, it.value)
    }

    #[test]
    fn marks_are_found_among_other_text() {
        assert_eq!(one("a [[hang]] b"), ("hang".into(), String::new()));
        assert_eq!(one("[[slow: 2.5]]"), ("slow".into(), "2.5".into()));
        assert_eq!(one("if [[ -f x ]]; then [[say: a: b]]"), ("say".into(), "a: b".into()));
        assert!(parse("[[A]] [[ x ]] [[open: never closed").is_empty());
        assert_eq!(parse("[[say: a]][[say: b]]").len(), 2);
    }

    #[test]
    fn objects_keep_their_brackets_and_lose_their_escapes() {
        let plain = r#"[[tool: Bash {"command":"[[ -f x ]] || sleep 1"}]]"#;
        assert_eq!(one(plain).1, r#"Bash {"command":"[[ -f x ]] || sleep 1"}"#);
        let escaped = r#"{"body":"[[tool: Bash {\"command\":\"sleep 30\"}]]"}"#;
        assert_eq!(one(escaped).1, r#"Bash {"command":"sleep 30"}"#);
    }
}
