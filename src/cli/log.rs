//! The journal of a run as lines.

use std::time::Duration;

use super::failure::Failure;
use super::plain::{cut, one_line, plain};
use super::screen::{Screen, Tint};
use super::words::{between, conversation, cost, count, money, named_id, plural, span, time, whole_span, wire_span, word};
use crate::proto::v1::journal_entry::Kind;
use crate::proto::v1::{
    AgentStartedEntry, FailureReason, JournalEntry, Lineage, NoticeCode, RetryEntry, Run, RunState, RunWarning, SpawnPurpose,
    ToolCallEntry, ToolResultEntry, Usage, WaitReason,
};

/// Lines of a tool's answer are not shown; a failure shows this much.
const FAILED_TOOL_CHARS: usize = 160;

/// Turns entries into lines, and remembers which calls have no answer yet.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// What every line begins with.
    pub(crate) indent: &'static str,
    headed: bool,
    start: Option<prost_types::Timestamp>,
    quiet: bool,
    calls: Vec<Call>,
    last_text: String,
}

#[derive(Debug)]
struct Call {
    id: String,
    name: String,
    summary: String,
    at: String,
    shown: bool,
}

impl Log {
    /// A log whose lines begin with `indent`.
    pub(crate) fn indented(indent: &'static str) -> Self {
        Self { indent, ..Self::default() }
    }

    /// Takes note of the run as it is now.
    pub(crate) fn run(&mut self, run: &Run) {
        self.start = self.start.or(run.start_time);
        self.quiet |= run.wait.as_ref().is_some_and(|wait| wait.reason() == WaitReason::QuietPeriod);
    }

    /// What the agent does now, for the progress line.
    pub(crate) fn doing(&self) -> Option<String> {
        self.calls.last().map(|call| format!("{} {}", call.name, call.summary))
    }

    /// Prints an entry.
    pub(crate) fn entry(&mut self, entry: &JournalEntry, run: &Run, screen: &mut Screen) -> Result<(), Failure> {
        self.start = self.start.or(run.start_time).or(entry.time);
        let at = self.clock(entry);
        // What a subagent does stands a step to the right.
        let at = if entry.parent_tool_use_id.is_empty() { at } else { format!("{at}   ") };
        match &entry.kind {
            Some(Kind::AgentStarted(started)) => {
                self.head(run, Some(started), screen)?;
                let text = format!("● agent   {} · {}", plain(&started.agent_version), purpose(started));
                self.line(&at, &screen.paint(Tint::Cyan, &text), screen)
            }
            Some(Kind::Text(text)) => {
                self.last_text.clone_from(&text.text);
                self.block(&at, &plain(text.text.trim_end()), None, screen)
            }
            Some(Kind::Thinking(thinking)) if !thinking.text.trim().is_empty() => {
                self.block(&at, &format!("∴ {}", plain(thinking.text.trim())), Some(Tint::Dim), screen)
            }
            Some(Kind::ToolCall(call)) => {
                self.calls.push(Call::new(call, at));
                Ok(())
            }
            Some(Kind::ToolResult(result)) => self.answered(result, screen),
            Some(Kind::Retry(retry)) => self.line(&at, &screen.paint(Tint::Yellow, &repeated(retry)), screen),
            Some(Kind::Notice(notice)) if notice.code() != NoticeCode::AttemptEnded => {
                self.line(&at, &screen.paint(Tint::Yellow, &format!("⚠ notice  {}", one_line(&notice.message))), screen)
            }
            Some(Kind::Stderr(stderr)) => self.block(&at, &format!("│ {}", plain(stderr.text.trim_end())), Some(Tint::Dim), screen),
            Some(Kind::Outcome(outcome)) => {
                self.head(run, None, screen)?;
                self.unanswered(screen, "✗ no answer")?;
                if !outcome.result_text.is_empty() && outcome.result_text != self.last_text && outcome.state() == RunState::Succeeded {
                    self.block(&at, &plain(outcome.result_text.trim_end()), None, screen)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Prints how the run ended.
    pub(crate) fn ended(&mut self, run: &Run, screen: &mut Screen) -> Result<(), Failure> {
        self.head(run, None, screen)?;
        let indent = self.indent;
        let warnings: Vec<String> = run.warnings().map(warning).collect();
        screen.line(format!("{indent}{}", ending(run, screen)))?;
        if let Some(failure) = &run.failure {
            for (mark, text) in [("  ", &failure.message), ("  → ", &failure.remedy)] {
                if !text.is_empty() {
                    screen.line(format!("{indent}{mark}{}", one_line(text)))?;
                }
            }
        }
        if warnings.is_empty() {
            Ok(())
        } else {
            screen.line(screen.paint(Tint::Yellow, &format!("{indent}⚠ {}", warnings.join(" · "))))
        }
    }

    /// Prints the calls that have no answer for a while, so that a reader without a progress line sees them.
    pub(crate) fn unanswered(&mut self, screen: &mut Screen, mark: &str) -> Result<(), Failure> {
        let indent = self.indent;
        for call in self.calls.iter_mut().filter(|call| !call.shown || mark.starts_with('✗')) {
            call.shown = true;
            call.print(indent, mark, screen)?;
        }
        if mark.starts_with('✗') {
            self.calls.clear();
        }
        Ok(())
    }

    fn answered(&mut self, result: &ToolResultEntry, screen: &mut Screen) -> Result<(), Failure> {
        let Some(at) = self.calls.iter().position(|call| call.id == result.tool_use_id) else { return Ok(()) };
        let call = self.calls.remove(at);
        let took = result.duration.as_ref().map(|duration| format!(" {}", span(wire_span(duration)))).unwrap_or_default();
        let mark =
            if result.is_error { screen.paint(Tint::Red, &format!("✗{took}")) } else { screen.paint(Tint::Green, &format!("✓{took}")) };
        call.print(self.indent, &mark, screen)?;
        if result.is_error {
            let text = cut(&one_line(&result.text), FAILED_TOOL_CHARS);
            screen.line(format!("{}      {}", self.indent, screen.paint(Tint::Dim, &format!("│ {text}"))))?;
        }
        Ok(())
    }

    /// Which run this is and how it got its memory; once.
    fn head(&mut self, run: &Run, started: Option<&AgentStartedEntry>, screen: &mut Screen) -> Result<(), Failure> {
        if self.headed {
            return Ok(());
        }
        self.headed = true;
        let mut parts = vec![memory(run)];
        if run.turn > 0 {
            parts.push(format!("turn {}", run.turn));
        }
        if let Some(started) = started {
            let flag = if started.purpose() == SpawnPurpose::Fresh { "--session-id" } else { "--resume" };
            parts.push(format!("claude {flag} {}", conversation(&plain(&started.agent_session_id))));
        }
        let waited = between(run.create_time.as_ref(), run.start_time.as_ref()).filter(|waited| *waited >= Duration::from_millis(500));
        let waited = waited.map(|waited| format!("(waited {}{})", span(waited), if self.quiet { " for more events" } else { "" }));
        let left = format!("{}{}  {}", self.indent, screen.paint(Tint::Bold, &named_id(&run.id)), parts.join(" · "));
        screen.split_line(&left, &screen.paint(Tint::Dim, &waited.unwrap_or_default()))
    }

    fn clock(&self, entry: &JournalEntry) -> String {
        let seconds = between(self.start.as_ref(), entry.time.as_ref()).unwrap_or_default().as_secs();
        match seconds {
            0..3600 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
            _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        }
    }

    fn line(&self, at: &str, text: &str, screen: &mut Screen) -> Result<(), Failure> {
        screen.line(format!("{}{} {text}", self.indent, screen.paint(Tint::Dim, at)))
    }

    /// A text that may have several lines.
    fn block(&self, at: &str, text: &str, tint: Option<Tint>, screen: &mut Screen) -> Result<(), Failure> {
        for (number, line) in text.lines().enumerate() {
            let painted = tint.map_or_else(|| line.to_owned(), |tint| screen.paint(tint, line));
            if number == 0 {
                self.line(at, &painted, screen)?;
            } else {
                screen.line(format!("{}{:width$} {painted}", self.indent, "", width = at.len()).trim_end())?;
            }
        }
        Ok(())
    }
}

impl Call {
    fn new(call: &ToolCallEntry, at: String) -> Self {
        let (name, summary) = (one_line(&call.name), one_line(&call.summary));
        // The server's line may begin with the tool's name.
        let summary = summary.strip_prefix(&name).map_or(summary.as_str(), str::trim_start).to_owned();
        Self { id: call.tool_use_id.clone(), name, summary, at, shown: false }
    }

    fn print(&self, indent: &str, mark: &str, screen: &mut Screen) -> Result<(), Failure> {
        let room = screen.width().min(100).saturating_sub(indent.len() + self.at.len() + 24).max(20);
        let left = format!(
            "{indent}{} ▸ {:<7} {}",
            screen.paint(Tint::Dim, &self.at),
            screen.paint(Tint::Bold, &self.name),
            cut(&self.summary, room)
        );
        screen.split_line(&left, mark)
    }
}

/// A state with its mark and colour.
pub(crate) fn state(state: RunState) -> (String, Option<Tint>) {
    let (mark, tint) = match state {
        RunState::Succeeded => ("✔", Some(Tint::Green)),
        RunState::Failed => ("✗", Some(Tint::Red)),
        RunState::Cancelled => ("■", Some(Tint::Dim)),
        RunState::Running | RunState::Cancelling => ("●", Some(Tint::Cyan)),
        RunState::Queued | RunState::Waiting => ("○", Some(Tint::Yellow)),
        RunState::Unspecified => ("?", None),
    };
    (format!("{mark} {}", word(state.as_str_name(), "RUN_STATE_")), tint)
}

/// How a run got its memory, in one word.
pub(crate) fn lineage(lineage: Lineage) -> String {
    word(lineage.as_str_name(), "LINEAGE_")
}

fn memory(run: &Run) -> String {
    match (run.lineage(), run.continued_from_run_id.as_str()) {
        (Lineage::Unspecified, _) => "not started".into(),
        (Lineage::Fresh, _) | (_, "") => lineage(run.lineage()),
        (kind, from) => format!("{} from {}", lineage(kind), named_id(from)),
    }
}

fn purpose(started: &AgentStartedEntry) -> String {
    let id = conversation(&plain(&started.agent_session_id));
    match started.purpose() {
        SpawnPurpose::Resume => format!("continued conversation {id}"),
        SpawnPurpose::Compact => format!("compacting conversation {id}"),
        _ => format!("new conversation {id}"),
    }
}

fn repeated(retry: &RetryEntry) -> String {
    let delay = retry.delay.as_ref().map(|delay| format!(" in {}", span(wire_span(delay)))).unwrap_or_default();
    let status = retry.api_status.map(|status| format!("{status} ")).unwrap_or_default();
    format!("↻ retry   {} of {}{delay} · {status}{}", retry.number, retry.max_count, one_line(&retry.error))
}

/// `✔ succeeded in 3.4 s · in 3 · cache written 19,293 · out 412 · $0.0904`.
pub(crate) fn ending(run: &Run, screen: &Screen) -> String {
    let (text, tint) = state(run.state());
    let took = between(run.start_time.as_ref(), run.end_time.as_ref());
    let joined = if run.state() == RunState::Succeeded { "in" } else { "after" };
    let mut parts = vec![took.map_or_else(|| text.clone(), |took| format!("{text} {joined} {}", span(took)))];
    if let Some(failure) = &run.failure {
        parts.push(word(failure.reason().as_str_name(), "FAILURE_REASON_").to_uppercase().replace(' ', "_"));
    }
    if run.attempt > 1 {
        parts.push(plural(run.attempt.into(), "attempt"));
    }
    if matches!(run.lineage(), Lineage::Restored | Lineage::Recovered | Lineage::Renewed) {
        parts.push(lineage(run.lineage()));
    }
    parts.extend(run.usage.as_ref().map(tokens).unwrap_or_default());
    let (first, rest) = (parts.remove(0), parts);
    let first = tint.map_or_else(|| first.clone(), |tint| screen.paint(tint, &first));
    std::iter::once(first).chain(rest).collect::<Vec<_>>().join(" · ")
}

fn tokens(usage: &Usage) -> Vec<String> {
    if usage.input_tokens + usage.output_tokens + usage.cache_read_tokens + usage.cache_write_tokens == 0 && usage.cost_usd == 0.0 {
        return Vec::new();
    }
    let mut parts = vec![format!("in {}", count(usage.input_tokens))];
    match (usage.cache_read_tokens, usage.cache_write_tokens) {
        (0, 0) => {}
        (0, written) => parts.push(format!("cache written {}", count(written))),
        (read, 0) => parts.push(format!("cache read {}", count(read))),
        (read, written) => parts.extend([format!("cache read {}", count(read)), format!("written {}", count(written))]),
    }
    parts.push(format!("out {}", count(usage.output_tokens)));
    parts.push(cost(Some(usage)));
    parts
}

fn warning(warning: RunWarning) -> String {
    match warning {
        RunWarning::CacheCold => "the prompt cache was gone, so the turn cost more".into(),
        RunWarning::ToolsDenied => "tools were denied by the profile".into(),
        RunWarning::NotSandboxed => "no sandbox".into(),
        other => word(other.as_str_name(), "RUN_WARNING_"),
    }
}

/// What a live run waits for or does, for the progress line.
pub(crate) fn progress(run: &Run, doing: Option<&str>, now: jiff::Timestamp) -> String {
    let since = |stamp: Option<&prost_types::Timestamp>| {
        let passed: Option<Duration> = time(stamp).and_then(|then| now.duration_since(then).try_into().ok());
        passed.map(|passed| format!(" {}", whole_span(passed))).unwrap_or_default()
    };
    match run.state() {
        RunState::Waiting => {
            let wait = run.wait.as_ref();
            let why = wait.map(|wait| one_line(&wait.message)).filter(|text| !text.is_empty());
            let left =
                wait.and_then(|wait| time(wait.until_time.as_ref())).and_then(|until| Duration::try_from(until.duration_since(now)).ok());
            let left = left.map(|left| format!(" · at most {} more", whole_span(left))).unwrap_or_default();
            format!("waiting{} · {}{left}", since(run.create_time.as_ref()), why.unwrap_or_else(|| "a rule holds it back".into()))
        }
        RunState::Queued if run.queue_position > 1 => {
            format!("queued{} · number {} of its thread", since(run.create_time.as_ref()), run.queue_position)
        }
        RunState::Queued => format!("queued{}", since(run.create_time.as_ref())),
        RunState::Cancelling => "being cancelled".into(),
        _ => {
            let spent = run.usage.as_ref().filter(|usage| usage.cost_usd > 0.0).map(|usage| format!(" · {}", money(usage.cost_usd)));
            let doing = doing.map(|text| format!(" · {}", one_line(text))).unwrap_or_default();
            format!("running{}{}{doing}", since(run.start_time.as_ref()), spent.unwrap_or_default())
        }
    }
}

/// A reason of failure as its name.
pub(crate) fn failure_name(reason: FailureReason) -> String {
    reason.as_str_name().trim_start_matches("FAILURE_REASON_").to_owned()
}

#[cfg(test)]
mod tests;
