//! What one server holds for itself: its data directory, and a database file that no other process may open beside it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};

use crate::config::Config;
use crate::domain::{Error, Result};

/// Where Linux says which boot of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What one server holds for itself, as long as this lives.
#[derive(Debug)]
pub struct Locks {
    data_dir: Flock<File>,
    _database: Option<Flock<File>>,
}

/// Makes the data directory, for its owner only.
///
/// # Errors
/// It cannot be made; the message names it.
pub fn make_data_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::field("data_dir", format!("{}: {error}", path.display())))
}

impl Locks {
    /// Takes the data directory for this process, and the file of an SQLite database: two servers on one of them would
    /// take each other's live runs for dead.
    ///
    /// # Errors
    /// Another server has one of them.
    pub fn take(config: &Config) -> Result<Self> {
        let data_dir = lock("data_dir", &config.data_dir.join("lock"), &config.data_dir)?;
        let database = config.database.file(&config.data_dir).map(|file| {
            let mut name = file.clone().into_os_string();
            name.push(".lock");
            lock("database.url", &PathBuf::from(name), &file)
        });
        Ok(Self { data_dir, _database: database.transpose()? })
    }

    /// What no other living process can hold: this lock, on this boot of this machine.
    #[must_use]
    pub fn place(&self) -> String {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        let place = self.data_dir.metadata().map(|about| format!("{}:{}:{}", boot.trim(), about.dev(), about.ino()));
        // Without one, nobody is taken for dead before the end of its lease.
        place.ok().filter(|_| !boot.is_empty()).unwrap_or_default()
    }
}

/// How often a lock is asked for again: a server that was killed holds it until the last process that it was about to start has
/// its own program.
const TRIES: u32 = 40;
const AGAIN: Duration = Duration::from_millis(50);

fn lock(field: &str, path: &Path, what: &Path) -> Result<Flock<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.map_err(|error| Error::field(field, format!("{}: {error}", path.display())))?;
    let mut asked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    for _ in 0..TRIES {
        let Err((file, _)) = asked else { break };
        std::thread::sleep(AGAIN);
        asked = Flock::lock(file, FlockArg::LockExclusiveNonblock);
    }
    asked.map_err(|_| {
        let hint = "; several servers share a PostgreSQL database, each with a data_dir of its own";
        Error::field(field, format!("{} is in use by another server{hint}", what.display()))
    })
}
