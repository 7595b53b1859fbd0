//! What is made read-only in a writable directory: the rule of which there are most, so it is carried out with the fewest
//! calls.
//!
//! The directory around it is opened once for all of its entries that come one after another: below our mounts, where an
//! entry is copied, and in the view, where it is covered. To copy it in the view too, the kernel would look at every mount
//! that is there already (`has_locked_children` of fs/namespace.c).

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::mounts::{Applier, compare};
use super::tree::Tree;
use crate::backend::StepError;
use crate::host::paths::FileId;
use crate::plan::mounts::{Mount, MountOp};

/// Which operations are of this kind.
pub(super) struct Inside<'a> {
    /// The paths at which something is mounted, and whether it is a directory that can be written to. What is no
    /// directory has nothing below it, and is left out.
    mounted: HashMap<&'a Path, bool>,
}

impl<'a> Inside<'a> {
    pub(super) fn of(ops: &'a [MountOp]) -> Self {
        let mut mounted = HashMap::new();
        for op in ops.iter().filter(|op| !matches!(op.what, Mount::Bind { dir: false, .. })) {
            let writable = matches!(op.what, Mount::Bind { writable: true, .. });
            mounted.entry(op.target.as_path()).and_modify(|all| *all &= writable).or_insert(writable);
        }
        Self { mounted }
    }

    pub(super) fn has(&self, op: &MountOp) -> bool {
        let kind = matches!(op.what, Mount::Bind { id: Some(_), writable: false, make: false, .. });
        let mut around = op.target.ancestors().skip(1);
        kind && around.find_map(|above| self.mounted.get(above)) == Some(&true)
    }
}

/// A directory around such entries.
pub(super) struct Around {
    path: PathBuf,
    /// Below our mounts.
    below: OwnedFd,
    /// In the view.
    view: OwnedFd,
}

impl Applier {
    /// Makes an entry of a writable directory read-only.
    pub(super) fn keep_inside(&mut self, path: &Path, id: FileId, dir: bool) -> Result<(), StepError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(StepError::changed("mount", path));
        };
        let around = match self.around.take().filter(|around| around.path == parent) {
            Some(around) => around,
            None => self.around(parent)?,
        };
        let fail = |step| move |error: Errno| StepError::new(step, Some(path), error);
        let copy = Tree::copy_entry(&around.below, name, dir).map_err(fail("mount"))?;
        compare("mount", copy.fd(), Some(id), path)?;
        let copy = self.calls.with(copy, path, libc::MOUNT_ATTR_RDONLY & !self.inherited)?;
        // One name, and a link is not followed: it leads nowhere else.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let target = rustix::fs::openat(&around.view, name, flags, Mode::empty()).map_err(fail("mount on"))?;
        compare("mount on", &target, Some(id), path)?;
        self.around = Some(around);
        copy.attach(&target, path)
    }

    fn around(&self, path: &Path) -> Result<Around, StepError> {
        let bound = path.ancestors().find_map(|above| Some((above, self.bound.get(above)?)));
        let (top, bound) = bound.ok_or_else(|| StepError::changed("mount", path))?;
        let rest = path.strip_prefix(top).ok().filter(|rest| !rest.as_os_str().is_empty());
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let rest = rest.unwrap_or(Path::new("."));
        let below = rustix::fs::openat2(&bound.location, rest, flags, Mode::empty(), resolve);
        let below = below.map_err(|error| StepError::new("open", Some(path), error))?;
        Ok(Around { path: path.to_owned(), below, view: self.target(path)? })
    }
}
