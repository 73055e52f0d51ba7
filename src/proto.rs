//! Generated code of `proto/reprise/v1` and its descriptor set, comments included.

#![expect(clippy::allow_attributes, clippy::large_enum_variant, clippy::too_many_lines, reason = "generated")]

/// Package `reprise.v1`.
pub mod v1 {
    tonic::include_proto!("reprise.v1");
}

/// The descriptor set, as reflection serves it.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reprise.v1.bin"));
