//! Reprise: webhooks start Claude runs that remember.
//!
//! ```text
//! HTTP/gRPC → gateway → intake → [queue] ← runner → [journal] ← services → dashboard, clients
//! ```
//!
//! ARCHITECTURE.md is the map.

pub mod domain;
pub mod queue;
mod store;
