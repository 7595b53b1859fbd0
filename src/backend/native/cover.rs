//! Covers again, in a view that stands, what a host program has put in the place of something that was covered.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::mounts::{masks, open, tmpfs};
use super::tree::{Calls, Tree};
use crate::backend::StepError;
use crate::backend::watch::Inside;
use crate::plan::mounts::{Mount, MountOp};
use crate::sys;

/// How a look at a name came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Covered {
    /// Its mount stands, or nothing is there that could be read.
    Stands,
    /// It lay open, and is covered again.
    Again,
    /// It is gone, and the command could make its own.
    Gone,
    /// It lies open.
    Open,
}

impl Covered {
    /// As the exit code of a process.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Stands => 0,
            Self::Again => 1,
            Self::Gone => 2,
            Self::Open => 3,
        }
    }

    /// Whether the command cannot get at it.
    #[must_use]
    pub fn is_kept(self) -> bool {
        self <= Self::Again
    }

    /// From the exit code of a process; whatever else happened to it, nothing was covered.
    #[must_use]
    pub fn of_code(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Stands,
            Some(1) => Self::Again,
            Some(2) => Self::Gone,
            _ => Self::Open,
        }
    }
}

/// Moves this process into the namespaces of a sandbox: its maker has every capability in them.
///
/// # Errors
/// As setns(2) and ioctl_ns(2).
pub fn enter(inside: &Inside) -> Result<(), Errno> {
    let Inside { mount, root } = inside;
    // Not init's own: bubblewrap makes a second one in the first.
    let owner = sys::process::owner_of_namespace(mount)?;
    move_into_link_name_space(owner.as_fd(), Some(LinkNameSpaceType::User))?;
    move_into_link_name_space(mount.as_fd(), Some(LinkNameSpaceType::Mount))?;
    // setns leads to what is mounted on top of the root: the file system that masks are copied from.
    rustix::process::fchdir(root)?;
    rustix::process::chroot(".")
}

/// Looks at the target of an operation, and carries the operation out once more if its mount is gone.
#[must_use]
pub fn again(op: &MountOp) -> Covered {
    let path = op.target.as_path();
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    let found = match (found, &op.what) {
        (Ok(found), _) => found,
        // Nothing to hide. What a host program puts there later is covered then.
        (Err(_), Mount::Mask { .. }) => return Covered::Stands,
        (Err(_), _) => return Covered::Gone,
    };
    if found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Covered::Stands;
    }
    let dir = FileType::from_raw_mode(found.stx_mode.into()).is_dir();
    let covered = match op.what {
        Mount::Mask { .. } => mask(path, dir),
        Mount::Bind { writable: false, .. } => read_only(path, dir),
        // The command may have made it.
        _ => return Covered::Gone,
    };
    if covered.is_ok() { Covered::Again } else { Covered::Open }
}

fn mask(path: &Path, dir: bool) -> Result<(), StepError> {
    let onto = open("open as mount point", path, OFlags::empty())?;
    let scratch = tmpfs(0o755, path)?;
    masks(&scratch).map_err(|error| StepError::new("make a mask", Some(path), error))?;
    // It can only be copied from while it is attached; on top of the root no path leads to it.
    scratch.attach(&open("open", Path::new("/"), OFlags::DIRECTORY)?, path)?;
    Calls::New.seal(scratch.fd(), path)?;
    let copy = Tree::copy_entry(scratch.fd(), if dir { "d" } else { "f" }, false);
    copy.map_err(|error| StepError::new("copy the mask mount", Some(path), error))?.attach(&onto, path)
}

fn read_only(path: &Path, dir: bool) -> Result<(), StepError> {
    let onto = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| StepError::new("open as mount point", Some(path), error))?;
    Calls::New.copy(&onto, path, dir, libc::MOUNT_ATTR_RDONLY)?.attach(&onto, path)
}
