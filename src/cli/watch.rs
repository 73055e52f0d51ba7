//! `run watch`: a run's journal, live, across lost connections.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tonic::{Code, Status, Streaming};

use super::connection::Api;
use super::failure::{Exit, Failure};
use super::log::{Log, progress};
use super::plain::one_line;
use super::screen::Screen;
use crate::proto::v1::journal_entry::Kind;
use crate::proto::v1::watch_run_request::Position;
use crate::proto::v1::watch_run_response::Event;
use crate::proto::v1::{GetRunRequest, JournalEntry, Lineage, Run, RunState, WatchRunRequest, WatchRunResponse};

/// A silent stream is given up after this; the server sends a sign of life every ten seconds.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a lost server is looked for.
const PATIENCE: Duration = Duration::from_secs(300);
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// How a run is watched.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchOptions {
    /// Where to begin.
    pub(crate) position: Option<Position>,
    /// Print the agent's own lines.
    pub(crate) raw: bool,
    /// What every line begins with.
    pub(crate) indent: &'static str,
}

/// Watches a run until it has ended and gives it as it became.
pub(crate) async fn watch(api: &Api, run_id: &str, options: WatchOptions, screen: &mut Screen) -> Result<Run, Failure> {
    let mut watcher = Watcher {
        request: WatchRunRequest {
            run_id: run_id.to_owned(),
            position: options.position,
            include_raw: options.raw,
            include_partial: screen.is_live() && !options.raw,
        },
        log: Log::indented(options.indent),
        run: Run { id: run_id.to_owned(), ..Run::default() },
        writing: Writing::default(),
        frame: 0,
        raw: options.raw,
    };
    let mut lost: Option<Instant> = None;
    let mut pause = Duration::from_millis(250);
    loop {
        let before = watcher.request.position;
        match watcher.follow(api, &mut lost, screen).await {
            Ok(()) => break,
            Err(failure) if !is_passing(&failure) => return Err(failure),
            Err(failure) => {
                let since = *lost.get_or_insert_with(Instant::now);
                // A server that was never there is said at once.
                if watcher.run.state() == RunState::Unspecified || since.elapsed() > PATIENCE {
                    return Err(failure);
                }
                if watcher.request.position != before {
                    pause = Duration::from_millis(250);
                }
                screen.status("the connection was lost; looking for the server …")?;
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
    screen.status("")?;
    if !screen.is_json() && !options.raw {
        watcher.log.ended(&watcher.run, screen)?;
    }
    Ok(watcher.run)
}

/// The exit code for a run that has ended, none for one that has not.
pub(crate) fn exit_of(run: &Run) -> Option<Exit> {
    match run.state() {
        RunState::Succeeded => Some(Exit::Success),
        RunState::Failed => Some(Exit::RunFailed),
        RunState::Cancelled => Some(Exit::RunCancelled),
        _ => None,
    }
}

/// Watches a run from its beginning to its end; how it ended is how the command ends.
pub(crate) async fn watch_to_end(api: &Api, run_id: &str, screen: &mut Screen) -> Result<Exit, Failure> {
    Ok(exit_of(&watch(api, run_id, WatchOptions::default(), screen).await?).unwrap_or(Exit::Success))
}

fn is_passing(failure: &Failure) -> bool {
    let Failure::Rpc(status) = failure else { return false };
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded => true,
        // A connection that breaks in the middle of a stream has no code of its own.
        Code::Unknown | Code::Internal | Code::Cancelled => std::error::Error::source(status.as_ref()).is_some(),
        _ => false,
    }
}

struct Watcher {
    request: WatchRunRequest,
    log: Log,
    run: Run,
    writing: Writing,
    frame: usize,
    raw: bool,
}

/// The text that is being written.
#[derive(Default)]
struct Writing {
    block: String,
    text: String,
}

impl Watcher {
    /// One connection: until the run has ended, or the connection.
    async fn follow(&mut self, api: &Api, lost: &mut Option<Instant>, screen: &mut Screen) -> Result<(), Failure> {
        let mut stream = api.runs().watch_run(self.request.clone()).await?.into_inner();
        let mut tick = interval(Duration::from_millis(if screen.is_live() { 100 } else { 5_000 }));
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut deadline = Instant::now() + SILENCE;
        loop {
            tokio::select! {
                message = next(&mut stream, deadline) => match message? {
                    Some(message) => {
                        *lost = None;
                        deadline = Instant::now() + SILENCE;
                        self.know_memory(api, &message).await?;
                        self.take(message, screen)?;
                    }
                    None if exit_of(&self.run).is_some() => return Ok(()),
                    None => return Err(Status::unavailable("the stream ended before the run").into()),
                },
                _ = tick.tick(), if screen.is_live() => self.show_progress(screen)?,
            }
        }
    }

    /// The agent may be ready before the next snapshot says how it got its memory: then the run is read once.
    async fn know_memory(&mut self, api: &Api, message: &WatchRunResponse) -> Result<(), Failure> {
        let Some(Event::Entry(JournalEntry { kind: Some(Kind::AgentStarted(_)), .. })) = &message.event else { return Ok(()) };
        if self.run.lineage() == Lineage::Unspecified {
            let answer = api.runs().get_run(GetRunRequest { run_id: self.request.run_id.clone() }).await?.into_inner();
            self.run = answer.run.unwrap_or_default();
        }
        Ok(())
    }

    fn take(&mut self, message: WatchRunResponse, screen: &mut Screen) -> Result<(), Failure> {
        let shown = match &message.event {
            // A heartbeat says nothing to a program that reads lines.
            Some(Event::Heartbeat(_)) | None => false,
            _ => !self.raw && screen.stream_line(&message)?,
        };
        if let Some(Event::Entry(_)) = &message.event {
            self.request.position = Some(Position::AfterSequence(message.sequence));
        }
        match message.event {
            Some(Event::Run(run)) => {
                self.log.run(&run);
                self.run = run;
            }
            Some(Event::Entry(entry)) if self.raw && !entry.raw.is_empty() => screen.line(&entry.raw)?,
            Some(Event::Entry(entry)) if !shown && !self.raw => {
                self.writing = Writing::default();
                self.log.entry(&entry, &self.run, screen)?;
            }
            Some(Event::Delta(delta)) => self.writing.take(&delta.block_id, delta.offset, &delta.text),
            Some(Event::Heartbeat(_)) if !screen.is_live() && !screen.is_json() && !self.raw => self.log.unanswered(screen, "…")?,
            _ => {}
        }
        Ok(())
    }

    fn show_progress(&mut self, screen: &mut Screen) -> Result<(), Failure> {
        if exit_of(&self.run).is_some() {
            return screen.status("");
        }
        self.frame += 1;
        let doing = self.writing.tail().or_else(|| self.log.doing());
        let text = progress(&self.run, doing.as_deref(), Timestamp::now());
        screen.status(&format!("{}{} {text}", self.log.indent, SPINNER[self.frame % SPINNER.len()]))
    }
}

impl Writing {
    fn take(&mut self, block: &str, offset: i32, text: &str) {
        if self.block != block {
            *self = Self { block: block.to_owned(), text: String::new() };
        }
        let offset = usize::try_from(offset).unwrap_or(0);
        if let Some((at, _)) = self.text.char_indices().nth(offset) {
            self.text.truncate(at);
        }
        self.text.push_str(text);
    }

    /// The last words.
    fn tail(&self) -> Option<String> {
        let line = one_line(&self.text);
        let skip = line.chars().count().saturating_sub(60);
        (!line.is_empty()).then(|| line.chars().skip(skip).collect())
    }
}

async fn next(stream: &mut Streaming<WatchRunResponse>, deadline: Instant) -> Result<Option<WatchRunResponse>, Failure> {
    match timeout_at(deadline, stream.message()).await {
        Ok(message) => Ok(message?),
        Err(_) => Err(Status::unavailable("the server has been silent for 30 s").into()),
    }
}

#[cfg(test)]
mod tests;
