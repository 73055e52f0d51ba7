//! A small stand-in for the Messages API, so that the real `claude` runs without a network or a key.
//!
//! The model is a scripted reviewer. What it answers depends on the request alone: it gives a code
//! word in a first review, and can repeat it later only if the request's history has it. So a right
//! answer in a later turn proves that the conversation was continued. Marks such as `[[slow: 3]]` in
//! the last user message steer it; the README of this folder lists them.

mod billing;
mod conversation;
mod directive;
mod journal;
mod reply;
mod reviewer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::billing::{PrefixCache, Usage};
use crate::conversation::Conversation;
use crate::journal::Journal;
use crate::reviewer::{Outcome, Part};

/// What a server of the offline model is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The code word of a first review.
    pub word: String,
    /// Where each request is written down, one JSON line each, before it is answered.
    pub log: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self { word: "HERON".to_owned(), log: None }
    }
}

#[derive(Debug, Clone)]
struct App {
    word: Arc<str>,
    journal: Option<Journal>,
    cache: Arc<Mutex<PrefixCache>>,
}

/// Serves until the future is dropped.
///
/// # Errors
/// When the log cannot be opened or the listener fails.
pub async fn serve(listener: TcpListener, options: Options) -> std::io::Result<()> {
    let journal = options.log.as_deref().map(Journal::open).transpose()?;
    let app = App { word: options.word.into(), journal, cache: Arc::default() };
    let router = Router::new()
        .route("/", get(|| async { "offline model\n" }))
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .fallback(|| async { reply::error(404) })
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(app);
    axum::serve(listener, router).await
}

async fn messages(State(app): State<App>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return reply::error(400);
    };
    let talk = Conversation::of(&body);
    let outcome = reviewer::answer(&body, &talk, &app.word);
    let usage = match &outcome {
        Outcome::Answer(answer) => Some(bill(&app, &body, answer)),
        Outcome::Status(_) => None,
    };
    if let Some(journal) = &app.journal {
        let mut line = journal::line(uri.path(), &headers, &body, &talk);
        line["usage"] = usage.map_or(Value::Null, Usage::to_json);
        if journal.append(&line).await.is_err() {
            return StatusCode::INSUFFICIENT_STORAGE.into_response();
        }
    }
    let answer = match outcome {
        Outcome::Answer(answer) => answer,
        Outcome::Status(status) => return reply::error(status),
    };
    tokio::time::sleep(answer.wait).await;
    let model = body["model"].as_str().unwrap_or("offline");
    let usage = usage.unwrap_or_default();
    if body["stream"] == json!(true) {
        reply::streamed(&answer, model, usage)
    } else {
        tokio::time::sleep(answer.pace).await;
        reply::whole(&answer, model, usage)
    }
}

fn bill(app: &App, body: &Value, answer: &reviewer::Answer) -> Usage {
    let mut usage = {
        let mut cache = app.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.bill(body, Instant::now())
    };
    let chars: usize = answer
        .parts
        .iter()
        .map(|p| match p {
            Part::Text(text) | Part::Thinking(text) => text.chars().count(),
            Part::Tool { name, input } => name.len() + input.to_string().chars().count(),
        })
        .sum();
    usage.output = billing::tokens(chars as u64).max(1);
    if let Some((input, output)) = answer.usage {
        usage = Usage { input, output, ..Usage::default() };
    }
    usage
}

async fn count_tokens(body: Bytes) -> Response {
    match serde_json::from_slice::<Value>(&body) {
        Ok(body) => axum::Json(json!({"input_tokens": billing::count(&body)})).into_response(),
        Err(_) => reply::error(400),
    }
}
