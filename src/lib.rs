//! Reprise: webhooks start Claude runs that remember.
//!
//! ```text
//! HTTP/gRPC → gateway → intake → [queue] ← runner → [journal] ← services → dashboard, clients
//! ```
//!
//! ARCHITECTURE.md is the map.

#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "a test waits for what it spawns"))]

pub mod access;
pub mod agent;
pub mod app;
pub mod changes;
pub mod cli;
pub mod config;
pub mod domain;
pub mod fail_point;
pub mod gateway;
pub mod intake;
pub mod journal;
pub mod layout;
pub mod metrics;
pub mod operator;
pub mod prompt;
pub mod proto;
pub mod queue;
pub mod rpc;
pub mod runner;
pub mod secrets;
pub mod server;
pub mod services;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod upkeep;
