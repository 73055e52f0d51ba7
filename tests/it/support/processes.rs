//! Processes as the system has them: whatever a server says of its runs, this is what lives.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Processes of runs whose files are below `dir`.
pub(crate) fn of_runs(dir: &Path) -> Vec<i32> {
    marked(dir).into_keys().collect()
}

/// The same with their marks, which say of which worker and run they are.
pub(crate) fn marked(dir: &Path) -> BTreeMap<i32, String> {
    let here = dir.to_string_lossy().into_owned();
    let mark = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let environment = String::from_utf8_lossy(&environment);
        let mark = environment.split('\0').find_map(|variable| variable.strip_prefix("REPRISE_RUN="))?;
        environment.contains(&here).then(|| (pid, mark.to_owned()))
    };
    numbers().into_iter().filter_map(mark).collect()
}

/// Children of a process whose command line has this word.
pub(crate) fn children(of: i32, word: &str) -> Vec<i32> {
    let is_child = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|parent| parent.trim() == of.to_string()))
            && command.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
    };
    numbers().into_iter().filter(is_child).collect()
}

/// Fails unless no process of a run below `dir` is left in time.
pub(crate) async fn none_remains(dir: &Path, within: Duration) {
    let begin = Instant::now();
    loop {
        let left = of_runs(dir);
        if left.is_empty() {
            return;
        }
        assert!(begin.elapsed() < within, "{} processes of runs remain: {left:?}", left.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn numbers() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
