//! The watchdog: a process beside the server that ends the server's agents when the server cannot.
//!
//! It holds the reading end of a pipe whose other end only the server has. However the server goes, the pipe closes. While
//! it lives it says until when its agents may live; a server that stands still, or lost its lease, says nothing more.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;

use super::fence::Clock;
use super::kill::{Mark, sweep};
use crate::domain::{Error, Result, WorkerId};

/// How long one look at the pipe takes at most: the clock of timers stands still while the machine sleeps.
const LOOK: u16 = 200;
/// How long a pet may take to be taken; a watchdog that does not take it is replaced.
const PATIENCE: Duration = Duration::from_secs(1);

/// The body of the watchdog process: waits for the end of `input`, then ends every process of `worker`'s runs. It ends
/// them before that whenever the time that it was last told is over. Returns how many there were.
pub fn run(mut input: impl Read + AsFd, worker: &str, clock: &str) -> usize {
    let (clock, mark) = (Clock::named(clock), [Mark::Worker(worker.to_owned())]);
    let (mut until, mut ended, mut told) = (i64::MAX, 0, Vec::new());
    let mut buffer = [0_u8; 256];
    loop {
        if readable(&input, LOOK) {
            match input.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => until = latest(&mut told, &buffer[..count]).unwrap_or(until),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // An error that is not a signal is an end as well.
                Err(_) => break,
            }
        }
        // What it was told in the last moment counts.
        if clock.now() >= until && !readable(&input, 0) {
            ended += sweep(&mark, None);
        }
    }
    ended + sweep(&mark, None)
}

/// Whether there is something to read within so many milliseconds, or nothing ever will be.
fn readable(input: &impl AsFd, within: u16) -> bool {
    let mut watched = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    match poll(&mut watched, PollTimeout::from(within)) {
        Ok(count) => count > 0,
        Err(Errno::EINTR) => false,
        // What cannot be watched is read, which tells.
        Err(_) => true,
    }
}

/// The last whole line that was told so far.
fn latest(told: &mut Vec<u8>, more: &[u8]) -> Option<i64> {
    told.extend_from_slice(more);
    let end = told.iter().rposition(|byte| *byte == b'\n')?;
    let line = told[..end].rsplit(|byte| *byte == b'\n').next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    told.drain(..=end);
    line
}

/// Ends every process that earlier boots of this installation left. Returns how many there were.
pub async fn sweep_older(workers: Vec<WorkerId>) -> usize {
    if workers.is_empty() {
        return 0;
    }
    let marks: Vec<Mark> = workers.iter().map(|worker| Mark::Worker(worker.to_string())).collect();
    tokio::task::spawn_blocking(move || sweep(&marks, None)).await.unwrap_or(0)
}

/// The watchdog as the server holds it. Dropping it lets the watchdog do its work and go.
#[derive(Debug)]
pub(super) struct Watchdog {
    exe: PathBuf,
    worker: WorkerId,
    clock: Clock,
    child: Box<dyn ChildWrapper>,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts `exe watchdog <worker> <clock>` in a session of its own, so that no signal of the server's terminal reaches it.
    pub(super) fn spawn(exe: &Path, worker: WorkerId, clock: Clock) -> Result<Self> {
        let mut command = CommandWrap::with_new(exe, |command| {
            command.arg("watchdog").arg(worker.to_string()).arg(clock.name()).env_clear().current_dir("/");
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        });
        let started = command.wrap(ProcessSession).spawn();
        let mut child =
            started.map_err(|error| Error::internal(format!("the watchdog `{}` did not start: {error}", exe.display())))?.into_inner();
        let pipe = child.stdin().take();
        Ok(Self { exe: exe.to_owned(), worker, clock, child, pipe })
    }

    /// Completes when the watchdog is gone, which it should not be while the server lives.
    pub(super) async fn gone(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Says until when agents may live. False: it does not listen.
    pub(super) async fn pet(&mut self, until: i64) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let line = format!("{until}\n");
        let written = async {
            pipe.write_all(line.as_bytes()).await?;
            pipe.flush().await
        };
        matches!(tokio::time::timeout(PATIENCE, written).await, Ok(Ok(())))
    }

    /// Another one in its place.
    pub(super) async fn replace(&mut self, until: i64) -> Result<()> {
        let fresh = Self::spawn(&self.exe, self.worker, self.clock)?;
        let mut old = std::mem::replace(self, fresh);
        // One that hangs must not sweep what the new one watches over.
        let _ = old.child.start_kill();
        let _ = tokio::time::timeout(PATIENCE, old.child.wait()).await;
        self.pet(until).await;
        Ok(())
    }

    /// Lets it do its work and waits until it is gone, for at most ten seconds.
    pub(super) async fn stop(mut self) {
        self.pipe.take();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Child, Command};

    use super::*;
    use crate::domain::RunId;
    use crate::runner::kill::MARK;

    fn sleeper(worker: WorkerId) -> Child {
        let mut command = Command::new("setsid");
        command.args(["--wait", "sleep", "4510"]).env(MARK, Mark::run(worker, RunId::new()).value());
        command.spawn().expect("setsid is there")
    }

    #[test]
    fn the_end_of_the_pipe_ends_this_boots_processes_only() {
        let (ours, theirs) = (WorkerId::new(), WorkerId::new());
        let (mut dies, mut lives) = (sleeper(ours), sleeper(theirs));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let watchdog = std::thread::spawn(move || run(reader, &ours.to_string(), "boot"));
        assert!(dies.try_wait().expect("a child").is_none());
        drop(writer);
        dies.wait().expect("a child");
        assert!(watchdog.join().expect("no panic") >= 1);
        assert!(lives.try_wait().expect("a child").is_none());
        assert!(sweep(&[Mark::Worker(theirs.to_string())], None) >= 1);
        lives.wait().expect("a child");
    }

    #[test]
    fn a_server_that_says_nothing_more_loses_its_processes() {
        let ours = WorkerId::new();
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        let mut tell = |millis: i64| writeln!(writer, "{}", Clock::Boot.now() + millis).expect("told");
        tell(60_000);
        let mut dies = sleeper(ours);
        let watchdog = std::thread::spawn(move || run(reader, &ours.to_string(), "boot"));
        std::thread::sleep(Duration::from_millis(2 * u64::from(LOOK)));
        assert!(dies.try_wait().expect("a child").is_none(), "within its time");
        tell(300);
        dies.wait().expect("a child");
        // It watches on: what a server that woke up late still starts is ended as well.
        let mut late = sleeper(ours);
        late.wait().expect("a child");
        tell(60_000);
        std::thread::sleep(Duration::from_millis(2 * u64::from(LOOK)));
        let mut again = sleeper(ours);
        std::thread::sleep(Duration::from_millis(2 * u64::from(LOOK)));
        assert!(again.try_wait().expect("a child").is_none(), "told anew");
        drop(writer);
        again.wait().expect("a child");
        assert!(watchdog.join().expect("no panic") >= 3);
    }

    #[test]
    fn a_line_counts_when_it_is_whole() {
        let mut told = Vec::new();
        assert_eq!(latest(&mut told, b"12"), None);
        assert_eq!(latest(&mut told, b"3\n45"), Some(123));
        assert_eq!(latest(&mut told, b"6\n7\n"), Some(7));
    }
}
