//! A server as its users have it: the real binary, its own data directory, a free port.

pub(crate) mod claude;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod hook;
pub(crate) mod load;
pub(crate) mod model;
pub(crate) mod pooler;
pub(crate) mod postgres;
pub(crate) mod processes;
pub(crate) mod server;
pub(crate) mod wire;
