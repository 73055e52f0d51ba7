//! The integration tests: the real binary on a real socket, with a real database and real child processes.

#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod architecture;
mod cli;
mod contract;
mod crash;
mod dashboard;
mod engine_clocks;
mod engine_drain;
mod engine_limits;
mod engine_poolers;
mod engine_replicas;
mod engine_spools;
mod engine_takeover;
mod engine_upgrades;
mod explain;
mod failures;
mod forks;
mod hooks;
mod journal;
mod keys;
mod lists;
mod migrations;
mod once;
mod real_claude;
mod replays;
mod sessions;
mod sign_in;
mod support;
mod threads;
mod torture;
mod trials;
mod usage;
mod watch;
