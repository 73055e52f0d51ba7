//! Agents as the bench sees them: what the test double wrote about its processes, and an agent that writes faster than
//! the test double can.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use uuid::Uuid;

/// How many lines the fast agent writes.
pub(crate) const LINES: &str = "BENCH_AGENT_LINES";
/// The file that it waits for first.
pub(crate) const GO: &str = "BENCH_AGENT_GO";

/// The journal of the test double, read as it grows.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    read: u64,
    rest: String,
}

/// One line of it.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) start: bool,
    pub(crate) time_us: i64,
    /// The run, from `<boot>.<run>`; empty under the bare edge.
    pub(crate) run: String,
}

impl Journal {
    /// From the begin of the file.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0, rest: String::new() }
    }

    /// What was added since the last call.
    pub(crate) fn more(&mut self) -> Result<Vec<Noted>> {
        let Ok(mut file) = File::open(&self.path) else { return Ok(Vec::new()) };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.read += file.read_to_end(&mut bytes)? as u64;
        self.rest.push_str(std::str::from_utf8(&bytes)?);
        let whole = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let lines: String = self.rest.drain(..whole).collect();
        // An agent begins with a new line when it cannot know that the last one ended.
        lines.lines().filter(|line| !line.is_empty()).map(noted).collect()
    }

    /// Waits for the next line that `wanted` accepts.
    pub(crate) async fn next(&mut self, wanted: impl Fn(&Noted) -> bool, within: Duration) -> Result<Vec<Noted>> {
        let begin = Instant::now();
        let mut seen = Vec::new();
        while begin.elapsed() < within {
            seen.extend(self.more()?);
            if seen.iter().any(&wanted) {
                return Ok(seen);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        bail!("no agent noted what was waited for within {within:?}; {} lines came", seen.len())
    }
}

fn noted(line: &str) -> Result<Noted> {
    let value: Value = serde_json::from_str(line)?;
    Ok(Noted {
        start: value["event"] == "start",
        time_us: value["time_us"].as_i64().context("a time")?,
        run: value["run"].as_str().and_then(|mark| mark.rsplit('.').next()).unwrap_or_default().to_owned(),
    })
}

/// Most processes that were alive at the same moment.
pub(crate) fn most_alive(noted: &[Noted]) -> usize {
    let mut moments: Vec<(i64, bool)> = noted.iter().map(|n| (n.time_us, n.start)).collect();
    // An end and a start in the same microsecond: the end came first.
    moments.sort_unstable();
    let (mut alive, mut most) = (0_usize, 0);
    for (_, start) in moments {
        alive = if start { alive + 1 } else { alive.saturating_sub(1) };
        most = most.max(alive);
    }
    most
}

/// Whether this process was started as the agent. Its version is asked for with an empty environment.
pub(crate) fn wanted() -> bool {
    std::env::var_os(LINES).is_some() || std::env::args().skip(1).eq(["--version"])
}

/// Plays one turn that says so many lines of 200 bytes, as fast as the pipe takes them.
pub(crate) fn play() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut out = BufWriter::with_capacity(64 << 10, std::io::stdout().lock());
    if arguments.iter().any(|argument| argument == "--version") {
        writeln!(out, "2.1.330 (Claude Code)")?;
        return Ok(());
    }
    let after = |flag: &str| arguments.iter().position(|argument| argument == flag).and_then(|at| arguments.get(at + 1));
    let session = after("--session-id").or_else(|| after("--resume")).context("a session id")?;
    let model = after("--model").map_or("claude-sonnet-4-5", String::as_str);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    let init = json!({
        "type": "system", "subtype": "init", "cwd": std::env::current_dir()?, "session_id": session, "tools": ["Read"], "mcp_servers": [],
        "model": model, "permissionMode": after("--permission-mode"), "apiKeySource": "none", "claude_code_version": "2.1.330",
        "uuid": Uuid::now_v7(),
    });
    writeln!(out, "{init}")?;
    out.flush()?;
    let go = PathBuf::from(std::env::var(GO)?);
    while !go.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let usage = json!({"input_tokens": 3, "cache_creation_input_tokens": 19_293, "cache_read_input_tokens": 0, "output_tokens": 1});
    for number in 1..=std::env::var(LINES)?.parse::<u64>()? {
        let text = format!("{:x<200}", format!("line {number} "));
        let message = json!({"id": format!("msg_{number:026}"), "type": "message", "role": "assistant", "model": model,
            "content": [{"type": "text", "text": text}], "stop_reason": null, "usage": usage});
        let line =
            json!({"type": "assistant", "message": message, "parent_tool_use_id": null, "session_id": session, "uuid": Uuid::now_v7()});
        writeln!(out, "{line}")?;
    }
    let result = json!({
        "type": "result", "subtype": "success", "is_error": false, "duration_ms": 10, "duration_api_ms": 5, "num_turns": 1, "result": "done",
        "session_id": session, "total_cost_usd": 0.1, "usage": usage, "modelUsage": {}, "permission_denials": [], "uuid": Uuid::now_v7(),
    });
    writeln!(out, "{result}")?;
    out.flush()?;
    Ok(())
}
