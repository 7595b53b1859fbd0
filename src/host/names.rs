//! The names in a directory, read once to answer many questions.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::paths::Root;
use super::repo::{each_entry, open_directory};

/// What a directory holds.
#[derive(Debug)]
pub(super) struct Names {
    directory: PathBuf,
    /// `None` when the directory cannot be listed: then anything may be in it.
    names: Option<HashSet<OsString>>,
}

impl Names {
    /// Lists a directory below the root.
    pub(super) fn of(root: &Root, directory: &Path) -> Self {
        let names = match open_directory(&root.real(directory)) {
            Some(fd) => {
                let mut names = HashSet::new();
                each_entry(&fd, |name, _| {
                    names.insert(OsStr::from_bytes(name).to_owned());
                });
                Some(names)
            }
            None => None,
        };
        Self { directory: directory.to_owned(), names }
    }

    /// False only when `path` lies in the directory and its first part there does not exist.
    pub(super) fn may_hold(&self, path: &Path) -> bool {
        let (Ok(inside), Some(names)) = (path.strip_prefix(&self.directory), &self.names) else { return true };
        inside.components().next().is_none_or(|first| names.contains(first.as_os_str()))
    }
}
