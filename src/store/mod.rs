//! The database: entities and queries. Domain values in, domain values out.

pub(crate) mod chunk;
pub(crate) mod entity;

use std::path::PathBuf;

use sea_orm::{DatabaseConnection, DatabaseTransaction};

use crate::domain::Result;

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:PATH` (relative to the data directory), or `postgres://…`.
    pub url: String,
}

/// The database: one writer (SQLite) beside a pool of readers.
#[derive(Debug, Clone)]
pub struct Store {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

impl Store {
    /// Opens the database, makes it if it is missing (SQLite), and checks its version and durability.
    pub async fn open(config: &Config, data_dir: &PathBuf) -> Result<Self> {
        let _ = (config, data_dir);
        todo!()
    }

    /// Brings the schema up to date.
    pub async fn migrate(&self) -> Result<()> {
        todo!()
    }

    /// For queries.
    pub(crate) fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// A write transaction (`BEGIN IMMEDIATE` on SQLite). Never begin another while holding one.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction> {
        let _ = &self.writer;
        todo!()
    }
}
