//! The runner: claims runs and works on them, each as an agent process that is watched to its end.

mod config;
mod kill;
mod lines;
mod process;
mod metering;
mod outcome;
mod pump;
mod version;
mod watch;
pub mod watchdog;

pub use config::{ClaudeConfig, Config, Setup};
pub use version::{Found, OLDEST_CLAUDE, Probe};
