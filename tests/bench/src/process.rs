//! Child processes: the server, the limits; how much memory they hold.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A child that does not outlive its owner.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts it and waits until it has written its address into `address`.
    pub(crate) async fn start(mut command: Command, address: &Path, log: &Path) -> Result<(Self, String)> {
        let _gone = fs::remove_file(address);
        let log_file = fs::OpenOptions::new().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log_file.try_clone()?).stderr(log_file);
        let mut process = Self(command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            if let Ok(text) = fs::read_to_string(address)
                && !text.trim().is_empty()
            {
                return Ok((process, text.trim().to_owned()));
            }
            if let Some(status) = process.0.try_wait()? {
                bail!("{} ended with {status}:\n{}", command.get_program().display(), fs::read_to_string(log)?);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!("{} was not ready in 60 s:\n{}", command.get_program().display(), fs::read_to_string(log)?)
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory since [`Self::forget_peak`], in bytes.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Lets the peak begin anew.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5")?)
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// Processor time that it took so far, in seconds.
    pub(crate) fn processor_time(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // Behind the name, which may hold anything: in user mode and in the kernel, in hundredths of a second (proc(5)).
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>()).unwrap_or_default();
        let ticks = |place: usize| fields.get(place).and_then(|ticks| ticks.parse::<f64>().ok()).context("no time");
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that is another role of this program.
pub(crate) fn own_role(role: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role).env_remove("BENCH").env_remove("QUICK");
    Ok(command)
}
