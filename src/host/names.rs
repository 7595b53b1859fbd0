//! The names in a directory, read once to answer many questions.

use std::collections::HashSet;
use std::path::Path;

use super::paths::Root;
use super::repo::{each_entry, open_directory};

/// What a directory holds; `None` when it cannot be listed: then anything may be in it.
#[derive(Debug)]
pub(super) struct Names(Option<HashSet<Vec<u8>>>);

impl Names {
    /// Lists a directory below the root.
    pub(super) fn of(root: &Root, directory: &Path) -> Self {
        let Some(fd) = open_directory(&root.real(directory)) else { return Self(None) };
        let mut names = HashSet::new();
        each_entry(&fd, |name, _| {
            names.insert(name.to_owned());
        });
        Self(Some(names))
    }

    /// False only when the first part of `path`, which is relative to the directory, does not exist there.
    pub(super) fn may_hold(&self, path: &str) -> bool {
        let first = path.split('/').next().unwrap_or_default();
        self.0.as_ref().is_none_or(|names| names.contains(first.as_bytes()))
    }
}
