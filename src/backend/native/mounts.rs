//! Carries out the mount operations of a plan, in order, in a mount namespace of its own.
//!
//! Sources are opened and compared before anything is mounted over them, then used by descriptor only.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

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

/// Applies a mount plan. `ready` is called once, before the first placeholder is looked for.
///
/// # Errors
/// The operation that failed, with its path.
pub fn apply(plan: &MountPlan, ready: &mut dyn FnMut() -> Result<(), StepError>) -> Result<(), StepError> {
    let MountPlan { root, ops } = plan;
    let host = open("open", Path::new("/"), OFlags::DIRECTORY)?;
    let opened: Vec<_> = ops.iter().map(source).collect::<Result<_, _>>()?;
    // Every mount and every copy made from now on is private and nosuid.
    change(&host, libc::MOUNT_ATTR_NOSUID)?;
    let sources: Vec<_> = ops.iter().zip(opened).map(|(op, fd)| early_copy(op, fd)).collect::<Result<_, _>>()?;
    let inherited = match root {
        RootView::HostReadOnly | RootView::Empty => libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_RDONLY,
        RootView::HostWritable => libc::MOUNT_ATTR_NODEV,
    };
    change(&host, inherited)?;
    let root_fd = match root {
        RootView::HostReadOnly | RootView::HostWritable => host,
        RootView::Empty => {
            let fresh = tmpfs(0o755, Path::new("/"))?;
            attach(&fresh, &host, Path::new("/"))?;
            fresh
        }
    };
    let mut applier = Applier { root: root_fd, inherited, masks: None, bound: Vec::new(), waited: false };
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
    Ok(())
}

fn change(host: &OwnedFd, attributes: u64) -> Result<(), StepError> {
    sys::mount::set_attributes(host.as_fd(), true, attributes)
        .map_err(|error| StepError::new("make all mounts private and read-only below", Some(Path::new("/")), error))
}

fn open(step: &'static str, path: &Path, extra: OFlags) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // A link that is opened itself is the last component; NO_SYMLINKS with O_PATH|O_NOFOLLOW lets that one pass.
    rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
        .map_err(|error| StepError::new(step, Some(path), error))
}

/// What an operation takes from the host.
enum Source {
    /// Nothing.
    None,
    /// The location, from which a read-only copy will be made.
    Location(OwnedFd),
    /// The location, and a copy that can be written to or holds a usable device.
    Copy { location: OwnedFd, copy: OwnedFd },
}

/// Opens and compares what an operation binds, while nothing of ours covers it.
fn source(op: &MountOp) -> Result<Option<OwnedFd>, StepError> {
    let path = &op.target;
    let opened = |step, id: Option<FileId>| {
        let fd = open(step, path, OFlags::empty())?;
        compare(step, &fd, id, path)?;
        Ok(Some(fd))
    };
    match &op.what {
        Mount::Bind { id, .. } => opened("mount", *id),
        Mount::Pin { id } => opened("pin link", Some(*id)),
        Mount::Device { major, minor } => {
            let fd = open("open device", path, OFlags::empty())?;
            let stat = rustix::fs::fstat(&fd).map_err(|error| StepError::new("look at device", Some(path), error))?;
            if kind_of(&stat) != (Kind::Char { major: *major, minor: *minor }) {
                return Err(StepError::changed("mount device", path));
            }
            Ok(Some(fd))
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

/// Copies what must not inherit the attributes that the root is about to get.
fn early_copy(op: &MountOp, location: Option<OwnedFd>) -> Result<Source, StepError> {
    let Some(location) = location else { return Ok(Source::None) };
    let path = &op.target;
    match op.what {
        Mount::Bind { writable: true, dir, .. } => {
            let copy = copy(&location, path, dir, libc::MOUNT_ATTR_NODEV)?;
            Ok(Source::Copy { location, copy })
        }
        Mount::Device { .. } => copy(&location, path, false, 0).map(|copy| Source::Copy { location, copy }),
        _ => Ok(Source::Location(location)),
    }
}

fn compare(step: &'static str, fd: &OwnedFd, id: Option<FileId>, path: &Path) -> Result<(), StepError> {
    let Some(id) = id else { return Ok(()) };
    let stat = rustix::fs::fstat(fd).map_err(|error| StepError::new(step, Some(path), error))?;
    if id_of(&stat) == id { Ok(()) } else { Err(StepError::changed(step, path)) }
}

/// A detached copy of a mount, with more attributes than it inherits.
fn copy(fd: &OwnedFd, path: &Path, recursive: bool, attributes: u64) -> Result<OwnedFd, StepError> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(fd, "", flags).map_err(|error| StepError::new("copy mount", Some(path), error))?;
    if attributes != 0 {
        sys::mount::set_attributes(tree.as_fd(), recursive, attributes)
            .map_err(|error| StepError::new("set mount attributes", Some(path), error))?;
    }
    Ok(tree)
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

/// Attaches at a name below a directory that only we can change.
fn attach_at(tree: &OwnedFd, directory: &OwnedFd, name: &Path, path: &Path) -> Result<(), StepError> {
    move_mount(tree, "", directory, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(|error| StepError::new("mount on", Some(path), error))
}

fn relative(path: &Path) -> &Path {
    match path.strip_prefix("/") {
        Ok(rest) if !rest.as_os_str().is_empty() => rest,
        _ => Path::new("."),
    }
}

/// A writable directory that is in place: its location under the mount, and the mount.
struct Bound {
    path: PathBuf,
    location: OwnedFd,
    mount: OwnedFd,
}

struct Applier {
    root: OwnedFd,
    /// Attributes that copies of the host's mounts have by now.
    inherited: u64,
    /// A directory with an unreadable directory `d` and file `f`, from which all masks are copied.
    masks: Option<OwnedFd>,
    bound: Vec<Bound>,
    waited: bool,
}

impl Applier {
    fn carry_out(&mut self, op: &MountOp, source: Source) -> Result<(), StepError> {
        let path = op.target.as_path();
        match (&op.what, source) {
            (Mount::Bind { id, dir, make, .. }, Source::Copy { location, copy }) => {
                self.put(&copy, path, *dir, *make, *id)?;
                self.bound.push(Bound { path: path.to_owned(), location, mount: copy });
                Ok(())
            }
            (Mount::Bind { id, dir, make, .. }, Source::Location(location)) => {
                let copy = copy(&location, path, *dir, self.missing(libc::MOUNT_ATTR_RDONLY))?;
                self.put(&copy, path, *dir, *make, *id)
            }
            (Mount::Device { .. }, Source::Copy { copy, .. }) => self.put(&copy, path, false, true, None),
            (Mount::Pin { id }, Source::Location(location)) => {
                let copy = copy(&location, path, false, self.missing(libc::MOUNT_ATTR_RDONLY))?;
                self.put(&copy, path, false, false, Some(*id))
            }
            (Mount::Mask { id, dir }, _) => {
                let mask = self.mask(*dir)?;
                self.put(&mask, path, *dir, false, *id)
            }
            (Mount::Veil { id }, _) => self.put(&tmpfs(0o111, path)?, path, true, false, *id),
            (Mount::Block { .. }, _) => self.block(path),
            (Mount::Tmpfs { mode, make }, _) => self.put(&tmpfs(*mode, path)?, path, true, *make, None),
            (Mount::Dir, _) => self.make_point(path, true),
            (Mount::Link { to }, _) => self.link(path, to),
            (Mount::Devpts, _) => {
                let options = [("mode", "620"), ("ptmxmode", "666")];
                self.put(
                    &filesystem("devpts", &options, MountAttrFlags::MOUNT_ATTR_NOEXEC, path)?,
                    path,
                    true,
                    true,
                    None,
                )
            }
            (Mount::Proc, _) => {
                self.put(&filesystem("proc", &[], MountAttrFlags::MOUNT_ATTR_NOEXEC, path)?, path, true, true, None)
            }
            (Mount::ReadOnly, _) => {
                let target = self.target(path)?;
                let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_RDONLY;
                attach(&copy(&target, path, true, attributes)?, &target, path)
            }
            (Mount::Seal, _) => sys::mount::set_attributes(self.target(path)?.as_fd(), false, libc::MOUNT_ATTR_RDONLY)
                .map_err(|error| StepError::new("make the mount read-only", Some(path), error)),
            (Mount::Bind { .. } | Mount::Device { .. } | Mount::Pin { .. }, _) => {
                Err(StepError::changed("mount without a source on", path))
            }
        }
    }

    /// Those of the attributes that a copy does not inherit.
    fn missing(&self, attributes: u64) -> u64 {
        attributes & !self.inherited
    }

    /// Attaches a mount, on a point of ours that is made first, or on what is there and is what was planned.
    fn put(&self, tree: &OwnedFd, path: &Path, dir: bool, make: bool, id: Option<FileId>) -> Result<(), StepError> {
        if make {
            self.make_point(path, dir)?;
            return attach_at(tree, &self.root, relative(path), path);
        }
        let target = self.target(path)?;
        compare("mount on", &target, id, path)?;
        attach(tree, &target, path)
    }

    fn target(&self, path: &Path) -> Result<OwnedFd, StepError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, relative(path), flags, Mode::empty(), resolve)
            .map_err(|error| StepError::new("open as mount point", Some(path), error))
    }

    /// Makes a mount point, and the directories above it, in a tmpfs of ours.
    fn make_point(&self, path: &Path, dir: bool) -> Result<(), StepError> {
        let name = relative(path);
        let make = || {
            exists_now(if dir {
                rustix::fs::mkdirat(&self.root, name, Mode::from_raw_mode(0o755))
            } else {
                rustix::fs::mknodat(&self.root, name, FileType::RegularFile, Mode::from_raw_mode(0o444), 0)
            })
        };
        let made = match make() {
            Err(Errno::NOENT) => self.make_above(path).and_then(|()| Ok(make())),
            other => Ok(other),
        };
        made?.map_err(|error| StepError::new("make the mount point", Some(path), error))
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

    /// A placeholder that the janitor made, bound onto itself, read-only.
    fn block(&mut self, path: &Path) -> Result<(), StepError> {
        let fail = |error: Errno| StepError::new(super::PLACEHOLDER, Some(path), error);
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
        let bound = self.bound.iter().find(|bound| bound.path == above);
        let parent = match bound {
            Some(_) => None,
            None => Some(self.target(above)?),
        };
        let from = bound.map(|bound| &bound.location).or(parent.as_ref());
        let Some(from) = from else { return Ok(()) };
        let placeholder = match open_tree(from, name, flags) {
            // Where none could be made (a read-only or foreign directory) the command cannot make one either.
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(fail)?,
        };
        if !super::placeholder::is_marked(&rustix::fs::fstat(&placeholder).map_err(fail)?) {
            return Err(fail(Errno::EXIST));
        }
        // A location under the mounts has become read-only with the root; one in a writable mount has not.
        let inherited = if bound.is_some() { self.inherited } else { 0 };
        let attributes = libc::MOUNT_ATTR_RDONLY & !inherited;
        if attributes != 0 {
            sys::mount::set_attributes(placeholder.as_fd(), false, attributes)
                .map_err(|error| StepError::new(super::PLACEHOLDER, Some(path), error))?;
        }
        let onto = bound.map(|bound| &bound.mount).or(parent.as_ref());
        onto.map_or(Ok(()), |onto| attach_at(&placeholder, onto, Path::new(name), path))
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
    sys::mount::set_attributes(masks.as_fd(), false, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC)
        .map_err(|error| StepError::new("make the masks read-only", Some(path), error))?;
    Ok(masks)
}

fn exists_now(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}
