//! The turn itself, as the prompt's marks want it.

use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::args::Args;
use crate::directive;
use crate::lines::{self, Usage};
use crate::session::Session;
use crate::shared::Shared;

/// Set in the environment of the process that `[[orphan]]` leaves behind, to its life in seconds.
pub(crate) const ORPHAN: &str = "FAKE_CLAUDE_ORPHAN_SECONDS";
/// Tokens of the CLI's system prompt and tools, written to the cache by a first turn.
const SYSTEM_TOKENS: u64 = 19_293;
const FILL: [u8; 16 << 10] = [b'x'; 16 << 10];

/// The marks of the environment and of the prompt; the last of a name wins.
struct Script(Vec<directive::Directive>);

impl Script {
    fn of(prompt: &str) -> Self {
        let mut all = std::env::var("FAKE_CLAUDE_SCRIPT").map(|s| directive::parse(&s)).unwrap_or_default();
        all.extend(directive::parse(prompt));
        Self(all)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|d| d.name == name).map(|d| d.value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    fn pause(&self, name: &str) {
        let seconds = self.number::<f64>(name).unwrap_or(0.0).clamp(0.0, 1e6);
        if seconds > 0.0 {
            std::thread::sleep(Duration::from_secs_f64(seconds));
        }
    }
}

struct Turn<'a> {
    args: &'a Args,
    session: Session,
    shared: &'a Shared,
    script: Script,
    model: String,
    usage: Usage,
    rounds: u64,
}

/// Plays a turn to its end, whatever that is.
pub(crate) fn play(args: &Args, session: Session, prompt: &str, shared: &Shared) -> ! {
    let model = args.model.clone().unwrap_or_else(|| "claude-opus-4-8".to_owned());
    let size = prompt.len() as u64 / 4 + 1;
    let usage = if session.messages > 0 {
        Usage { input: 3, write: size, read: SYSTEM_TOKENS + session.cached_tokens, ..Usage::default() }
    } else {
        Usage { input: 3, write: SYSTEM_TOKENS + size, ..Usage::default() }
    };
    let mut turn = Turn { args, session, shared, script: Script::of(prompt), model, usage, rounds: 1 };
    if prompt.trim() == "/compact" && prompt.starts_with('/') {
        turn.compact();
    }
    shared.deaf.store(turn.script.has("hang"), Ordering::SeqCst);
    shared.mute.store(turn.script.has("no-abort-result"), Ordering::SeqCst);
    turn.script.pause("slow-start");
    turn.init();
    // Found out only after the turn has begun, so that a kill during a slow start leaves no file.
    let answer = turn.answer(prompt);
    turn.session.message("user", &json!(prompt));
    turn.middle();
    turn.broken_ends();
    turn.say(&answer);
    turn.done(&answer)
}

impl Turn<'_> {
    fn init(&self) {
        let mode = self.args.mode.as_deref().unwrap_or("default");
        let tools = self.args.tools.as_deref().unwrap_or("Bash,Edit,Glob,Grep,Read,Write");
        let tools: Vec<&str> = tools.split([',', ' ']).filter(|t| !t.is_empty()).collect();
        self.shared.line(&lines::init(&self.session.id, &self.session.cwd, &self.model, mode, &tools));
    }

    fn answer(&self, prompt: &str) -> String {
        if let Some(text) = self.script.get("say") {
            return text.to_owned();
        }
        if let Some(literal) = self.script.get("recall") {
            let found = self.session.messages > 0 && self.session.contains(literal);
            return format!("recall {}: {literal}", if found { "yes" } else { "no" });
        }
        let start: String = prompt.trim().chars().take(60).collect();
        format!("fake answer after {} messages to: {start}", self.session.messages)
    }

    /// What happens between the start and the last words.
    fn middle(&mut self) {
        if let Some(text) = self.script.get("stderr") {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{text}");
        }
        if let Some(how) = self.script.get("orphan") {
            spawn_orphan(how == "stdout");
        }
        if self.script.has("toolcall") {
            self.tool_call();
        } else {
            self.script.pause("sleep");
        }
        for number in 0..self.script.number::<u64>("lines").unwrap_or(0) {
            let text = format!("line {number} {}", "x".repeat(200));
            self.say(&text[..200]);
        }
        if let Some(bytes) = self.script.number::<u64>("bytes") {
            let text = "x".repeat(FILL.len());
            while self.shared.written.load(Ordering::Relaxed) < bytes {
                let left = bytes - self.shared.written.load(Ordering::Relaxed);
                let size = usize::try_from(left).unwrap_or(FILL.len()).min(FILL.len());
                self.shared.line(&self.block(&json!({"type": "text", "text": text[..size]})));
            }
        }
        if let Some(length) = self.script.number::<usize>("longline") {
            self.long_line(length);
        }
        if self.script.has("badutf8") {
            let line = self.block(&json!({"type": "text", "text": "bad \u{1}\u{1} bytes"})).to_string();
            let (before, after) = line.split_once("\\u0001\\u0001").unwrap_or((&line, ""));
            self.shared.raw(&[before.as_bytes(), &[0xff, 0xc3, 0x28, 0xfe], after.as_bytes(), b"\n"]);
        }
    }

    /// The ends that are no proper end.
    fn broken_ends(&mut self) {
        if self.script.has("hang") {
            loop {
                std::thread::park();
            }
        }
        if let Some(name) = self.script.get("signal") {
            let signal = Signal::from_str(&format!("SIG{name}")).unwrap_or(Signal::SIGKILL);
            // Twice: the runtime's own handler takes the first SIGSEGV or SIGBUS.
            let _ = kill(Pid::this(), signal);
            let _ = kill(Pid::this(), signal);
            // The signals that a thread waits for come to it a moment later.
            std::thread::sleep(Duration::from_secs(5));
        }
        if let Some(code) = self.script.number::<i32>("exit") {
            self.shared.finish(code);
        }
        if self.script.has("garbage") {
            self.shared.raw(&[b"this is no JSON\n{\"type\":\"assist\n[1,2\n\x00\x01\nnull\n42\n\n"]);
            self.shared.finish(0);
        }
        if let Some(mut left) = self.script.number::<usize>("nonewline") {
            while left > 0 {
                let size = left.min(FILL.len());
                self.shared.raw(&[&FILL[..size]]);
                left -= size;
            }
            self.shared.finish(0);
        }
        if let Some(status) = self.script.number::<u16>("error") {
            self.api_error(status);
        }
    }

    fn done(mut self, answer: &str) -> ! {
        if self.script.has("noresult") {
            self.shared.finish(0);
        }
        self.usage = self.usage.priced();
        if let Some(usd) = self.script.number("cost") {
            self.usage.usd = usd;
        }
        self.session.cost(&self.model, self.usage.usd);
        let spent = self.args.budget.filter(|budget| self.usage.usd >= *budget);
        let more = match spent {
            Some(budget) => json!({"subtype": "error_max_budget_usd", "is_error": true, "terminal_reason": "budget_exhausted",
                "errors": [format!("Reached maximum budget (${budget})")], "num_turns": self.rounds}),
            None => json!({"result": answer, "num_turns": self.rounds}),
        };
        self.shared.line(&lines::result(&self.session.id, &self.model, &self.usage, self.session.total_usd, &more));
        self.script.pause("linger");
        self.shared.finish(i32::from(spent.is_some()))
    }

    fn block(&self, block: &Value) -> Value {
        lines::assistant(&self.session.id, &self.model, &message_id(), block, &self.usage)
    }

    /// One text of the model, with its deltas when they are asked for.
    fn say(&mut self, text: &str) {
        let id = message_id();
        let block = json!({"type": "text", "text": text});
        self.usage.output += text.len() as u64 / 4 + 1;
        let line = lines::assistant(&self.session.id, &self.model, &id, &block, &self.usage);
        if self.args.partial {
            let reply = json!({"id": id, "type": "message", "role": "assistant", "model": self.model, "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": lines::usage(&Usage { output: 1, ..self.usage })});
            self.event(&json!({"type": "message_start", "message": reply}));
            self.event(&json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}));
            let chars: Vec<char> = text.chars().collect();
            for piece in chars.chunks(chars.len().div_ceil(8).max(1)) {
                let piece: String = piece.iter().collect();
                self.event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}));
                if let Some(pause) = self.script.number::<u64>("partial") {
                    std::thread::sleep(Duration::from_millis(pause));
                }
            }
            // The whole block comes before its end.
            self.shared.line(&line);
            self.event(&json!({"type": "content_block_stop", "index": 0}));
            self.event(&json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": lines::usage(&self.usage)}));
            self.event(&json!({"type": "message_stop"}));
        } else {
            self.shared.line(&line);
        }
        self.session.message("assistant", &json!([block]));
    }

    fn event(&self, event: &Value) {
        self.shared.line(&lines::event(&self.session.id, event));
    }

    /// A tool that runs as long as `[[sleep]]` says.
    fn tool_call(&mut self) {
        let id = format!("toolu_{}", Uuid::now_v7().simple());
        let call = json!({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": "echo hi"}});
        self.shared.in_tool.store(true, Ordering::SeqCst);
        self.shared.line(&self.block(&call));
        self.session.message("assistant", &json!([call]));
        self.script.pause("sleep");
        let result = json!([{"tool_use_id": id, "type": "tool_result", "content": "hi", "is_error": false}]);
        let mut line = lines::user(&self.session.id, &result);
        line["tool_use_result"] = json!({"stdout": "hi", "stderr": "", "interrupted": false, "isImage": false, "noOutputExpected": false});
        self.shared.line(&line);
        self.shared.in_tool.store(false, Ordering::SeqCst);
        self.session.message("user", &result);
        self.rounds += 1;
        self.usage.input += 3;
        self.usage.read += SYSTEM_TOKENS;
    }

    /// One line of `length` bytes, the newline included, made without holding it in memory.
    fn long_line(&self, length: usize) {
        let line = self.block(&json!({"type": "text", "text": "\u{1}"})).to_string();
        let (before, after) = line.split_once("\\u0001").unwrap_or((&line, ""));
        let mut left = length.saturating_sub(before.len() + after.len() + 1);
        let mut pieces: Vec<&[u8]> = vec![before.as_bytes()];
        while left > 0 {
            let size = left.min(FILL.len());
            pieces.push(&FILL[..size]);
            left -= size;
        }
        pieces.extend([after.as_bytes(), b"\n"]);
        self.shared.raw(&pieces);
    }

    fn api_error(&self, status: u16) -> ! {
        let (kind, text) = match status {
            401 => ("authentication_failed", format!("Failed to authenticate. API Error: {status} fake error")),
            429 => ("rate_limit", format!("API Error: Request rejected ({status}) fake error")),
            529 => (
                "server_error",
                "API Error: Repeated 529 Overloaded errors. The API is at capacity — this is usually temporary.".to_owned(),
            ),
            500.. => ("server_error", format!("API Error: {status} fake error")),
            _ => ("unknown", format!("API Error: {status} fake error")),
        };
        let id = &self.session.id;
        if matches!(status, 401 | 429 | 500..) {
            let retries = std::env::var("CLAUDE_CODE_MAX_RETRIES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_u32);
            let reason = if status == 529 { "overloaded" } else { kind };
            for attempt in 1..=retries {
                // The real CLI waits here; a double that waits makes slow tests.
                self.shared.line(&lines::system(
                    id,
                    "api_retry",
                    &json!({"attempt": attempt, "max_retries": retries,
                    "retry_delay_ms": 500, "error_status": status, "error": reason}),
                ));
            }
        }
        let more = json!({"error": kind, "is_api_error_message": true, "api_error_status": status});
        self.shared.line(&lines::synthetic(id, &text, &more));
        let more = json!({"is_error": true, "api_error_status": status, "result": text, "stop_reason": "stop_sequence",
            "terminal_reason": "api_error", "modelUsage": {}});
        self.shared.line(&lines::result(id, &self.model, &Usage::default(), self.session.total_usd, &more));
        self.shared.finish(1)
    }

    /// `/compact`, or the refusal of it.
    fn compact(&mut self) -> ! {
        let id = self.session.id.clone();
        let refusal = if !self.args.slash {
            Some(("/compact isn't available in this environment.", "/compact isn't available in this environment."))
        } else if self.session.messages < 2 {
            Some(("Error: No messages to compact", ""))
        } else {
            None
        };
        if let Some((text, result)) = refusal {
            self.init();
            self.shared.line(&lines::synthetic(&id, text, &json!({})));
            let more = json!({"result": result, "num_turns": 0, "stop_reason": null, "terminal_reason": null});
            self.shared.line(&lines::result(&id, &self.model, &Usage::default(), self.session.total_usd, &more));
            self.shared.finish(0);
        }
        self.shared.line(&lines::system(&id, "status", &json!({"status": "compacting"})));
        self.script.pause("sleep");
        self.shared.line(&lines::system(&id, "status", &json!({"status": null, "compact_result": "success"})));
        self.init();
        let data = json!({"trigger": "manual", "pre_tokens": SYSTEM_TOKENS + self.session.cached_tokens, "post_tokens": 1_318});
        self.shared.line(&lines::system(&id, "compact_boundary", &json!({"compact_metadata": data})));
        self.session.append(&json!({"type": "system", "subtype": "compact_boundary", "sessionId": id, "compactMetadata": data}));
        let summary = "This session is being continued from a previous conversation that ran out of context. The summary below covers the earlier portion of the conversation.\n\nfake summary";
        let mut line = lines::user(&id, &json!(summary));
        line["isSynthetic"] = json!(true);
        line["isReplay"] = json!(false);
        self.shared.line(&line);
        self.session.message("user", &json!(summary));
        let mut line = lines::user(&id, &json!("<local-command-stdout>Compacted </local-command-stdout>"));
        line["isReplay"] = json!(true);
        self.shared.line(&line);
        let usage = Usage { output: 45, write: 20, ..self.usage }.priced();
        self.session.cost(&self.model, usage.usd);
        let more = json!({"result": "", "num_turns": 0, "stop_reason": null, "terminal_reason": null,
            "local_command": "compact"});
        self.shared.line(&lines::result(&id, &self.model, &usage, self.session.total_usd, &more));
        self.shared.finish(0)
    }
}

fn spawn_orphan(keep_stdout: bool) {
    let Ok(me) = std::env::current_exe() else { return };
    let out = if keep_stdout { Stdio::inherit() } else { Stdio::null() };
    let _ = Command::new(me).env(ORPHAN, "300").stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn();
}

fn message_id() -> String {
    format!("msg_{}", Uuid::now_v7().simple())
}
