//! Secrets at rest: sealed with XChaCha20-Poly1305 under a master key that lives outside the database.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::domain::{Error, Result, SecretId};

/// What a sealed secret begins with, so that another cipher can follow one day.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens stored secrets. `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct Cipher {
    key: Arc<Zeroizing<[u8; 32]>>,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

impl Cipher {
    /// Reads the master key (`data_dir/master.key`, made with mode 0600 if it is missing; refused if others can read it).
    pub fn load(path: &Path) -> Result<Self> {
        let trouble = |e: io::Error| Error::internal(format!("master key `{}`: {e}", path.display()));
        if !path.try_exists().map_err(trouble)? {
            create(path).map_err(trouble)?;
        }
        read(path).map(|key| Self { key: Arc::new(key) }).map_err(trouble)
    }

    /// Tells one key from another, and nothing else of it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update(b"reprise master key\0").chain_update(self.key.as_slice()).finalize();
        hex::encode(&digest[..16])
    }

    /// Seals a secret for this row.
    pub fn seal(&self, row: SecretId, secret: &[u8]) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        let payload = Payload { msg: secret, aad: row.0.as_bytes() };
        let body = self.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::internal("a secret cannot be sealed"))?;
        Ok([&[VERSION][..], &nonce, &body].concat())
    }

    /// Opens a sealed secret of this row.
    pub fn open(&self, row: SecretId, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let broken = || Error::internal(format!("secret `{row}` cannot be opened; is `master.key` the one it was sealed with?"));
        let (head, body) = sealed.split_at_checked(1 + NONCE_BYTES).ok_or_else(broken)?;
        let nonce: [u8; NONCE_BYTES] = head[1..].try_into().map_err(|_| broken())?;
        if head[0] != VERSION {
            return Err(broken());
        }
        let payload = Payload { msg: body, aad: row.0.as_bytes() };
        self.cipher().decrypt(&XNonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| broken())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&**self.key).into())
    }
}

/// Writes a new key beside its place and links it there: nobody ever sees half a key, and of two servers that start at
/// once one key wins.
fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut key = Zeroizing::new([0_u8; 32]);
    getrandom::fill(key.as_mut_slice()).map_err(io::Error::other)?;
    let draft = path.with_extension(format!("{}.draft", uuid::Uuid::now_v7().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = file.write_all(Zeroizing::new(hex::encode(key.as_slice()) + "\n").as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&draft)?;
    linked?;
    File::open(folder)?.sync_all()
}

fn read(path: &Path) -> io::Result<Zeroizing<[u8; 32]>> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("others can read it (mode {:o}); run `chmod 600` on it", mode & 0o777),
        ));
    }
    let mut text = Zeroizing::new(String::with_capacity(128));
    (&file).take(128).read_to_string(&mut text)?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim_end(), key.as_mut_slice())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not a key of 64 hexadecimal digits"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_opens_only_for_its_row_and_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/master.key");
        let cipher = Cipher::load(&path).unwrap();
        let row = SecretId::new();
        let sealed = cipher.seal(row, b"whsec_hello").unwrap();
        assert!(!sealed.windows(5).any(|w| w == b"hello"));
        assert_ne!(sealed, cipher.seal(row, b"whsec_hello").unwrap(), "each sealing has a nonce of its own");

        assert_eq!(Cipher::load(&path).unwrap().open(row, &sealed).unwrap().as_slice(), b"whsec_hello", "after a restart");
        assert!(cipher.open(SecretId::new(), &sealed).is_err(), "moved to another row");
        for place in [0, 1, 25, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(cipher.open(row, &changed).is_err(), "byte {place} changed");
        }
        assert!(cipher.open(row, &sealed[..20]).is_err(), "cut");
        assert!(!format!("{cipher:?}").contains(&hex::encode(cipher.key.as_slice())));
    }

    #[test]
    fn another_key_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Cipher::load(&folder.path().join("a")).unwrap(), Cipher::load(&folder.path().join("b")).unwrap());
        let row = SecretId::new();
        assert!(two.open(row, &one.seal(row, b"s").unwrap()).is_err());
        assert_ne!(one.fingerprint(), two.fingerprint());
        assert_eq!(one.fingerprint(), Cipher::load(&folder.path().join("a")).unwrap().fingerprint());
    }

    #[test]
    fn the_key_is_private_and_a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        Cipher::load(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no draft stays behind");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = Cipher::load(&path).unwrap_err().to_string();
        assert!(refusal.contains("640") && refusal.contains("chmod 600"), "{refusal}");
    }

    #[test]
    fn a_broken_key_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        Cipher::load(&path).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(Cipher::load(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    }
}
