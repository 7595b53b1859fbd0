//! What lies beside a path that is to be hidden: Landlock's rules only add rights, so where a directory may be read and
//! something in it may not, its other entries are named one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::Facts;
use super::paths::{FileId, PathFact, Root};
use super::repo::{each_entry, open_directory};
use crate::policy::paths::{Access, lies_in};

/// With more entries than this a directory is not taken apart: each is a rule, and a look before it.
pub const MOST: usize = 4096;

/// What was found in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Its entries but for symbolic links, sorted: what a link leads to has rules of its own.
    Entries(Vec<OsString>),
    /// More than [`MOST`].
    TooMany,
    /// The caller may not list it.
    Closed,
}

/// Directories that hold something that is to be hidden.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listings {
    /// By canonical path.
    pub directories: BTreeMap<PathBuf, Listing>,
    /// Identities of these directories and of what may be to be hidden in them.
    pub identities: BTreeMap<PathBuf, FileId>,
}

/// Lists every directory above the paths, which are canonical, and `/`.
#[must_use]
pub fn above<'a>(root: &Root, paths: impl Iterator<Item = &'a Path>) -> Listings {
    let mut found = Listings::default();
    // `/` always: its `/dev` and `/proc` never come with the rest of it.
    let mut wanted = BTreeSet::from([Path::new("/")]);
    for path in paths {
        found.identities.extend(root.look_at_entry(path).map(|(id, _)| (path.to_owned(), id)));
        for directory in path.ancestors().skip(1) {
            // Everything further up was taken together with this one.
            if !wanted.insert(directory) {
                break;
            }
        }
    }
    for directory in wanted {
        found.identities.extend(root.look_at_entry(directory).map(|(id, _)| (directory.to_owned(), id)));
        found.directories.insert(directory.to_owned(), list(root, directory));
    }
    found
}

fn list(root: &Root, directory: &Path) -> Listing {
    let Some(opened) = open_directory(&root.real(directory)) else { return Listing::Closed };
    let mut entries = Vec::new();
    each_entry(&opened, |name, kind| {
        if kind != FileType::Symlink && entries.len() <= MOST {
            entries.push(OsStr::from_bytes(name).to_owned());
        }
    });
    if entries.len() > MOST {
        return Listing::TooMany;
    }
    entries.sort_unstable();
    Listing::Entries(entries)
}
/// Paths that may be to have less than what is around them.
pub(super) fn restricted(facts: &Facts) -> impl Iterator<Item = &Path> {
    let special = |path: &&Path| lies_in(path, Path::new("/proc")) || lies_in(path, Path::new("/dev"));
    let secrets = facts.secrets.iter().map(|(_, present)| present);
    let globbed = facts.globbed.iter().map(|found| &found.present);
    let aliases = facts.aliases.iter().map(|(_, present)| present);
    let present = secrets.chain(globbed).chain(aliases).map(|present| present.path.as_path());
    let named = facts.rules.iter().filter_map(|(rule, fact)| match fact {
        PathFact::Present(present) if rule.access <= Access::Read => Some(present.path.as_path()),
        _ => None,
    });
    let kept = |path: &&Path| !facts.kept.unreadable.iter().any(|known| known == path);
    present.chain(named).filter(kept).filter(move |path| !special(path))
}
