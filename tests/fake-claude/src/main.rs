//! The `claude` CLI without a model: its flags, its sessions on disk, its lines and its exit codes,
//! as measured on the pinned version. Marks such as `[[lines: 100]]` in the prompt, or in
//! `FAKE_CLAUDE_SCRIPT`, make it slow, huge, broken or dead; the README of this folder lists them.

mod args;
#[path = "../../offline-model/src/directive.rs"]
mod directive;
mod journal;
mod lines;
mod play;
mod session;
mod shared;

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};
use std::sync::Arc;
use std::time::SystemTime;

use nix::sys::signal::SigSet;
use uuid::Uuid;

use crate::args::{Args, Asked};
use crate::journal::Journal;
use crate::session::{Session, VERSION};
use crate::shared::Shared;

const STDIN_LIMIT: u64 = 10 << 20;

fn main() {
    let began = SystemTime::now();
    if let Ok(seconds) = std::env::var(play::ORPHAN) {
        orphan(&seconds);
    }
    let argv: Vec<String> = std::env::args().skip(1).collect();
    let args = match args::parse(&argv) {
        Ok(Asked::Version) => {
            let _ = writeln!(std::io::stdout(), "{VERSION} (Claude Code)");
            exit(0);
        }
        Ok(Asked::Turn(args)) => args,
        Err(text) => refuse(&text),
    };
    let prompt = read_prompt(&args).unwrap_or_else(|text| refuse(&text));
    let wanted = args.resume.clone().or_else(|| args.session_id.clone()).unwrap_or_else(|| Uuid::now_v7().to_string());
    let journal = Journal::from_env();
    journal.start(began, &argv, &wanted, &prompt);
    journal.tick();
    let session = match open(&args, wanted.clone()) {
        Ok(session) => session,
        Err(refusal) => {
            let _ = writeln!(std::io::stderr(), "{}", refusal.text);
            if refusal.line {
                let _ = writeln!(std::io::stdout(), "{}", lines::stale(&wanted, &refusal.text));
            }
            journal.end(&wanted, 1);
            exit(1);
        }
    };
    let shared = Arc::new(Shared::new(journal, session.id.clone(), session.total_usd));
    shared::listen(&shared);
    play::play(&args, session, &prompt, &shared)
}

/// Why a session could not be opened.
struct Refusal {
    text: String,
    line: bool,
}

fn open(args: &Args, id: String) -> Result<Session, Refusal> {
    let plain = |text: String| Refusal { text, line: false };
    let failed = |error: std::io::Error| plain(format!("fake-claude: {error}"));
    let mut session = Session::new(id.clone(), args.keep).map_err(failed)?;
    if args.resume.is_none() {
        if args.session_id.is_some() && session.path.exists() {
            return Err(plain(format!("Error: Session ID {id} is already in use.")));
        }
        return Ok(session);
    }
    let usage =
        "Error: --resume requires a valid session ID or session title when used with --print. Usage: claude -p --resume <session-id|title>";
    if id.is_empty() {
        return Err(Refusal { text: usage.to_owned(), line: true });
    }
    if Uuid::parse_str(&id).is_err() {
        let text = format!("{usage}. Provided value \"{id}\" is not a UUID and does not match any session title.");
        return Err(Refusal { text, line: true });
    }
    if session.load().is_err() || session.messages == 0 {
        return Err(Refusal { text: format!("No conversation found with session ID: {id}"), line: true });
    }
    if args.fork {
        let fork = args.session_id.clone().unwrap_or_else(|| Uuid::now_v7().to_string());
        let path = session.path.with_file_name(format!("{fork}.jsonl"));
        std::fs::copy(&session.path, &path).map_err(failed)?;
        session.id = fork;
        session.path = path;
    }
    Ok(session)
}

fn read_prompt(args: &Args) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_LIMIT + 1).read_to_end(&mut bytes);
    if read.is_err() || bytes.len() as u64 > STDIN_LIMIT {
        return Err("Error: piped stdin input exceeds 10MB. Pass large content as a file path in your prompt instead.".to_owned());
    }
    let piped = String::from_utf8_lossy(&bytes).into_owned();
    let words = args.words.join(" ");
    let prompt = match (words.is_empty(), piped.is_empty()) {
        (true, true) => {
            return Err("Error: Input must be provided either through stdin or as a prompt argument when using --print".to_owned());
        }
        (true, false) => piped,
        (false, true) => words,
        (false, false) => format!("{words}\n{piped}"),
    };
    if prompt.trim().is_empty() {
        return Err(
            "Error: Input contained only whitespace. Provide a prompt with text through stdin or as a prompt argument when using --print"
                .to_owned(),
        );
    }
    Ok(prompt)
}

fn refuse(text: &str) -> ! {
    let _ = writeln!(std::io::stderr(), "{text}");
    exit(1)
}

/// The re-started process of `[[orphan]]`: a session of its own, then `sleep`.
fn orphan(seconds: &str) -> ! {
    let _ = nix::unistd::setsid();
    let _ = SigSet::empty().thread_set_mask();
    let _ = Command::new("sleep").arg(seconds).env_remove(play::ORPHAN).exec();
    exit(98)
}
