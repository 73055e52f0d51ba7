//! stub
use crate::domain::{Result, SessionId, Workspace};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
#[derive(Debug, Clone)]
pub(super) struct Dirs {
    pub(super) cwd: PathBuf,
    pub(super) config_dir: PathBuf,
    pub(super) home: PathBuf,
    pub(super) tmp: PathBuf,
}
pub(super) fn prepare(_data_dir: &Path, _session: SessionId, _workspace: &Workspace, _named: &BTreeMap<String, PathBuf>) -> Result<Dirs> {
    todo!()
}
pub(super) fn clean_tmp(_dirs: &Dirs) {}
pub(super) fn copy_skill(_skills: &Path, _name: &str, _dirs: &Dirs) -> Result<String> {
    todo!()
}
pub(super) fn write_payload(_dirs: &Dirs, _d: crate::domain::DeliveryId, _b: &[u8]) -> Result<String> {
    todo!()
}
pub(super) fn forget(_d: &Path, _s: SessionId) {
    todo!()
}
