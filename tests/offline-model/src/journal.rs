//! The request log: one JSON line a request, on disk before the answer begins.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, array};

/// An open request log.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Mutex<File>>);

impl Journal {
    /// Opens the file for appending.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Appends a line and waits until it is on disk, off the threads that serve.
    pub(crate) async fn append(&self, line: &Value) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        let bytes = format!("{line}\n");
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(bytes.as_bytes())?;
            file.sync_data()
        });
        written.await.map_err(io::Error::other)?
    }
}

/// The line of a request.
pub(crate) fn line(path: &str, headers: &HeaderMap, body: &Value, talk: &Conversation) -> Value {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    json!({
        "time_us": u64::try_from(micros).unwrap_or(u64::MAX),
        "path": path,
        "session": headers.get("x-claude-code-session-id").and_then(|v| v.to_str().ok()),
        "model": body["model"],
        "stream": body["stream"],
        "messages": array(body, "messages").len(),
        "tools": array(body, "tools").len(),
        "last_user_text": talk.prompt,
        "text": talk.full_text(),
        "headers": shown(headers),
    })
}

/// The headers, secrets cut to their last four characters.
fn shown(headers: &HeaderMap) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let secret = ["x-api-key", "authorization", "cookie", "proxy-authorization"].contains(&name.as_str());
        let text = if secret { tail(&text) } else { text.into_owned() };
        out.insert(name.as_str().to_owned(), Value::String(text));
    }
    out
}

fn tail(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    // A short secret would be shown whole.
    let from = chars.len().saturating_sub(4).max(chars.len().min(4));
    format!("…{}", chars[from..].iter().collect::<String>())
}
