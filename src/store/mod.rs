//! The database: entities and queries. Domain values in, domain values out.
pub(crate) mod entity;
