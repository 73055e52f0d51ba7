//! Where a session's agents live: directories under the data directory, made before a run and taken away with the session.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::domain::{DeliveryId, Error, Result, SessionId, Workspace};
use crate::layout::{agent_dir, session_dir};

/// What Reprise itself puts into a working directory.
const OWN_DIR: &str = ".reprise";
/// A payload file in a directory that many sessions share goes after this long.
const PAYLOAD_AGE: Duration = Duration::from_secs(30 * 86_400);
/// Most that the files of one skill may be.
const SKILL_FILES: usize = 1000;
const SKILL_BYTES: u64 = 64 * 1024 * 1024;

/// A session's directories, made and absolute.
#[derive(Debug, Clone)]
pub(super) struct Dirs {
    /// Where its agents work, as the system names it: links resolved, since the agent files conversations under this name.
    pub(super) cwd: PathBuf,
    /// The agent's own configuration and conversations.
    pub(super) config_dir: PathBuf,
    /// What the agent takes for a home directory.
    pub(super) home: PathBuf,
    /// Temporary files, gone after each run.
    pub(super) tmp: PathBuf,
}

fn places(data_dir: &Path, session: SessionId) -> [PathBuf; 2] {
    [agent_dir(data_dir, session), session_dir(data_dir, session)]
}

/// Makes a session's directories, for this user alone. `named` are the directories of the config. `data_dir` is told as
/// the system names it, since an agent files its conversations under the name of its working directory.
pub(super) fn prepare(data_dir: &Path, session: SessionId, workspace: &Workspace, named: &BTreeMap<String, PathBuf>) -> io::Result<Dirs> {
    let [config_dir, own] = places(data_dir, session);
    let [home, tmp, work] = ["home", "tmp", "work"].map(|name| own.join(name));
    for dir in [&config_dir, &own, &home, &tmp] {
        make(dir)?;
    }
    let cwd = match workspace {
        Workspace::Scratch => make(&work).map(|()| work)?,
        Workspace::Named(name) => {
            let dir = named.get(name).ok_or_else(|| io::Error::other(format!("the server's config has no workspace `{name}`")))?;
            let dir = named_error(dir, fs::canonicalize(dir))?;
            if !dir.is_dir() {
                return Err(io::Error::other(format!("`{}` is not a directory", dir.display())));
            }
            dir
        }
    };
    Ok(Dirs { cwd, config_dir, home, tmp })
}

/// A real directory for this user alone. One that an agent put a link in the place of is refused.
fn make(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    match builder.mode(0o700).create(dir) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => named_error(dir, builder.recursive(true).create(dir))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return named_error(dir, Err(error)),
    }
    if named_error(dir, fs::symlink_metadata(dir))?.is_dir() {
        Ok(())
    } else {
        Err(io::Error::other(format!("`{}` is a link and not a directory", dir.display())))
    }
}

fn named_error<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))
}

/// Empties the directory of temporary files. What cannot be removed stays until the session goes.
pub(super) fn clean_tmp(dirs: &Dirs) {
    if let Err(error) = remove_tree(&dirs.tmp).and_then(|()| make(&dirs.tmp)) {
        tracing::warn!(path = %dirs.tmp.display(), error = %error, "cannot empty the directory of temporary files");
    }
}

/// Takes away all that a session has on disk.
pub(super) fn remove(data_dir: &Path, session: SessionId) -> io::Result<()> {
    places(data_dir, session).iter().try_for_each(|dir| remove_tree(dir))
}

/// Removes a tree, without following links; directories that an agent locked are opened first.
fn remove_tree(dir: &Path) -> io::Result<()> {
    let removed = match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unlock(dir);
            fs::remove_dir_all(dir)
        }
        other => other,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => named_error(dir, other),
    }
}

fn unlock(dir: &Path) {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        _ = fs::set_permissions(&dir, Permissions::from_mode(0o700));
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        open.extend(entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
    }
}

/// Puts a delivery's payload into the working directory and gives its path there.
pub(super) fn write_payload(dirs: &Dirs, delivery: DeliveryId, body: &[u8]) -> Result<String> {
    let name = format!("{delivery}.json");
    let write = || {
        let dir = own_dir(&dirs.cwd)?;
        forget_old_payloads(&dir);
        write_whole(&dir, &name, body)
    };
    write().map_err(|error| Error::internal(format!("cannot write the payload file {name}: {error}")))?;
    Ok(format!("{OWN_DIR}/{name}"))
}

/// Our directory within the working directory; version control does not see it.
fn own_dir(cwd: &Path) -> io::Result<PathBuf> {
    let dir = cwd.join(OWN_DIR);
    match DirBuilder::new().mode(0o700).create(&dir) {
        Ok(()) => write_whole(&dir, ".gitignore", b"*\n")?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return named_error(&dir, Err(error)),
    }
    // A checkout may bring a link of this name, which would lead our writes elsewhere.
    if named_error(&dir, fs::symlink_metadata(&dir))?.is_dir() {
        Ok(dir)
    } else {
        Err(io::Error::other(format!("`{}` is not a directory", dir.display())))
    }
}

/// Readers see the whole file or none, and a link in its place is replaced instead of followed.
fn write_whole(dir: &Path, name: &str, body: &[u8]) -> io::Result<()> {
    let partial = dir.join(format!(".{name}.partial"));
    _ = fs::remove_file(&partial);
    named_error(&partial, fs::File::create_new(&partial).and_then(|mut file| io::Write::write_all(&mut file, body)))?;
    fs::rename(&partial, dir.join(name))
}

fn forget_old_payloads(dir: &Path) {
    let Some(oldest) = SystemTime::now().checked_sub(PAYLOAD_AGE) else { return };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(DeliveryId::PREFIX);
        if ours && entry.metadata().and_then(|about| about.modified()).is_ok_and(|time| time < oldest) {
            _ = fs::remove_file(entry.path());
        }
    }
}

/// The text of a skill; its other files are copied into the working directory, and the text then says where they are.
pub(super) fn copy_skill(skills: &Path, name: &str, dirs: &Dirs) -> Result<String> {
    let invalid = |problem: String| Error::field("action.skill.name", problem);
    if !matches!(Path::new(name).components().collect::<Vec<_>>()[..], [Component::Normal(only)] if only == name) || name.starts_with('.') {
        return Err(invalid(format!("is `{name}`; it must be the name of a directory")));
    }
    let source = skills.join(name);
    let body = fs::read_to_string(source.join("SKILL.md"))
        .map_err(|error| invalid(format!("names `{name}`, whose SKILL.md cannot be read: {error}")))?;
    let copy = || -> io::Result<usize> {
        let target = own_dir(&dirs.cwd)?.join("skills").join(name);
        remove_tree(&target)?;
        copy_files(&source, &target)
    };
    match copy() {
        Ok(0) => Ok(body),
        Ok(_) => Ok(format!("{}\n\nThe files of this skill are in `{OWN_DIR}/skills/{name}/`.\n", body.trim_end())),
        Err(error) => Err(Error::internal(format!("cannot copy the files of skill `{name}`: {error}"))),
    }
}

/// Copies all files but the skill's text, links left out, and gives their number.
fn copy_files(source: &Path, target: &Path) -> io::Result<usize> {
    let mut open = vec![(source.to_owned(), target.to_owned())];
    let (mut files, mut bytes) = (0, 0);
    while let Some((from, to)) = open.pop() {
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let about = entry.metadata()?;
            let next = to.join(entry.file_name());
            if about.is_dir() {
                open.push((entry.path(), next));
            } else if about.is_file() && !(from == source && entry.file_name() == "SKILL.md") {
                files += 1;
                bytes += about.len();
                if files > SKILL_FILES || bytes > SKILL_BYTES {
                    return Err(io::Error::other(format!("it has more than {SKILL_FILES} files or {SKILL_BYTES} bytes")));
                }
                DirBuilder::new().recursive(true).mode(0o700).create(&to)?;
                fs::copy(entry.path(), next)?;
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn scratch() -> (tempfile::TempDir, SessionId, Dirs) {
        let data = tempfile::tempdir().expect("a directory");
        let session = SessionId::new();
        let dirs = prepare(&data.path().join("data"), session, &Workspace::Scratch, &BTreeMap::new()).expect("prepared");
        (data, session, dirs)
    }

    #[test]
    fn a_scratch_session_has_directories_of_its_own_and_leaves_none() {
        let (data, session, dirs) = scratch();
        let data_dir = data.path().join("data");
        for dir in [&dirs.cwd, &dirs.config_dir, &dirs.home, &dirs.tmp] {
            assert!(dir.is_absolute() && *dir == dir.canonicalize().expect("there"));
            assert_eq!(fs::metadata(dir).expect("there").permissions().mode() & 0o777, 0o700, "{}", dir.display());
        }
        assert!(dirs.config_dir.ends_with(format!("data/agent/{session}")));
        fs::write(dirs.cwd.join("a"), "12345").expect("written");
        fs::write(dirs.config_dir.join("b"), "123").expect("written");
        symlink("/etc", dirs.cwd.join("link")).expect("linked");
        fs::write(dirs.tmp.join("t"), "x").expect("written");
        clean_tmp(&dirs);
        assert_eq!(fs::read_dir(&dirs.tmp).expect("still there").count(), 0);
        fs::set_permissions(&dirs.cwd, Permissions::from_mode(0o000)).expect("locked");
        remove(&data_dir, session).expect("removed");
        assert_eq!((dirs.cwd.exists(), dirs.config_dir.exists(), Path::new("/etc").exists()), (false, false, true));
        remove(&data_dir, session).expect("again");
    }

    #[test]
    fn a_named_workspace_is_the_directory_of_the_config_and_outlives_the_session() {
        let data = tempfile::tempdir().expect("a directory");
        let checkout = tempfile::tempdir().expect("a directory");
        symlink(checkout.path(), data.path().join("link")).expect("linked");
        let named = BTreeMap::from([("shop".to_owned(), data.path().join("link")), ("gone".to_owned(), data.path().join("gone"))]);
        let with = |name: &str| prepare(data.path(), SessionId::new(), &Workspace::Named(name.to_owned()), &named);
        assert_eq!(with("shop").expect("prepared").cwd, checkout.path().canonicalize().expect("there"));
        assert!(with("other").expect_err("unknown").to_string().contains("no workspace `other`"));
        assert!(with("gone").expect_err("missing").to_string().contains("/gone`"));
    }

    #[test]
    fn a_link_in_the_place_of_a_directory_is_refused() {
        let (data, session, dirs) = scratch();
        fs::remove_dir(&dirs.cwd).expect("removed");
        symlink("/etc", &dirs.cwd).expect("linked");
        assert!(prepare(&data.path().join("data"), session, &Workspace::Scratch, &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_payload_is_a_file_that_version_control_does_not_see() {
        let (_data, _, dirs) = scratch();
        let delivery = DeliveryId::new();
        let path = write_payload(&dirs, delivery, b"{}").expect("written");
        assert_eq!(path, format!(".reprise/{delivery}.json"));
        assert_eq!(fs::read(dirs.cwd.join(&path)).expect("there"), b"{}");
        assert_eq!(fs::read(dirs.cwd.join(".reprise/.gitignore")).expect("there"), b"*\n");
        // A link of that name is replaced, not followed.
        let outside = dirs.home.join("outside");
        fs::write(&outside, "keep").expect("written");
        fs::remove_file(dirs.cwd.join(&path)).expect("removed");
        symlink(&outside, dirs.cwd.join(&path)).expect("linked");
        write_payload(&dirs, delivery, b"[]").expect("written");
        assert_eq!(
            (fs::read(&outside).expect("there"), fs::read(dirs.cwd.join(&path)).expect("there")),
            (b"keep".to_vec(), b"[]".to_vec())
        );
        fs::remove_dir_all(dirs.cwd.join(OWN_DIR)).expect("removed");
        symlink(&dirs.home, dirs.cwd.join(OWN_DIR)).expect("linked");
        assert!(write_payload(&dirs, delivery, b"{}").is_err());
    }

    #[test]
    fn a_skill_brings_its_files_and_says_where_they_are() {
        let (_data, _, dirs) = scratch();
        let skills = tempfile::tempdir().expect("a directory");
        let dir = skills.path().join("greet");
        fs::create_dir_all(dir.join("scripts")).expect("made");
        fs::write(dir.join("SKILL.md"), "Greet $ARGUMENTS.\n").expect("written");
        assert_eq!(copy_skill(skills.path(), "greet", &dirs).expect("read"), "Greet $ARGUMENTS.\n");
        fs::write(dir.join("scripts/run.sh"), "echo hi").expect("written");
        symlink("/etc/passwd", dir.join("secret")).expect("linked");
        let body = copy_skill(skills.path(), "greet", &dirs).expect("read");
        assert_eq!(body, "Greet $ARGUMENTS.\n\nThe files of this skill are in `.reprise/skills/greet/`.\n");
        let copied = dirs.cwd.join(".reprise/skills/greet");
        assert_eq!(fs::read(copied.join("scripts/run.sh")).expect("there"), b"echo hi");
        assert!(!copied.join("secret").exists() && !copied.join("SKILL.md").exists());
        for name in ["../greet", "greet/scripts", "", ".", "nosuch", "/etc"] {
            assert!(matches!(copy_skill(skills.path(), name, &dirs), Err(Error::FieldInvalid(_))), "{name}");
        }
    }
}
