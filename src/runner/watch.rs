//! Watches one agent process from its start to the end of everything it started.

use std::collections::HashSet;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::time::Instant;

use super::ends::{Ends, Wish};
use super::kill::{self, Mark, sweep};
use super::lines::Line;
use super::metering::Meter;
use super::process::Process;
use super::pump::Pump;
use crate::agent::LineParser;
use crate::domain::{
    AgentCli, AgentEvent, AgentResult, AgentResultKind, EntryKind, Error, InitLine, NoticeCode, Result, SpawnPurpose, Usage,
};
use crate::fail_point;
use crate::queue::{Lease, Queue};

/// How long an agent may live on after its result, and how long with work in the background.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_WITH_WORK: Duration = Duration::from_secs(10);
/// How long others may hold an agent's pipes open after its end.
const PIPES: Duration = Duration::from_secs(2);
/// Between two tries to store that an agent is up.
const AGAIN: Duration = Duration::from_millis(500);
const STDERR_KEPT: usize = 4096;
/// Tool calls at once that are kept in mind.
const MOST_TOOLS: usize = 10_000;

/// What to watch for.
#[derive(Debug)]
pub(super) struct Order<'a> {
    pub(super) cli: &'a AgentCli,
    pub(super) purpose: SpawnPurpose,
    /// The mode that the agent must say it runs in.
    pub(super) permission_mode: &'a str,
    /// When the run's time is over.
    pub(super) deadline: Option<Instant>,
    /// How long it may say nothing.
    pub(super) silence: Option<Duration>,
    /// From asking it to stop until it is killed.
    pub(super) grace: Duration,
    pub(super) mark: &'a Mark,
    pub(super) queue: &'a Queue,
    pub(super) lease: &'a Lease,
    /// What the attempt used before this process.
    pub(super) used: Usage,
}

/// Why we ended an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stopped {
    /// Somebody cancelled the run.
    Cancelled,
    /// The server stops.
    Interrupted,
    /// The run's time was over.
    TimedOut,
    /// It said nothing for this long.
    Silent(Duration),
    /// It runs under another permission mode than it was told.
    Mismatch(String),
    /// It said its result and did not go.
    Lingered,
    /// Our lease is not current any more, or nothing can be written.
    Lost,
}

/// What was seen of one process.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) init: Option<InitLine>,
    /// The last result.
    pub(super) result: Option<AgentResult>,
    /// Whether a compaction took place.
    pub(super) compacted: bool,
    pub(super) fell_back: bool,
    pub(super) denied_tools: Vec<String>,
    pub(super) stopped: Option<Stopped>,
    pub(super) exit: Option<ExitStatus>,
    /// The end of its standard error.
    pub(super) stderr: String,
    /// Lines that were no known message of the agent.
    pub(super) strange_lines: u64,
    /// What it used, with its prices.
    pub(super) meter: Meter,
    /// Processes that it left behind.
    pub(super) left_behind: usize,
    pub(super) wall: Duration,
}

/// Watches `process` to its end. `feed` gives it its prompt, after whatever must be stored before; if that fails it is ended.
pub(super) async fn watch(
    mut process: Process,
    order: &Order<'_>,
    meter: Meter,
    feed: impl Future<Output = Result<()>>,
    pump: &mut Pump,
    ends: &mut Ends,
) -> Report {
    let (pid, lost) = (process.pid, pump.lost());
    let mut seen = Seen::new(order, meter);
    let mut feed = pin!(feed);
    let mut fed = false;
    let (stdout, stderr, child) = process.parts();
    while !seen.over(stdout.ended() && stderr.ended()) {
        let timer = seen.timer();
        tokio::select! {
            biased;
            wish = ends.wish(), if seen.stop.is_none() => match wish {
                Wish::Stop(why) => seen.stop(why, pid),
                Wish::AfterStep => pump.notice(NoticeCode::CancelRequested, "the run ends when its present tool call has answered", &[]),
            },
            () = lost.cancelled(), if seen.stop.is_none() => seen.stop(Stopped::Lost, pid),
            done = &mut feed, if !fed => {
                fed = true;
                if let Err(error) = done {
                    seen.refused(&error, pid);
                }
            }
            () = pump.work() => {}
            Some(due) = wait_for(timer), if timer.is_some() => seen.due(due, pid).await,
            line = stdout.next(), if !pump.full() && !stdout.ended() => {
                let mut next = line.unwrap_or_default();
                while let Some(line) = next {
                    seen.line(&line, pump, pid).await;
                    next = if pump.full() { None } else { stdout.buffered() };
                }
                ends.in_step = !seen.open_tools.is_empty();
            }
            line = stderr.next(), if !pump.full() && !stderr.ended() => if let Ok(Some(line)) = line { seen.stderr(&line, pump) },
            status = child.wait(), if seen.exited.is_none() => seen.exited(status.ok()),
        }
    }
    ends.in_step = false;
    pump.leave_block();
    if ends.fenced() && seen.report.result.is_none() {
        // The watchdog may have ended it: that is no end of the run.
        seen.report.stopped = Some(Stopped::Lost);
    }
    let mark = order.mark.clone();
    let root = seen.exited.is_none().then_some(pid);
    let left_behind = tokio::task::spawn_blocking(move || sweep(&[mark], root)).await.unwrap_or(0);
    Report { left_behind: seen.report.left_behind + left_behind, wall: seen.began.elapsed(), ..seen.report }
}

/// What is due at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Deadline,
    Silence,
    Linger,
    Up,
    Kill,
    Sweep,
    GiveUp,
}

async fn wait_for(timer: Option<(Instant, Due)>) -> Option<Due> {
    let (at, due) = timer?;
    tokio::time::sleep_until(at).await;
    Some(due)
}

struct Seen<'a> {
    order: &'a Order<'a>,
    parser: LineParser,
    report: Report,
    began: Instant,
    last_line: Instant,
    background: Vec<String>,
    /// Tool calls that have not answered.
    open_tools: HashSet<String>,
    result_at: Option<Instant>,
    /// When it is killed, once it was asked to stop.
    stop: Option<Instant>,
    killed: bool,
    exited: Option<Instant>,
    swept: bool,
    given_up: bool,
    /// That the agent is up could not be written yet, and when it is tried again.
    up_at: Option<Instant>,
}

impl<'a> Seen<'a> {
    fn new(order: &'a Order<'a>, meter: Meter) -> Self {
        let (parser, now) = (LineParser::new(order.cli, order.purpose), Instant::now());
        let (stop, exited, result_at, background) = (None, None, None, Vec::new());
        Self {
            order,
            parser,
            report: Report { meter, ..Report::default() },
            began: now,
            last_line: now,
            background,
            open_tools: HashSet::new(),
            result_at,
            stop,
            killed: false,
            exited,
            swept: false,
            given_up: false,
            up_at: None,
        }
    }

    const fn over(&self, pipes_ended: bool) -> bool {
        self.exited.is_some() && pipes_ended || self.given_up
    }

    fn timer(&self) -> Option<(Instant, Due)> {
        if let Some(exited) = self.exited {
            return Some(if self.swept { (exited + PIPES * 3, Due::GiveUp) } else { (exited + PIPES, Due::Sweep) });
        }
        if let Some(kill_at) = self.stop {
            // Even a kill can take time to come through, but not for ever.
            return Some(if self.killed { (kill_at + PIPES * 5, Due::GiveUp) } else { (kill_at, Due::Kill) });
        }
        let up = self.up_at.map(|at| (at, Due::Up));
        let deadline = self.order.deadline.map(|at| (at, Due::Deadline));
        let silence = self.order.silence.map(|span| (self.last_line + span, Due::Silence));
        let linger = self.result_at.map(|at| (at + if self.background.is_empty() { LINGER } else { LINGER_WITH_WORK }, Due::Linger));
        [deadline, silence, linger, up].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    async fn due(&mut self, due: Due, pid: i32) {
        match due {
            Due::Deadline => self.stop(Stopped::TimedOut, pid),
            Due::Silence => self.stop(Stopped::Silent(self.last_line.elapsed()), pid),
            Due::Linger => self.stop(Stopped::Lingered, pid),
            Due::Up => self.tell_up(pid).await,
            Due::Kill => {
                self.killed = true;
                self.sweep(Some(pid)).await;
            }
            Due::Sweep => {
                self.swept = true;
                self.sweep(None).await;
            }
            Due::GiveUp => self.given_up = true,
        }
    }

    async fn sweep(&mut self, root: Option<i32>) {
        let mark = self.order.mark.clone();
        self.report.left_behind += tokio::task::spawn_blocking(move || sweep(&[mark], root)).await.unwrap_or(0);
    }

    fn stop(&mut self, why: Stopped, pid: i32) {
        // Without a lease the run may already live elsewhere: no grace.
        let grace = if why == Stopped::Lost { Duration::ZERO } else { self.order.grace };
        self.stop = Some(Instant::now() + grace);
        self.report.stopped = Some(why);
        if self.exited.is_none() {
            kill::interrupt(pid);
        }
    }

    /// What had to be stored was not.
    fn refused(&mut self, error: &Error, pid: i32) {
        tracing::warn!(run.id = %self.order.lease.run_id, error = %error, "ending an agent whose run cannot be written");
        if self.stop.is_none() {
            self.stop(Stopped::Lost, pid);
        }
    }

    fn exited(&mut self, status: Option<ExitStatus>) {
        self.exited = Some(Instant::now());
        self.report.exit = status;
    }

    fn stderr(&mut self, line: &Line, pump: &mut Pump) {
        self.last_line = Instant::now();
        let text = &mut self.report.stderr;
        text.push_str(&String::from_utf8_lossy(&line.bytes[..line.bytes.len().min(STDERR_KEPT)]));
        text.push('\n');
        let excess = text.len().saturating_sub(STDERR_KEPT);
        text.drain(..text.ceil_char_boundary(excess));
        pump.stderr(line);
    }

    async fn line(&mut self, line: &Line, pump: &mut Pump, pid: i32) {
        self.last_line = Instant::now();
        let events = self.parser.line(&line.bytes, line.cut);
        // Pieces of a block are shown, not kept: they do not count.
        let kept = !self.parser.was_piece() || events.iter().any(|event| matches!(event, AgentEvent::Entry { .. }));
        let within = if kept { pump.admit(line) } else { !pump.truncated() };
        let mut raw = Some(line);
        for event in events {
            match event {
                AgentEvent::Init(_) if self.report.init.is_some() => {}
                AgentEvent::Init(init) => self.init(init, raw.take(), pump, pid).await,
                AgentEvent::Entry { kind, parent_tool_use_id } => {
                    self.note(&kind);
                    if within {
                        pump.line(kind, parent_tool_use_id, raw.take());
                    }
                }
                AgentEvent::Delta { block_id, thinking, text } if within => pump.delta(block_id, thinking, &text),
                AgentEvent::Delta { .. } => {}
                AgentEvent::Metered(message) => {
                    if self.report.meter.message(&message) && within {
                        pump.say(usage_so_far(self.order.used, &self.report.meter));
                    }
                }
                AgentEvent::Compacted { pre_tokens, post_tokens } => {
                    self.report.compacted = true;
                    let values = [("pre_tokens", pre_tokens.to_string()), ("post_tokens", post_tokens.to_string())];
                    pump.notice(NoticeCode::Compacted, "the conversation was compacted", &values);
                }
                AgentEvent::BackgroundTask { task_id, running: true } => self.background.push(task_id),
                AgentEvent::BackgroundTask { task_id, .. } => self.background.retain(|known| *known != task_id),
                AgentEvent::Result(result) => {
                    self.report.meter.result(&result);
                    self.report.denied_tools.extend(result.denied_tools.iter().cloned());
                    // What it says once it was asked to stop takes nothing back that it had done.
                    let done = self.report.result.as_ref().is_some_and(|before| before.kind == AgentResultKind::Success);
                    if self.stop.is_none() || !done {
                        self.report.result = Some(*result);
                    }
                    // A further one does not prolong its time.
                    self.result_at.get_or_insert_with(Instant::now);
                }
            }
        }
        if let Some(line) = raw.filter(|_| kept && within) {
            pump.alone(line);
        }
    }

    fn note(&mut self, kind: &EntryKind) {
        match kind {
            EntryKind::Notice { code: NoticeCode::ModelFallback, .. } => self.report.fell_back = true,
            EntryKind::ToolCall { tool_use_id, .. } if self.open_tools.len() < MOST_TOOLS => {
                _ = self.open_tools.insert(tool_use_id.clone())
            }
            EntryKind::ToolResult { tool_use_id, .. } => _ = self.open_tools.remove(tool_use_id),
            EntryKind::Other { line_type, .. } if line_type == "not_json" || line_type == "truncated" => self.report.strange_lines += 1,
            _ => {}
        }
    }

    async fn init(&mut self, init: InitLine, line: Option<&Line>, pump: &mut Pump, pid: i32) {
        fail_point::pass("agent", "first_line");
        if init.permission_mode != self.order.permission_mode && self.stop.is_none() {
            let (told, says) = (self.order.permission_mode, &init.permission_mode);
            self.stop(Stopped::Mismatch(format!("the agent was told permission mode `{told}` and says it runs in `{says}`")), pid);
        }
        pump.line(started(self.order.purpose, &init), String::new(), line);
        self.report.init = Some(init);
        self.tell_up(pid).await;
    }

    /// Stores that the agent is up. A database that is away for a moment ends no agent.
    async fn tell_up(&mut self, pid: i32) {
        let Some(init) = &self.report.init else { return };
        self.up_at = None;
        match self.order.queue.agent_up(self.order.lease, &init.model, &init.agent_version, &init.agent_session_id).await {
            Ok(()) => {}
            Err(Error::StoreUnavailable(_)) => self.up_at = Some(Instant::now() + AGAIN),
            Err(error) => self.refused(&error, pid),
        }
    }
}

fn usage_so_far(before: Usage, meter: &Meter) -> EntryKind {
    let mut entry = meter.entry();
    if let EntryKind::Usage { usage, .. } = &mut entry {
        *usage = before.plus(*usage);
    }
    entry
}

fn started(purpose: SpawnPurpose, init: &InitLine) -> EntryKind {
    let InitLine { agent_session_id, agent_version, model, permission_mode, tools, mcp_servers, credential_kind } = init.clone();
    EntryKind::AgentStarted { purpose, agent_session_id, agent_version, model, permission_mode, tools, mcp_servers, credential_kind }
}
