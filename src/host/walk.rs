//! Expands deny globs: one walk for all globs of the same base.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::paths::{Kind, Present, Root, id_of, kind_of};
use super::repo::{each_entry, open_directory};
use super::trouble::heard;
use crate::policy::paths::Glob;

/// A path that a glob matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Which glob, as an index into the policy's list.
    pub glob: usize,
    /// What matched; a link that matched is followed, since its target is what is to be hidden.
    pub present: Present,
}

/// Finds what the globs match now. Directories that match are not searched further, links are not followed.
#[must_use]
pub fn expand(root: &Root, globs: &[Glob]) -> Vec<Match> {
    let mut bases: BTreeMap<&Path, Vec<usize>> = BTreeMap::new();
    for (index, glob) in globs.iter().enumerate() {
        bases.entry(&glob.base).or_default().push(index);
    }
    let mut found = Vec::new();
    for (base, indices) in bases {
        let Some(set) = compile(globs, &indices) else { continue };
        let depth =
            indices.first().and_then(|index| globs.get(*index)?.max_depth).map_or(usize::MAX, NonZeroUsize::get);
        let mut search = Search { root, set, indices, found: &mut found };
        if let Some(fd) = open_directory(&root.real(base)) {
            search.directory(&fd, &mut base.as_os_str().as_bytes().to_vec(), depth);
        }
    }
    found
}

fn compile(globs: &[Glob], indices: &[usize]) -> Option<GlobSet> {
    let mut builder = GlobSetBuilder::new();
    for index in indices {
        // Compiled once before, when the policy was checked.
        let glob = GlobBuilder::new(&globs.get(*index)?.pattern).literal_separator(true).backslash_escape(true).build();
        builder.add(glob.ok()?);
    }
    builder.build().ok()
}

struct Search<'a> {
    root: &'a Root,
    set: GlobSet,
    indices: Vec<usize>,
    found: &'a mut Vec<Match>,
}

impl Search<'_> {
    /// Searches an open directory, `depth` levels of it; `path` is its path and is restored before returning.
    fn directory(&mut self, fd: &OwnedFd, path: &mut Vec<u8>, depth: usize) {
        if depth == 0 {
            return;
        }
        super::pulse::beat("looking for what globs match");
        let mut below = Vec::new();
        let length = path.len();
        each_entry(fd, |name, kind| {
            path.push(b'/');
            path.extend_from_slice(name);
            let hit = self.set.matches(OsStr::from_bytes(path)).first().copied();
            match hit {
                Some(hit) => self.keep(hit, fd, name, path),
                None if kind == FileType::Directory => below.push(name.to_vec()),
                None => {}
            }
            path.truncate(length);
        });
        for name in below {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let child = rustix::fs::openat(fd, OsStr::from_bytes(&name), flags, Mode::empty());
            path.push(b'/');
            path.extend_from_slice(&name);
            match child {
                Ok(child) => self.directory(&child, path, depth - 1),
                // Gone, or replaced by something that is no directory.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                // What cannot be searched may hold anything, and its owner can open it later: it is hidden as a whole.
                Err(_) => self.keep(0, fd, &name, path),
            }
            path.truncate(length);
        }
    }

    /// Keeps what is called `name` in an open directory. A link is followed: its target is what is to be hidden.
    fn keep(&mut self, hit: usize, directory: &OwnedFd, name: &[u8], path: &[u8]) {
        let Some(glob) = self.indices.get(hit).copied() else { return };
        let path = Path::new(OsStr::from_bytes(path));
        // By its directory: the whole path may be longer than one that the kernel takes.
        let stat = rustix::fs::statat(directory, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW);
        let Ok(stat) = heard(path, stat) else { return };
        let present = match kind_of(&stat) {
            Kind::Symlink => self.root.look_if_present(path),
            kind => Some(Present { path: path.to_owned(), id: id_of(&stat), kind, link: None }),
        };
        self.found.extend(present.map(|present| Match { glob, present }));
    }
}
