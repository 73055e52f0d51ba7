//! The test double's own journal: what really started and ended, whatever the database says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

/// One process of the test double.
#[derive(Debug, Clone)]
pub(crate) struct Spawn {
    pub(crate) start_us: i64,
    /// None: it was killed.
    pub(crate) end_us: Option<i64>,
    /// When it was last seen alive, where the double ticks.
    pub(crate) alive_us: i64,
    pub(crate) session: String,
    /// `REPRISE_RUN`: boot and run.
    pub(crate) mark: String,
    pub(crate) argv: Vec<String>,
    pub(crate) prompt: String,
    /// Where it ran.
    pub(crate) cwd: String,
}

impl Spawn {
    /// The run it belonged to.
    pub(crate) fn run_id(&self) -> &str {
        self.mark.rsplit('.').next().unwrap_or_default()
    }

    /// Whether it was told to resume.
    pub(crate) fn resumed(&self) -> bool {
        self.argv.iter().any(|argument| argument == "--resume")
    }
}

/// Every process so far, in order of their starts.
pub(crate) fn spawns(journal: &Path) -> Vec<Spawn> {
    let mut open: BTreeMap<i64, usize> = BTreeMap::new();
    let mut spawns: Vec<Spawn> = Vec::new();
    for line in fs::read_to_string(journal).unwrap_or_default().lines() {
        let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
        let pid = entry["pid"].as_i64().unwrap_or_default();
        match entry["event"].as_str() {
            Some("start") => {
                open.insert(pid, spawns.len());
                spawns.push(Spawn {
                    start_us: entry["time_us"].as_i64().unwrap_or_default(),
                    end_us: None,
                    alive_us: entry["time_us"].as_i64().unwrap_or_default(),
                    session: entry["session"].as_str().unwrap_or_default().to_owned(),
                    mark: entry["run"].as_str().unwrap_or_default().to_owned(),
                    argv: entry["argv"].as_array().into_iter().flatten().filter_map(|a| a.as_str().map(str::to_owned)).collect(),
                    prompt: entry["prompt"].as_str().unwrap_or_default().to_owned(),
                    cwd: entry["cwd"].as_str().unwrap_or_default().to_owned(),
                });
            }
            Some("end") => {
                if let Some(spawn) = open.remove(&pid).and_then(|at| spawns.get_mut(at)) {
                    spawn.end_us = entry["time_us"].as_i64();
                }
            }
            Some("alive") => {
                if let Some(spawn) = open.get(&pid).and_then(|at| spawns.get_mut(*at)) {
                    spawn.alive_us = entry["time_us"].as_i64().unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    spawns
}
