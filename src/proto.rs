//! Generated code of `proto/reprise/v1` and its descriptor set, comments included.

#![expect(unreachable_pub, missing_debug_implementations, clippy::too_many_lines, clippy::allow_attributes, reason = "generated")]

/// Package `reprise.v1`.
pub mod v1 {
    tonic::include_proto!("reprise.v1");
}

/// The descriptor set, as reflection serves it.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reprise.v1.bin"));
