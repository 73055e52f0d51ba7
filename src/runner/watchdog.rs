//! The watchdog: a process beside the server that ends the server's agents when the server dies.
//!
//! It holds the reading end of a pipe whose other end only the server has. However the server goes, the pipe closes.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, ProcessSession};
use tokio::process::ChildStdin;

use super::kill::{Mark, sweep};
use crate::domain::{Error, Result, WorkerId};

/// The body of the watchdog process: waits for the end of `input`, then ends every process of `worker`'s runs.
/// Returns how many there were.
pub fn run(mut input: impl Read, worker: &str) -> usize {
    let mut buffer = [0_u8; 64];
    // Whatever comes is of no meaning: only the end counts. An error that is not a signal is an end as well.
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    sweep(&[Mark::Worker(worker.to_owned())], None)
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
pub struct Watchdog {
    child: Box<dyn ChildWrapper>,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Starts `exe watchdog <worker>` in a session of its own, so that no signal of the server's terminal reaches it.
    pub fn spawn(exe: &Path, worker: WorkerId) -> Result<Self> {
        let mut command = CommandWrap::with_new(exe, |command| {
            command.arg("watchdog").arg(worker.to_string()).env_clear().current_dir("/");
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        });
        let started = command.wrap(ProcessSession).spawn();
        let mut child =
            started.map_err(|error| Error::internal(format!("the watchdog `{}` did not start: {error}", exe.display())))?.into_inner();
        let pipe = child.stdin().take();
        Ok(Self { child, pipe })
    }

    /// Completes when the watchdog is gone, which it should not be while the server lives.
    pub async fn gone(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Lets it do its work and waits until it is gone, for at most ten seconds.
    pub async fn stop(mut self) {
        self.pipe.take();
        let _ = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::domain::RunId;
    use crate::runner::kill::MARK;

    #[test]
    fn the_end_of_the_pipe_ends_this_boots_processes_only() {
        let (ours, theirs) = (WorkerId::new(), WorkerId::new());
        let start = |worker: WorkerId| {
            let mut command = Command::new("setsid");
            command.args(["--wait", "sleep", "4510"]).env(MARK, Mark::run(worker, RunId::new()).value());
            command.spawn().expect("setsid is there")
        };
        let (mut dies, mut lives) = (start(ours), start(theirs));
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let watchdog = std::thread::spawn(move || run(reader, &ours.to_string()));
        assert!(dies.try_wait().expect("a child").is_none());
        drop(writer);
        dies.wait().expect("a child");
        assert!(watchdog.join().expect("no panic") >= 1);
        assert!(lives.try_wait().expect("a child").is_none());
        assert!(sweep(&[Mark::Worker(theirs.to_string())], None) >= 1);
        lives.wait().expect("a child");
    }
}
