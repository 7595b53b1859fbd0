//! Carries out the mount operations of a plan, in order, in a mount namespace of its own.
//!
//! Sources are opened and compared before anything is mounted over them, then used by descriptor only.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::inside::{Around, Inside};
use super::tree::{Calls, Tree, change_all, filesystem};
use crate::backend::plain::may_write;
use crate::backend::{PLACEHOLDER, StepError};
use crate::host::paths::{FileId, Kind, id_of, kind_of};
use crate::host::placeholder::is_marked;
use crate::plan::mounts::{Mount, MountOp, MountPlan, RootView};
use crate::policy::tables::Shape;

/// Applies a mount plan. `ready` is called before a placeholder is looked for, with how many came before it.
///
/// # Errors
/// The operation that failed, with its path.
pub fn apply(plan: &MountPlan, ready: &mut dyn FnMut(usize) -> Result<(), StepError>) -> Result<(), StepError> {
    let MountPlan { root, ops, tmpfs_size } = plan;
    let host = open("open", Path::new("/"), OFlags::DIRECTORY)?;
    let inside = Inside::of(ops);
    let early: Vec<_> = ops.iter().map(|op| early(op, &inside)).collect::<Result<_, _>>()?;
    // What is copied from now on is private, nosuid and, below a read-only root, read-only.
    let inherited = match root {
        RootView::HostReadOnly | RootView::Empty => libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_RDONLY,
        RootView::HostWritable => libc::MOUNT_ATTR_NOSUID,
    };
    let calls = change_all(&host, Path::new("/"), inherited)?;
    let scratch = scratch(ops, tmpfs_size.as_ref().map(|said| said.value))?;
    let sources: Vec<_> = ops
        .iter()
        .zip(early)
        .enumerate()
        .map(|(index, (op, early))| match op.what {
            Mount::Tmpfs { .. } | Mount::Data { .. } => entry_of(calls, &scratch, index, op),
            _ => source(calls, op, early, inherited),
        })
        .collect::<Result<_, _>>()?;
    // Masks are copied from it when they are needed; nothing in it is to be written to any more.
    calls.seal(&scratch, Path::new("/"))?;
    // Devices are copied; the rest of the host's need not be usable.
    change_all(&host, Path::new("/"), libc::MOUNT_ATTR_NODEV)?;
    let root_fd = match root {
        RootView::HostReadOnly | RootView::HostWritable => host,
        RootView::Empty => {
            let fresh = tmpfs(0o755, Path::new("/"))?;
            fresh.attach(&host, Path::new("/"))?;
            fresh.into_fd()
        }
    };
    let mut applier = Applier { calls, root: root_fd, inherited, scratch, bound: HashMap::new(), around: None };
    let mut blocked = 0;
    for (op, source) in ops.iter().zip(sources) {
        if matches!(op.what, Mount::Block { .. }) {
            ready(blocked)?;
            blocked += 1;
        }
        applier.carry_out(op, source)?;
    }
    if *root == RootView::Empty {
        enter(&applier.root)?;
    }
    Ok(())
}

pub(super) fn open(step: &'static str, path: &Path, extra: OFlags) -> Result<OwnedFd, StepError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | extra;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // A link that is opened itself is the last component; NO_SYMLINKS with O_PATH|O_NOFOLLOW lets that one pass.
    rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), resolve)
        .map_err(|error| StepError::new(step, Some(path), error))
}

/// What an operation takes from the host before the root changes.
enum Early {
    /// Nothing.
    Nothing,
    /// The location, from which a read-only copy will be made.
    Location(OwnedFd),
    /// The location and a copy that can be written to.
    Writable(OwnedFd, Tree),
    /// Nothing: its name in a writable directory leads to it later.
    Inside,
}

/// What an operation mounts.
enum Source {
    /// Something of our own.
    Nothing,
    /// A read-only copy of this location, made when it is needed.
    Location(OwnedFd),
    /// A read-only copy of an entry of a writable directory.
    Inside,
    /// A copy; of a writable directory, its location too.
    Copy { location: Option<OwnedFd>, copy: Tree },
}

/// Opens and compares what an operation binds, while nothing of ours covers it, and copies what stays writable.
fn early(op: &MountOp, inside: &Inside<'_>) -> Result<Early, StepError> {
    let path = &op.target;
    let opened = |step, id: Option<FileId>| {
        let fd = open(step, path, OFlags::empty())?;
        compare(step, &fd, id, path)?;
        Ok(fd)
    };
    match &op.what {
        Mount::Bind { id, writable: true, dir, .. } => {
            let location = opened("mount", *id)?;
            let copy = Tree::copy(&location, path, *dir)?;
            Ok(Early::Writable(location, copy))
        }
        Mount::Bind { writable: false, .. } if inside.has(op) => Ok(Early::Inside),
        Mount::Bind { id, writable: false, .. } => opened("mount", *id).map(Early::Location),
        Mount::Pin { id } => opened("pin link", Some(*id)).map(Early::Location),
        Mount::Other { source, id, dir: _, onto: _ } => {
            let location = open("mount", source, OFlags::empty())?;
            compare("mount", &location, Some(*id), source)?;
            Ok(Early::Location(location))
        }
        Mount::Devices => {
            let location = opened("mount", None)?;
            let copy = Tree::copy(&location, path, true)?;
            Ok(Early::Writable(location, copy))
        }
        Mount::Device { .. }
        | Mount::Plug { .. }
        | Mount::Mask { .. }
        | Mount::Veil { .. }
        | Mount::Block { .. }
        | Mount::Guard
        | Mount::Tmpfs { .. }
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Proc
        | Mount::Data { .. }
        | Mount::ReadOnly
        | Mount::Closed
        | Mount::Seal => Ok(Early::Nothing),
    }
}

/// Gives writable copies their attributes, and copies devices while they are usable.
fn source(calls: Calls, op: &MountOp, early: Early, inherited: u64) -> Result<Source, StepError> {
    let path = &op.target;
    match (&op.what, early) {
        (Mount::Device { source, major, minor, read_only: _ }, _) => {
            let host = source.as_deref().unwrap_or(path);
            let copy = Tree::copy_entry(rustix::fs::CWD, host, false)
                .map_err(|error| StepError::new("copy device", Some(host), error))?;
            let stat =
                rustix::fs::fstat(copy.fd()).map_err(|error| StepError::new("look at device", Some(host), error))?;
            if kind_of(&stat) != (Kind::Char { major: *major, minor: *minor }) {
                return Err(StepError::changed("mount device", host));
            }
            // A device can be written to on a read-only mount; its owner, mode and times cannot be changed there.
            let copy = calls.with(copy, path, libc::MOUNT_ATTR_RDONLY & !inherited)?;
            Ok(Source::Copy { location: None, copy })
        }
        (Mount::Bind { dir, .. }, Early::Writable(location, copy)) => {
            let copy = calls.with(copy, path, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)?;
            Ok(Source::Copy { location: dir.then_some(location), copy })
        }
        (Mount::Devices, Early::Writable(_, copy)) => {
            let copy = calls.with(copy, path, libc::MOUNT_ATTR_NOSUID)?;
            Ok(Source::Copy { location: None, copy })
        }
        // Now, while nothing of ours stands on the source or below it: that would be copied too, as writable as it is.
        (Mount::Other { source, dir, .. }, Early::Location(location)) => {
            let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
            let copy = calls.copy(&location, source, *dir, attributes & !inherited)?;
            Ok(Source::Copy { location: None, copy })
        }
        (_, Early::Location(location)) => Ok(Source::Location(location)),
        (_, Early::Inside) => Ok(Source::Inside),
        (_, Early::Nothing | Early::Writable(..)) => Ok(Source::Nothing),
    }
}

pub(super) fn compare(step: &'static str, fd: &OwnedFd, id: Option<FileId>, path: &Path) -> Result<(), StepError> {
    let Some(id) = id else { return Ok(()) };
    let stat = rustix::fs::fstat(fd).map_err(|error| StepError::new(step, Some(path), error))?;
    if id_of(&stat) == id { Ok(()) } else { Err(StepError::changed(step, path)) }
}

/// Makes an attached tree the root and drops the old one.
fn enter(root: &OwnedFd) -> Result<(), StepError> {
    let fail = |step, error: Errno| StepError::new(step, Some(Path::new("/")), error);
    rustix::process::fchdir(root).map_err(|error| fail("enter the new root", error))?;
    rustix::process::pivot_root(".", ".").map_err(|error| fail("pivot_root", error))?;
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)
        .map_err(|error| fail("unmount the old root", error))
}

pub(super) fn tmpfs(mode: u32, path: &Path) -> Result<Tree, StepError> {
    filesystem("tmpfs", &[("mode", &format!("{mode:o}"))], path)
}

fn relative(path: &Path) -> &Path {
    match path.strip_prefix("/") {
        Ok(rest) if !rest.as_os_str().is_empty() => rest,
        _ => Path::new("."),
    }
}

/// A writable directory that is in place: its location under the mount, and the mount.
pub(super) struct Bound {
    pub(super) location: OwnedFd,
    mount: OwnedFd,
}

/// Where a mount goes.
enum Point {
    /// On a mount point that is made in a tmpfs of ours.
    Made(Shape),
    /// On what is there, if it is what was planned.
    Planned(Option<FileId>),
}

impl Point {
    fn of(make: bool, dir: bool, id: Option<FileId>) -> Self {
        match (make, dir) {
            (true, true) => Self::Made(Shape::Dir),
            (true, false) => Self::Made(Shape::File),
            (false, _) => Self::Planned(id),
        }
    }
}

pub(super) struct Applier {
    pub(super) calls: Calls,
    root: OwnedFd,
    /// Attributes that copies of the host's mounts have by now.
    pub(super) inherited: u64,
    /// See [`scratch`].
    scratch: OwnedFd,
    pub(super) bound: HashMap<PathBuf, Bound>,
    /// Where the last entry of a writable directory was.
    pub(super) around: Option<Around>,
}

impl Applier {
    fn carry_out(&mut self, op: &MountOp, source: Source) -> Result<(), StepError> {
        let path = op.target.as_path();
        match (&op.what, source) {
            (Mount::Bind { id, dir, make, .. }, Source::Copy { location, copy }) => {
                self.put(&copy, path, Point::of(*make, *dir, *id))?;
                if let Some(location) = location {
                    self.bound.insert(path.to_owned(), Bound { location, mount: copy.into_fd() });
                }
                Ok(())
            }
            (Mount::Bind { id, dir, make, .. }, Source::Location(location)) => {
                self.put(&self.read_only(&location, path, *dir)?, path, Point::of(*make, *dir, *id))
            }
            (Mount::Bind { id: Some(id), dir, .. }, Source::Inside) => self.keep_inside(path, *id, *dir),
            (Mount::Other { dir, onto, .. }, Source::Copy { copy, .. }) => {
                self.put(&copy, path, Point::of(onto.is_none(), *dir, *onto))
            }
            (Mount::Devices, Source::Copy { copy, .. }) => self.put(&copy, path, Point::Planned(None)),
            (Mount::Device { .. }, Source::Copy { copy, .. }) => self.put(&copy, path, Point::Made(Shape::File)),
            (Mount::Pin { id }, Source::Location(location)) => {
                self.put(&self.read_only(&location, path, false)?, path, Point::Planned(Some(*id)))
            }
            (Mount::Mask { id: None, dir }, _) => match self.found(path)? {
                Some(target) => self.mask(*dir)?.attach(&target, path),
                None => Ok(()),
            },
            (Mount::Mask { id, dir }, _) => self.put(&self.mask(*dir)?, path, Point::Planned(*id)),
            (Mount::Plug { id }, _) => self.put(&self.mask(false)?, path, Point::Planned(Some(*id))),
            (Mount::Veil { id }, _) => self.put(&tmpfs(0o111, path)?, path, Point::Planned(*id)),
            (Mount::Block { .. }, _) => self.block(path),
            // Looked after from outside; only where nothing is mounted.
            (Mount::Guard | Mount::Closed, _) => Ok(()),
            (Mount::Tmpfs { make, .. }, Source::Copy { copy, .. }) => {
                self.put(&copy, path, Point::of(*make, true, None))
            }
            (Mount::Data { make, .. }, Source::Copy { copy, .. }) => {
                self.put(&copy, path, Point::of(*make, false, None))
            }
            (Mount::Dir, _) => self.make_point(path, true),
            (Mount::Link { to }, _) => self.link(path, to),
            (Mount::Devpts, _) => {
                let options = [("mode", "620"), ("ptmxmode", "666")];
                self.put(&filesystem("devpts", &options, path)?, path, Point::Made(Shape::Dir))
            }
            (Mount::Proc, _) => self.put(&filesystem("proc", &[], path)?, path, Point::Made(Shape::Dir)),
            (Mount::ReadOnly, _) => {
                let Some(target) = self.found(path)? else { return Ok(()) };
                let attributes = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_RDONLY;
                self.calls.copy(&target, path, true, attributes)?.attach(&target, path)
            }
            (Mount::Seal, _) => self.calls.seal(&self.target(path)?, path),
            (
                Mount::Bind { .. }
                | Mount::Other { .. }
                | Mount::Devices
                | Mount::Device { .. }
                | Mount::Pin { .. }
                | Mount::Tmpfs { .. }
                | Mount::Data { .. },
                _,
            ) => Err(StepError::changed("mount without a source on", path)),
        }
    }

    /// A read-only copy of something of the host.
    fn read_only(&self, location: &OwnedFd, path: &Path, dir: bool) -> Result<Tree, StepError> {
        self.calls.copy(location, path, dir, libc::MOUNT_ATTR_RDONLY & !self.inherited)
    }

    /// Attaches a mount.
    fn put(&self, tree: &Tree, path: &Path, on: Point) -> Result<(), StepError> {
        match on {
            Point::Made(shape) => {
                self.make_point(path, shape == Shape::Dir)?;
                tree.attach_at(&self.root, relative(path), path)
            }
            Point::Planned(id) => {
                let target = self.target(path)?;
                compare("mount on", &target, id, path)?;
                tree.attach(&target, path)
            }
        }
    }

    /// What is at a path of the view, to mount something on. What is not there, or not any more, needs no protection.
    fn found(&self, path: &Path) -> Result<Option<OwnedFd>, StepError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.root, relative(path), flags, Mode::empty(), resolve) {
            Err(Errno::NOENT) => Ok(None),
            other => other.map(Some).map_err(|error| StepError::new("open as mount point", Some(path), error)),
        }
    }

    /// As [`Applier::found`], where the plan has seen something.
    pub(super) fn target(&self, path: &Path) -> Result<OwnedFd, StepError> {
        self.found(path)?.ok_or_else(|| StepError::changed("mount on", path))
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
            Err(Errno::NOENT) => self.make_above(path).map(|()| make()),
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
        let fail = |error: Errno| StepError::new(PLACEHOLDER, Some(path), error);
        let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        let bound = self.bound.get(above);
        let parent = match bound {
            Some(_) => None,
            None => Some(self.target(above)?),
        };
        let from = bound.map(|bound| &bound.location).or(parent.as_ref());
        let Some(from) = from else { return Ok(()) };
        let onto = bound.map(|bound| &bound.mount).or(parent.as_ref());
        let placeholder = match Tree::copy_entry(from, name, false) {
            // Where none could be made (a read-only or foreign directory) the command cannot make one either. Where the
            // command could, it stands in another directory: this one was exchanged for it.
            Err(Errno::NOENT) if onto.is_some_and(|onto| may_write(onto, Path::new("."))) => {
                return Err(StepError::changed(PLACEHOLDER, path));
            }
            Err(Errno::NOENT) => return Ok(()),
            other => other.map_err(fail)?,
        };
        if !is_marked(&rustix::fs::fstat(placeholder.fd()).map_err(fail)?) {
            return Err(fail(Errno::EXIST));
        }
        // A location under the mounts has become read-only with the root; one in a writable mount has not.
        let inherited = if bound.is_some() { self.inherited } else { 0 };
        let placeholder = self.calls.with(placeholder, path, libc::MOUNT_ATTR_RDONLY & !inherited)?;
        onto.map_or(Ok(()), |onto| placeholder.attach_at(onto, Path::new(name), path))
    }

    /// A copy of the unreadable directory or file.
    fn mask(&self, dir: bool) -> Result<Tree, StepError> {
        Tree::copy_entry(&self.scratch, if dir { "d" } else { "f" }, false)
            .map_err(|error| StepError::new("copy the mask mount", None, error))
    }
}

/// One tmpfs for all that is made anew: an unreadable directory `d` and file `f`, of which masks are copies, and a
/// numbered directory or file for each private one. Making a file system costs more than all mounts of one together.
///
/// It must be attached somewhere to be copied from: on top of the root, where no path of this process leads.
///
/// `size` is what all of it may hold, in bytes.
fn scratch(ops: &[MountOp], size: Option<u64>) -> Result<OwnedFd, StepError> {
    let path = Path::new("/");
    let fail = |error: Errno| StepError::new("make the private directories", Some(path), error);
    let size = size.map(|size| size.to_string());
    let options: Vec<_> =
        [("mode", "755")].into_iter().chain(size.iter().map(|size| ("size", size.as_str()))).collect();
    let scratch = filesystem("tmpfs", &options, path)?;
    // The permissions are meant as they are.
    let caller_mask = rustix::process::umask(Mode::empty());
    let make = || {
        masks(&scratch)?;
        for (index, op) in ops.iter().enumerate() {
            match &op.what {
                Mount::Tmpfs { mode, .. } => {
                    rustix::fs::mkdirat(scratch.fd(), index.to_string(), Mode::from_raw_mode(*mode))?;
                }
                Mount::Data { bytes, .. } => write(&scratch, &index.to_string(), bytes)?,
                _ => {}
            }
        }
        Ok(())
    };
    let made = make();
    rustix::process::umask(caller_mask);
    made.map_err(fail)?;
    scratch.attach(&open("open", path, OFlags::DIRECTORY)?, path)?;
    Ok(scratch.into_fd())
}

/// Makes the unreadable directory and file in a file system of ours.
pub(super) fn masks(scratch: &Tree) -> Result<(), Errno> {
    rustix::fs::mkdirat(scratch.fd(), "d", Mode::empty())?;
    rustix::fs::mknodat(scratch.fd(), "f", FileType::RegularFile, Mode::empty(), 0)
}

/// Makes a file that everybody may read.
fn write(scratch: &Tree, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(scratch.fd(), name, flags, Mode::from_raw_mode(0o444))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, rest))?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// A private directory or file of the scratch file system, as a mount of its own.
fn entry_of(calls: Calls, scratch: &OwnedFd, index: usize, op: &MountOp) -> Result<Source, StepError> {
    let path = &op.target;
    let copy = Tree::copy_entry(scratch, index.to_string(), false);
    let copy = copy.map_err(|error| StepError::new("mount a private entry on", Some(path), error))?;
    let attributes = if matches!(op.what, Mount::Data { .. }) { libc::MOUNT_ATTR_RDONLY } else { 0 };
    Ok(Source::Copy { location: None, copy: calls.with(copy, path, attributes)? })
}

fn exists_now(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EXIST) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
