//! The end of processes: every process of a run, wherever it hid.
//!
//! An agent's tools run in sessions of their own and outlive a plain kill. But whatever they start inherits the
//! environment, so the mark in it finds them, and children that dropped it are found by their parents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgrp};

use crate::domain::{RunId, WorkerId};

/// The environment variable that marks every process of a run.
pub(super) const MARK: &str = "REPRISE_RUN";

const PAUSE: Duration = Duration::from_millis(10);
const MAX_PASSES: usize = 500;

/// What a process must bear to be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// All runs of one boot of one server.
    Worker(String),
    /// One run.
    Run(String),
}

impl Mark {
    /// The mark of one run under one boot.
    #[must_use]
    pub(super) fn run(worker: WorkerId, run: RunId) -> Self {
        Self::Run(format!("{worker}.{run}"))
    }

    /// The variable's value in the environment of such processes.
    #[must_use]
    pub(super) fn value(&self) -> &str {
        let (Self::Worker(value) | Self::Run(value)) = self;
        value
    }

    fn is_in(&self, environment: &[u8]) -> bool {
        environment.split(|byte| *byte == 0).filter_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=")).any(
            |value| match self {
                Self::Run(run) => value == run.as_bytes(),
                Self::Worker(worker) => value.strip_prefix(worker.as_bytes()).is_some_and(|rest| rest.first() == Some(&b'.')),
            },
        )
    }
}

/// Asks a process to stop; one that is gone is fine.
pub(super) fn interrupt(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
}

/// Kills everything that bears one of the marks, and below `root` if it is given, groups and descendants included, until
/// two looks find nothing. Returns how many were found beside `root`. Blocks for as long as that takes.
///
/// `root` must not be reaped yet: the number of a reaped process may be somebody else's.
#[must_use]
pub(super) fn sweep(marks: &[Mark], root: Option<i32>) -> usize {
    let own_group = getpgrp().as_raw();
    // Identity is number and start: a number alone may be given again between two looks.
    let mut known: BTreeSet<(i32, u64)> = BTreeSet::new();
    let mut clean = 0;
    for _ in 0..MAX_PASSES {
        let table = Table::read();
        known.extend(root.into_iter().filter_map(|pid| table.identity(pid)));
        known.extend(table.marked(marks));
        known.extend(table.below(&known));
        let living: Vec<&Process> = known.iter().filter_map(|identity| table.living(*identity)).collect();
        for process in &living {
            if process.group > 1 && process.group != own_group {
                let _ = killpg(Pid::from_raw(process.group), Signal::SIGKILL);
            }
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        clean = if living.is_empty() { clean + 1 } else { 0 };
        if clean == 2 {
            break;
        }
        std::thread::sleep(if living.is_empty() { Duration::from_millis(1) } else { PAUSE });
    }
    known.iter().filter(|(pid, _)| Some(*pid) != root).count()
}

struct Process {
    pid: i32,
    parent: i32,
    group: i32,
    start: u64,
    zombie: bool,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold blanks and brackets; what follows its last bracket does not.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |place: usize| fields.get(place)?.parse::<i32>().ok();
        Some(Self {
            pid,
            parent: number(1)?,
            group: number(2)?,
            start: fields.get(19)?.parse().ok()?,
            zombie: matches!(*fields.first()?, "Z" | "X"),
        })
    }
}

/// All processes at one moment.
struct Table(BTreeMap<i32, Process>);

impl Table {
    fn read() -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        Self(numbers.filter(|pid| *pid > 1 && *pid != own).filter_map(|pid| Some((pid, Process::read(pid)?))).collect())
    }

    fn identity(&self, pid: i32) -> Option<(i32, u64)> {
        self.0.get(&pid).map(|process| (pid, process.start))
    }

    fn living(&self, (pid, start): (i32, u64)) -> Option<&Process> {
        self.0.get(&pid).filter(|process| process.start == start && !process.zombie)
    }

    fn marked(&self, marks: &[Mark]) -> Vec<(i32, u64)> {
        let bears = |pid: i32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            marks.iter().any(|mark| mark.is_in(&environment))
        };
        self.0.values().filter(|process| !process.zombie && bears(process.pid)).map(|process| (process.pid, process.start)).collect()
    }

    /// Every descendant of these, to any depth.
    fn below(&self, roots: &BTreeSet<(i32, u64)>) -> BTreeSet<(i32, u64)> {
        let mut found = BTreeSet::new();
        let mut open: Vec<i32> =
            roots.iter().filter(|identity| self.identity(identity.0) == Some(**identity)).map(|(pid, _)| *pid).collect();
        while let Some(parent) = open.pop() {
            for child in self.0.values().filter(|process| process.parent == parent) {
                if found.insert((child.pid, child.start)) {
                    open.push(child.pid);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn shell(mark: &Mark, script: &str) -> Child {
        Command::new("setsid")
            .args(["--wait", "sh", "-c", script])
            .env(MARK, mark.value())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("setsid and sh are there")
    }

    fn sleepers(seconds: &str) -> usize {
        let line = format!("sleep\0{seconds}\0");
        Table::read()
            .0
            .values()
            .filter(|process| {
                !process.zombie && std::fs::read_to_string(format!("/proc/{}/cmdline", process.pid)).is_ok_and(|text| text == line)
            })
            .count()
    }

    fn wait_for(seconds: &str, count: usize) {
        while sleepers(seconds) != count {
            std::thread::sleep(PAUSE);
        }
    }

    #[test]
    fn a_mark_is_the_whole_run_or_the_worker_before_the_dot() {
        let (worker, run) = (WorkerId::new(), RunId::new());
        let mark = Mark::run(worker, run);
        let environment = format!("PATH=/bin\0{MARK}={}\0X=1\0", mark.value());
        assert!(mark.is_in(environment.as_bytes()));
        assert!(Mark::Worker(worker.to_string()).is_in(environment.as_bytes()));
        assert!(!Mark::run(worker, RunId::new()).is_in(environment.as_bytes()));
        assert!(!Mark::Worker(worker.to_string()[..20].to_owned()).is_in(environment.as_bytes()));
        assert!(!mark.is_in(format!("NOT_{MARK}={}", mark.value()).as_bytes()));
    }

    #[test]
    fn a_sweep_finds_other_sessions_and_children_without_the_mark_and_spares_other_runs() {
        let worker = WorkerId::new();
        let (mark, other) = (Mark::run(worker, RunId::new()), Mark::run(worker, RunId::new()));
        // In its own session; ignoring polite signals; without the mark but with a marked parent.
        let mut child = shell(&mark, "setsid sleep 4501 & (trap '' TERM INT; sleep 4501) & env -i sleep 4501 & sleep 4501");
        let mut spared = shell(&other, "sleep 4502");
        wait_for("4501", 4);
        wait_for("4502", 1);
        assert!(sweep(std::slice::from_ref(&mark), None) >= 5);
        wait_for("4501", 0);
        assert_eq!(sleepers("4502"), 1);
        assert_eq!(sweep(std::slice::from_ref(&mark), None), 0);
        let _ = sweep(&[Mark::Worker(worker.to_string())], None);
        wait_for("4502", 0);
        child.wait().expect("reaped");
        spared.wait().expect("reaped");
    }

    #[test]
    fn a_root_goes_with_all_that_is_below_it() {
        let unrelated = Mark::run(WorkerId::new(), RunId::new());
        let mut child = Command::new("setsid").args(["--wait", "sh", "-c", "setsid sleep 4503 & sleep 4503"]).spawn().expect("spawned");
        wait_for("4503", 2);
        let root = i32::try_from(child.id()).expect("a pid");
        assert!(sweep(&[unrelated], Some(root)) >= 2);
        wait_for("4503", 0);
        child.wait().expect("reaped");
    }
}
