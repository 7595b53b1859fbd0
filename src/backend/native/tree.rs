//! Detached copies of mounts, and attributes of mounts: by the new mount API, and by mount(2) where the kernel is older.
//!
//! `mount_setattr` came with Linux 5.12. Before, a mount gets its attributes one by one and only once it is attached,
//! so what a detached copy is to have is kept with it until then.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::backend::StepError;
use crate::host::mountinfo;
use crate::sys;

const COPY: OpenTreeFlags = OpenTreeFlags::OPEN_TREE_CLONE.union(OpenTreeFlags::OPEN_TREE_CLOEXEC);

/// Which calls this kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calls {
    /// `mount_setattr`.
    New,
    /// `mount` with `MS_REMOUNT | MS_BIND`.
    Classic,
}

/// A mount that is not attached yet.
#[derive(Debug)]
pub struct Tree {
    fd: OwnedFd,
    recursive: bool,
    /// Attributes that it gets when it is attached.
    pending: u64,
}

/// Changes the attributes of all mounts at and below an attached one, which become private too, and tells which calls
/// this kernel has.
///
/// # Errors
/// As mount_setattr(2) and mount(2).
pub fn change_all(top: &OwnedFd, path: &Path, attributes: u64) -> Result<Calls, StepError> {
    let fail = |error: std::io::Error| StepError::new("make all mounts private and read-only below", Some(path), error);
    match sys::mount::set_attributes(top.as_fd(), true, attributes) {
        Ok(()) => Ok(Calls::New),
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            rustix::mount::mount_change(path, private).map_err(|error| fail(error.into()))?;
            remount_below(path, attributes).map_err(fail)?;
            Ok(Calls::Classic)
        }
        Err(error) => Err(fail(error)),
    }
}

impl Calls {
    /// A detached copy of the mount at a location, with more attributes than it inherits.
    ///
    /// # Errors
    /// As open_tree(2) and mount_setattr(2).
    pub fn copy(self, from: &OwnedFd, path: &Path, recursive: bool, attributes: u64) -> Result<Tree, StepError> {
        self.with(Tree::copy(from, path, recursive)?, path, attributes)
    }

    /// Gives a detached mount attributes, now or when it is attached.
    ///
    /// # Errors
    /// As mount_setattr(2).
    pub fn with(self, mut tree: Tree, path: &Path, attributes: u64) -> Result<Tree, StepError> {
        match self {
            _ if attributes == 0 => {}
            Self::Classic => tree.pending |= attributes,
            Self::New => sys::mount::set_attributes(tree.fd.as_fd(), tree.recursive, attributes)
                .map_err(|error| StepError::new("set mount attributes", Some(path), error))?,
        }
        Ok(tree)
    }

    /// Makes an attached mount read-only.
    ///
    /// # Errors
    /// As mount_setattr(2) and mount(2).
    pub fn seal(self, mount: &OwnedFd, path: &Path) -> Result<(), StepError> {
        let sealed = match self {
            Self::New => sys::mount::set_attributes(mount.as_fd(), false, libc::MOUNT_ATTR_RDONLY),
            Self::Classic => remount(&magic(mount), libc::MOUNT_ATTR_RDONLY, &of_ours),
        };
        sealed.map_err(|error| StepError::new("make the mount read-only", Some(path), error))
    }
}

/// A new file system, not attached: nosuid, and nodev unless it holds terminals.
///
/// # Errors
/// As fsopen(2), fsconfig(2) and fsmount(2).
pub fn filesystem(kind: &'static str, options: &[(&str, &str)], path: &Path) -> Result<Tree, StepError> {
    let attributes = match kind {
        // The nodes of devpts are devices: only there they are not switched off.
        "devpts" => MountAttrFlags::MOUNT_ATTR_NOEXEC,
        "proc" => MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        _ => MountAttrFlags::MOUNT_ATTR_NODEV,
    };
    let make = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            fsconfig_set_string(context.as_fd(), *key, *value)?;
        }
        fsconfig_create(context.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | attributes;
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    let step = format!("mount a new {kind} on");
    let fd = make().map_err(|error| StepError { step: step.into(), ..StepError::new("", Some(path), error) })?;
    Ok(Tree { fd, recursive: false, pending: 0 })
}

impl Tree {
    /// A detached copy of the mount at a location, just as it is.
    ///
    /// # Errors
    /// As open_tree(2).
    pub fn copy(from: &OwnedFd, path: &Path, recursive: bool) -> Result<Self, StepError> {
        let fd = open_tree(from, "", COPY | OpenTreeFlags::AT_EMPTY_PATH | with_mounts_below(recursive))
            .map_err(|error| StepError::new("copy mount", Some(path), error))?;
        Ok(Self { fd, recursive, pending: 0 })
    }

    /// A detached copy of what has this name in a directory; a link is not followed.
    ///
    /// # Errors
    /// As open_tree(2): `ENOENT` when there is no such name.
    pub fn copy_entry(directory: impl AsFd, name: impl rustix::path::Arg, recursive: bool) -> Result<Self, Errno> {
        // What would be mounted on demand is mounted on the host, and not here.
        let as_it_is = OpenTreeFlags::AT_SYMLINK_NOFOLLOW | OpenTreeFlags::AT_NO_AUTOMOUNT;
        let flags = COPY | as_it_is | with_mounts_below(recursive);
        let fd = open_tree(directory, name, flags)?;
        Ok(Self { fd, recursive, pending: 0 })
    }

    /// The mount's root.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The mount's root, for good.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Attaches on an open location.
    ///
    /// # Errors
    /// As move_mount(2).
    pub fn attach(&self, target: &OwnedFd, path: &Path) -> Result<(), StepError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        self.attached(move_mount(&self.fd, "", target, "", flags), path)
    }

    /// Attaches at a name below a directory that only we can change.
    ///
    /// # Errors
    /// As move_mount(2).
    pub fn attach_at(&self, directory: &OwnedFd, name: &Path, path: &Path) -> Result<(), StepError> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        self.attached(move_mount(&self.fd, "", directory, name, flags), path)
    }

    fn attached(&self, moved: Result<(), Errno>, path: &Path) -> Result<(), StepError> {
        moved.map_err(|error| match error {
            // It was there a moment ago.
            Errno::NOENT => StepError::changed("mount on", path),
            error => StepError::new("mount on", Some(path), error),
        })?;
        if self.pending == 0 {
            return Ok(());
        }
        let changed = rustix::fs::readlink(magic(&self.fd), Vec::new())
            .map_err(std::io::Error::from)
            .and_then(|place| remount_below(Path::new(&OsString::from_vec(place.into_bytes())), self.pending));
        changed.map_err(|error| StepError::new("set mount attributes", Some(path), error))
    }
}

fn with_mounts_below(recursive: bool) -> OpenTreeFlags {
    if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() }
}

/// A path that leads to an open location whatever is mounted over its name.
fn magic(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Remounts every mount at and below `top`, children last. Of those at one point, the last covers the others; but `/` is
/// the first, where this process began.
fn remount_below(top: &Path, attributes: u64) -> std::io::Result<()> {
    let table = std::fs::read("/proc/self/mountinfo")?;
    let table = mountinfo::parse(&table);
    let mut reached: HashMap<&Path, usize> = HashMap::new();
    for (number, mounted) in table.iter().enumerate() {
        let is_root = mounted.point == Path::new("/");
        reached.entry(&mounted.point).and_modify(|last| *last = if is_root { *last } else { number }).or_insert(number);
    }
    let seen = table.iter().enumerate().filter(|(number, mounted)| reached.get(&*mounted.point) == Some(number));
    for (_, mounted) in seen.filter(|(_, mounted)| mounted.point.starts_with(top)) {
        // The table knows the options; asking the file system could wait for a dead server.
        match remount(&mounted.point, attributes, &|option| mounted.has(option)) {
            // Covered by another mount, or not for us to enter: then the command cannot get there either.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOENT | libc::EACCES)) => {}
            other => other?,
        }
    }
    Ok(())
}

/// What every file system of ours that gets sealed has.
fn of_ours(option: &str) -> bool {
    matches!(option, "nosuid" | "nodev")
}

/// Adds attributes to one mount; those that it has must be said again.
fn remount(point: &Path, attributes: u64, has: &dyn Fn(&str) -> bool) -> std::io::Result<()> {
    let table = [
        (libc::MOUNT_ATTR_RDONLY, "ro", MountFlags::RDONLY),
        (libc::MOUNT_ATTR_NOSUID, "nosuid", MountFlags::NOSUID),
        (libc::MOUNT_ATTR_NODEV, "nodev", MountFlags::NODEV),
        (libc::MOUNT_ATTR_NOEXEC, "noexec", MountFlags::NOEXEC),
    ];
    let mut flags = MountFlags::BIND;
    for (attribute, option, flag) in table {
        if attributes & attribute != 0 || has(option) {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(point, flags, "").map_err(Into::into)
}
