//! What lies beside a path that is to be hidden: Landlock's rules only add rights, so where a directory may be read and
//! something in it may not, its other entries are named one by one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use super::paths::{FileId, Root, id_of};
use super::repo::{each_entry, open_directory};

/// With more entries than this a directory is not taken apart: each is a rule, and a look before it.
pub const MOST: usize = 4096;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    /// Its name.
    pub name: OsString,
    /// Identity, compared again when the rule is made.
    pub id: FileId,
    /// Whether it is a symbolic link: what it leads to has rules of its own.
    pub link: bool,
}

/// What was found in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// These, by name.
    Entries(Vec<Sibling>),
    /// More than [`MOST`].
    TooMany,
    /// The caller may not list it.
    Closed,
}

/// Directories by canonical path.
pub type Listings = BTreeMap<PathBuf, Listing>;

/// Lists every directory above the paths, which are canonical.
#[must_use]
pub fn above<'a>(root: &Root, paths: impl Iterator<Item = &'a Path>) -> Listings {
    let mut wanted = BTreeSet::new();
    for path in paths {
        for directory in path.ancestors().skip(1) {
            // Everything further up was taken together with this one.
            if !wanted.insert(directory) {
                break;
            }
        }
    }
    wanted.into_iter().map(|directory| (directory.to_owned(), list(root, directory))).collect()
}

fn list(root: &Root, directory: &Path) -> Listing {
    let Some(opened) = open_directory(&root.real(directory)) else { return Listing::Closed };
    let mut entries = Vec::new();
    let mut count = 0;
    each_entry(&opened, |name, kind| {
        count += 1;
        if count > MOST {
            return;
        }
        // What has gone meanwhile needs no rule.
        if let Ok(stat) = rustix::fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW) {
            let link = kind == FileType::Symlink;
            entries.push(Sibling { name: OsStr::from_bytes(name).to_owned(), id: id_of(&stat), link });
        }
    });
    if count > MOST {
        return Listing::TooMany;
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Listing::Entries(entries)
}
