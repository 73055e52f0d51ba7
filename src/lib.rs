//! Reprise: webhooks start Claude runs that remember.
//!
//! ```text
//! HTTP/gRPC → gateway → intake → [queue] ← runner → [journal] ← services → dashboard, clients
//! ```
//!
//! ARCHITECTURE.md is the map.

pub mod agent;
pub mod cli;
pub mod domain;
pub mod gateway;
pub mod intake;
pub mod journal;
pub mod metrics;
pub mod prompt;
pub mod proto;
pub mod queue;
pub mod rpc;
pub mod runner;
pub mod secrets;
pub mod services;
pub mod settings;
pub mod store;
pub mod access;
pub mod telemetry;
pub mod upkeep;
