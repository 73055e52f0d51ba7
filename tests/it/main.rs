//! The integration tests: the real binary on a real socket, with a real database and real child processes.

#![expect(clippy::disallowed_methods, reason = "a test waits for what it spawns")]

mod architecture;
mod cli;
mod contract;
mod crash;
mod dashboard;
mod failures;
mod hooks;
mod journal;
mod lists;
mod migrations;
mod real_claude;
mod sessions;
mod sign_in;
mod support;
mod threads;
mod usage;
mod watch;
