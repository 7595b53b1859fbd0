//! Carries out the mount operations of a plan, in order, in a mount namespace of its own.
//!
//! Sources are opened and compared before anything is mounted over them, then used by descriptor only.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, move_mount, open_tree,
};

use crate::backend::StepError;
use crate::host::paths::{FileId, Kind, id_of, kind_of};
use crate::plan::mounts::{Mount, MountOp, MountPlan, RootView};
use crate::sys;

const NOSUID_NODEV: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Applies a mount plan. `ready` is called once before the first placeholder is looked for, and returns the descriptors
/// to keep.
///
/// # Errors
/// The operation that failed, with its path.
pub fn apply(plan: &MountPlan, ready: &mut dyn FnMut() -> Result<(), StepError>) -> Result<Vec<OwnedFd>, StepError> {
    let MountPlan { root, ops } = plan;
    let host = open("open", Path::new("/"), OFlags::DIRECTORY)?;
    let sources: Vec<_> = ops.iter().map(source).collect::<Result<_, _>>()?;
    let root_fd = prepare_root(*root, &host)?;
    let mut applier = Applier { root: root_fd, masks: None, held: Vec::new(), waited: false };
    for (op, source) in ops.iter().zip(sources) {
        if matches!(op.what, Mount::Block { .. }) && !applier.waited {
            ready()?;
            applier.waited = true;
        }
        applier.carry_out(op, source)?;
    }
    if *root == RootView::Empty {
        enter(&applier.root)?;
    }
    Ok(applier.held)
}

fn open(step: &'static str, path: &Path, extra: OFlags) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // A link that is opened itself is the last component; NO_SYMLINKS with O_PATH|O_NOFOLLOW lets that one pass.
    rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
        .map_err(|error| StepError::new(step, Some(path), error))
}

/// A detached copy of what an operation binds, taken while nothing of ours covers it.
fn source(op: &MountOp) -> Result<Option<OwnedFd>, StepError> {
    let path = &op.target;
    match &op.what {
        Mount::Bind { id, dir, writable, .. } => {
            let fd = open("open for mount", path, OFlags::empty())?;
            compare("mount", &fd, *id, path)?;
            let read_only = if *writable { 0 } else { libc::MOUNT_ATTR_RDONLY };
            clone_tree(&fd, path, *dir, NOSUID_NODEV | read_only).map(Some)
        }
        Mount::Device { major, minor } => {
            let fd = open("open device", path, OFlags::empty())?;
            let stat = rustix::fs::fstat(&fd).map_err(|error| StepError::new("look at device", Some(path), error))?;
            if kind_of(&stat) != (Kind::Char { major: *major, minor: *minor }) {
                return Err(StepError::changed("mount device", path));
            }
            clone_tree(&fd, path, false, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC).map(Some)
        }
        Mount::Pin { id } => {
            let fd = open("open link", path, OFlags::empty())?;
            compare("pin link", &fd, Some(*id), path)?;
            clone_tree(&fd, path, false, NOSUID_NODEV | libc::MOUNT_ATTR_RDONLY).map(Some)
        }
        Mount::Mask { .. }
        | Mount::Veil { .. }
        | Mount::Block { .. }
        | Mount::Tmpfs { .. }
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Proc
        | Mount::ReadOnly
        | Mount::Seal => Ok(None),
    }
}

fn compare(step: &'static str, fd: &OwnedFd, id: Option<FileId>, path: &Path) -> Result<(), StepError> {
    let Some(id) = id else { return Ok(()) };
    let stat = rustix::fs::fstat(fd).map_err(|error| StepError::new(step, Some(path), error))?;
    if id_of(&stat) == id { Ok(()) } else { Err(StepError::changed(step, path)) }
}

fn clone_tree(fd: &OwnedFd, path: &Path, recursive: bool, attributes: u64) -> Result<OwnedFd, StepError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(fd, "", flags).map_err(|error| StepError::new("copy mount", Some(path), error))?;
    sys::mount::set_attributes(tree.as_fd(), recursive, attributes)
        .map_err(|error| StepError::new("set mount attributes", Some(path), error))?;
    Ok(tree)
}

/// Makes propagation private and the host's root what the plan says, or covers it with an empty one.
fn prepare_root(view: RootView, host: &OwnedFd) -> Result<OwnedFd, StepError> {
    let root = Path::new("/");
    let attributes = match view {
        RootView::HostReadOnly => NOSUID_NODEV | libc::MOUNT_ATTR_RDONLY,
        RootView::HostWritable | RootView::Empty => NOSUID_NODEV,
    };
    sys::mount::set_attributes(host.as_fd(), true, attributes)
        .map_err(|error| StepError::new("make the root mount private and read-only", Some(root), error))?;
    if view != RootView::Empty {
        return open("open", root, OFlags::DIRECTORY);
    }
    let fresh = tmpfs(0o755, root)?;
    attach(&fresh, host, root)?;
    Ok(fresh)
}

/// Makes an attached tree the root and drops the old one.
fn enter(root: &OwnedFd) -> Result<(), StepError> {
    let fail = |step, error: Errno| StepError::new(step, Some(Path::new("/")), error);
    rustix::process::fchdir(root).map_err(|error| fail("enter the new root", error))?;
    rustix::process::pivot_root(".", ".").map_err(|error| fail("pivot_root", error))?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)
        .map_err(|error| fail("unmount the old root", error))
}

fn tmpfs(mode: u32, path: &Path) -> Result<OwnedFd, StepError> {
    filesystem("tmpfs", &[("mode", &format!("{mode:o}"))], MountAttrFlags::empty(), path)
}

fn filesystem(
    kind: &'static str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
    path: &Path,
) -> Result<OwnedFd, StepError> {
    let make = || {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            fsconfig_set_string(context.as_fd(), *key, *value)?;
        }
        fsconfig_create(context.as_fd())?;
        let common = MountAttrFlags::MOUNT_ATTR_NOSUID | attributes;
        // The nodes of devpts are devices: only there they are not switched off.
        let nodev = if kind == "devpts" { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_NODEV };
        fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, common | nodev)
    };
    make().map_err(|error| StepError {
        step: format!("mount a new {kind} on").into(),
        ..StepError::new("", Some(path), error)
    })
}

fn attach(tree: &OwnedFd, target: &OwnedFd, path: &Path) -> Result<(), StepError> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, "", target, "", flags).map_err(|error| StepError::new("mount on", Some(path), error))
}

fn relative(path: &Path) -> &Path {
    match path.strip_prefix("/") {
        Ok(rest) if !rest.as_os_str().is_empty() => rest,
        _ => Path::new("."),
    }
}

struct Applier {
    root: OwnedFd,
    /// A directory with an unreadable directory `d` and file `f`, from which all masks are copied.
    masks: Option<OwnedFd>,
    /// Placeholders, open and locked as long as this process lives.
    held: Vec<OwnedFd>,
    waited: bool,
}

impl Applier {
    fn carry_out(&mut self, op: &MountOp, source: Option<OwnedFd>) -> Result<(), StepError> {
        let path = op.target.as_path();
        match (&op.what, source) {
            (Mount::Bind { id, dir, make, .. }, Some(source)) => {
                if *make {
                    self.make_point(path, *dir)?;
                    return attach(&source, &self.target(path)?, path);
                }
                let target = self.target(path)?;
                compare("mount on", &target, *id, path)?;
                attach(&source, &target, path)
            }
            (Mount::Device { .. }, Some(source)) => {
                self.make_point(path, false)?;
                attach(&source, &self.target(path)?, path)
            }
            (Mount::Pin { id }, Some(source)) => {
                let target = self.target(path)?;
                compare("pin link", &target, Some(*id), path)?;
                attach(&source, &target, path)
            }
            (Mount::Mask { id, dir }, _) => {
                let target = self.target(path)?;
                compare("hide", &target, *id, path)?;
                attach(&self.mask(*dir)?, &target, path)
            }
            (Mount::Veil { id }, _) => {
                let target = self.target(path)?;
                compare("hide", &target, *id, path)?;
                attach(&tmpfs(0o111, path)?, &target, path)
            }
            (Mount::Block { .. }, _) => self.block(path),
            (Mount::Tmpfs { mode, make }, _) => {
                if *make {
                    self.make_point(path, true)?;
                }
                attach(&tmpfs(*mode, path)?, &self.target(path)?, path)
            }
            (Mount::Dir, _) => self.make_point(path, true),
            (Mount::Link { to }, _) => self.link(path, to),
            (Mount::Devpts, _) => {
                self.make_point(path, true)?;
                let options = [("mode", "620"), ("ptmxmode", "666")];
                attach(
                    &filesystem("devpts", &options, MountAttrFlags::MOUNT_ATTR_NOEXEC, path)?,
                    &self.target(path)?,
                    path,
                )
            }
            (Mount::Proc, _) => {
                self.make_point(path, true)?;
                attach(&filesystem("proc", &[], MountAttrFlags::MOUNT_ATTR_NOEXEC, path)?, &self.target(path)?, path)
            }
            (Mount::ReadOnly, _) => {
                let target = self.target(path)?;
                let copy = clone_tree(&target, path, true, NOSUID_NODEV | libc::MOUNT_ATTR_RDONLY)?;
                attach(&copy, &target, path)
            }
            (Mount::Seal, _) => sys::mount::set_attributes(self.target(path)?.as_fd(), false, libc::MOUNT_ATTR_RDONLY)
                .map_err(|error| StepError::new("make the mount read-only", Some(path), error)),
            (Mount::Bind { .. } | Mount::Device { .. } | Mount::Pin { .. }, None) => {
                Err(StepError::changed("mount without a source on", path))
            }
        }
    }

    fn target(&self, path: &Path) -> Result<OwnedFd, StepError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, relative(path), flags, Mode::empty(), resolve)
            .map_err(|error| StepError::new("open as mount point", Some(path), error))
    }

    /// Makes a mount point, and the directories above it, in a tmpfs of ours.
    fn make_point(&self, path: &Path, dir: bool) -> Result<(), StepError> {
        let fail = |error: Errno| StepError::new("make the mount point", Some(path), error);
        let name = relative(path);
        for above in name.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if !above.as_os_str().is_empty() {
                exists_now(rustix::fs::mkdirat(&self.root, above, Mode::from_raw_mode(0o755))).map_err(fail)?;
            }
        }
        let made = if dir {
            rustix::fs::mkdirat(&self.root, name, Mode::from_raw_mode(0o755))
        } else {
            rustix::fs::mknodat(&self.root, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
        };
        exists_now(made).map_err(fail)
    }

    fn link(&self, path: &Path, to: &OsStr) -> Result<(), StepError> {
        self.make_above(path)?;
        rustix::fs::symlinkat(to, &self.root, relative(path))
            .map_err(|error| StepError::new("make the link", Some(path), error))
    }

    fn make_above(&self, path: &Path) -> Result<(), StepError> {
        match path.parent() {
            Some(above) if above != Path::new("/") => self.make_point(above, true),
            _ => Ok(()),
        }
    }

    /// A placeholder that the supervisor made: bound onto itself, read-only, and locked against removal by others.
    fn block(&mut self, path: &Path) -> Result<(), StepError> {
        let held = match super::placeholder::hold(&self.root, relative(path)) {
            Ok(Some(held)) => held,
            // Where none could be made (a read-only or foreign directory) the command cannot make one either.
            Ok(None) => return Ok(()),
            Err(error) => return Err(StepError::new(super::PLACEHOLDER, Some(path), error)),
        };
        let target = self.target(path)?;
        let stat = rustix::fs::fstat(&held).map_err(|error| StepError::new(super::PLACEHOLDER, Some(path), error))?;
        compare("mount on placeholder", &target, Some(id_of(&stat)), path)?;
        let copy = clone_tree(&target, path, false, NOSUID_NODEV | libc::MOUNT_ATTR_RDONLY)?;
        attach(&copy, &target, path)?;
        self.held.push(held);
        Ok(())
    }

    /// A copy of the unreadable directory or file.
    fn mask(&mut self, dir: bool) -> Result<OwnedFd, StepError> {
        let fail = |error: Errno| StepError::new("copy the mask mount", None, error);
        if self.masks.is_none() {
            self.masks = Some(make_masks()?);
        }
        let Some(masks) = &self.masks else { return Err(fail(Errno::NOENT)) };
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        open_tree(masks, if dir { "d" } else { "f" }, flags).map_err(fail)
    }
}

/// Masks are copies of one tmpfs. It must be attached somewhere to be copied from: on top of the root, where no path of
/// this process leads.
fn make_masks() -> Result<OwnedFd, StepError> {
    let path = Path::new("/");
    let fail = |error: Errno| StepError::new("make the masks", Some(path), error);
    let masks = tmpfs(0o755, path)?;
    rustix::fs::mkdirat(&masks, "d", Mode::empty()).map_err(fail)?;
    rustix::fs::mknodat(&masks, "f", FileType::RegularFile, Mode::empty(), 0).map_err(fail)?;
    attach(&masks, &open("open", path, OFlags::DIRECTORY)?, path)?;
    sys::mount::set_attributes(masks.as_fd(), false, NOSUID_NODEV | libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC)
        .map_err(|error| StepError::new("make the masks read-only", Some(path), error))?;
    Ok(masks)
}

fn exists_now(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
