//! Secrets at rest: sealed with XChaCha20-Poly1305 under a master key that lives outside the database.

use std::path::Path;
use std::sync::Arc;

use crate::domain::{Result, SecretId};

/// Seals and opens stored secrets. `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct Cipher {
    key: Arc<zeroize::Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// Reads the master key (`data_dir/master.key`, made with mode 0600 if it is missing; refused if others can read it).
    pub fn load(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }

    /// Seals a secret for this row.
    pub fn seal(&self, row: SecretId, secret: &[u8]) -> Result<Vec<u8>> {
        let _ = (&self.key, row, secret);
        todo!()
    }

    /// Opens a sealed secret of this row.
    pub fn open(&self, row: SecretId, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let _ = (row, sealed);
        todo!()
    }
}
