//! Placeholders: what stands on the host in the place of a missing protected entry while a command runs.
//!
//! A mount needs something to be mounted on, and only an entry that exists keeps the command from making its own. The
//! placeholder is marked by itself (empty or `.`, not writable, a modification time that no real file has), so that
//! after a power cut the next run, or `ringfence doctor --fix`, knows it. It is locked (shared) by every run that uses
//! it, so that runs in the same directory share it and the last one removes it.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::backend::StepError;
use crate::host::paths::id_of;
pub use crate::host::placeholder::is_marked;
use crate::host::placeholder::{MARK, MOMENT, MOMENTS, is_bare, is_young};
use crate::plan::mounts::{Mount, MountPlan};
use crate::policy::tables::Shape;
use crate::sys;

/// What a [`Shape::Here`] says.
const HERE: &[u8] = b".\n";

/// How much older than it is a file's time stamp may be: the kernel's clock for them ticks coarsely.
const CLOCK_TICK: i64 = 1;

/// A placeholder of this run, locked as long as it lives.
#[derive(Debug)]
pub struct Placeholder {
    parent: Rc<OwnedFd>,
    name: OsString,
    lock: OwnedFd,
}

impl Placeholder {
    /// The descriptors that it needs.
    pub fn descriptors(&self) -> [RawFd; 2] {
        [self.parent.as_raw_fd(), self.lock.as_raw_fd()]
    }
}

fn permissions(shape: Shape) -> Mode {
    Mode::from_raw_mode(match shape {
        Shape::Dir => 0o555,
        Shape::File | Shape::Here => 0o444,
    })
}

fn open_flags() -> OFlags {
    OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// The entries that a plan blocks.
pub fn planned(plan: &MountPlan) -> impl Iterator<Item = (&Path, Shape)> {
    plan.ops.iter().filter_map(|op| match op.what {
        Mount::Block { shape } => Some((op.target.as_path(), shape)),
        _ => None,
    })
}

/// Makes, or joins, the placeholders of a plan. One that cannot be made because the directory is read-only, or another
/// user's, is left out: the command cannot make the entry either. `tell` hears how many are done.
///
/// # Errors
/// A full disk, an own directory whose permissions forbid it, or an entry that appeared since the plan was made. What was made until then is removed.
pub fn make_all(plan: &MountPlan, tell: &dyn Fn(usize)) -> Result<Vec<Placeholder>, StepError> {
    // The permissions above are meant as they are.
    let caller_mask = rustix::process::umask(Mode::empty());
    let made = make_each(plan, tell);
    rustix::process::umask(caller_mask);
    made
}

fn make_each(plan: &MountPlan, tell: &dyn Fn(usize)) -> Result<Vec<Placeholder>, StepError> {
    let mut parents = HashMap::new();
    let mut made = Vec::new();
    for (before, (path, shape)) in planned(plan).enumerate() {
        tell(before);
        let result = parent_of(path, &mut parents).and_then(|found| match found {
            Some((parent, name)) => make(&parent, name, shape),
            None => Ok(None),
        });
        match result {
            Ok(placeholder) => made.extend(placeholder),
            Err(error) => {
                // The step that failed is what is told.
                sys::ignore(remove_all(&made));
                return Err(StepError::new(super::PLACEHOLDER, Some(path), error));
            }
        }
    }
    Ok(made)
}

/// The open directory of a placeholder, `None` when it cannot be entered.
fn parent_of<'a>(
    path: &'a Path,
    known: &mut HashMap<PathBuf, Option<Rc<OwnedFd>>>,
) -> Result<Option<(Rc<OwnedFd>, &'a OsStr)>, Errno> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    if let Some(fd) = known.get(above) {
        return Ok(fd.clone().map(|fd| (fd, name)));
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = match rustix::fs::openat2(rustix::fs::CWD, above, flags, Mode::empty(), resolve) {
        Err(Errno::ACCESS | Errno::PERM) => None,
        other => Some(Rc::new(other?)),
    };
    known.insert(above.to_owned(), opened.clone());
    Ok(opened.map(|fd| (fd, name)))
}

fn make(parent: &Rc<OwnedFd>, name: &OsStr, shape: Shape) -> Result<Option<Placeholder>, Errno> {
    // Another run may remove the placeholder between the look and the lock: then it is made again.
    for _ in 0..MOMENTS {
        let fresh = match create(parent, name, shape) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            // The command could make a directory of its own user writable, and then the entry.
            Err(Errno::ACCESS) if is_own(parent)? => return Err(Errno::ACCESS),
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => return Ok(None),
            Err(error) => return Err(error),
        };
        match join(parent, name, shape, fresh) {
            Ok(Some(lock)) => return Ok(Some(Placeholder { parent: Rc::clone(parent), name: name.to_owned(), lock })),
            Ok(None) => {}
            Err(error) => {
                if fresh {
                    // Nobody else knows it for a placeholder yet, so nobody else would remove it.
                    sys::ignore(unlink(parent, name, shape == Shape::Dir));
                }
                return Err(error);
            }
        }
    }
    Err(Errno::AGAIN)
}

/// Locks and marks what was made, or joins another run's; `None` when that is to be tried again.
fn join(parent: &OwnedFd, name: &OsStr, shape: Shape, fresh: bool) -> Result<Option<OwnedFd>, Errno> {
    let lock = match rustix::fs::openat(parent, name, open_flags(), Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::AGAIN) {
        // Another run is removing it; nobody else has reason to lock it, and nobody may hold up the start.
        std::thread::sleep(MOMENT);
        return Ok(None);
    }
    if fresh {
        if !is_bare(&rustix::fs::fstat(&lock)?) {
            // A default ACL of the directory has changed the permissions.
            rustix::fs::fchmod(&lock, permissions(shape))?;
        }
        // Marked only now that it is locked: nobody removes it in between.
        set_mark(lock.as_fd())?;
        return Ok(Some(lock));
    }
    let stat = rustix::fs::fstat(&lock)?;
    if !is_still_there(parent, name, &stat)? {
        return Ok(None);
    }
    if !is_marked(&stat) && is_bare(&stat) && is_young(&stat) {
        // Perhaps another run has made it and is about to mark it.
        std::thread::sleep(MOMENT);
        return Ok(None);
    }
    // A foreign entry made since the plan was made is not ours to hide or to remove.
    if is_marked(&stat) { Ok(Some(lock)) } else { Err(Errno::EXIST) }
}

/// Whether the caller owns a directory, and so may change its permissions.
fn is_own(directory: &OwnedFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstat(directory)?.st_uid == rustix::process::geteuid().as_raw())
}

fn create(parent: &OwnedFd, name: &OsStr, shape: Shape) -> Result<(), Errno> {
    if shape == Shape::Dir {
        return rustix::fs::mkdirat(parent, name, permissions(shape));
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(parent, name, flags, permissions(shape))?;
    if shape == Shape::Here {
        rustix::io::write(&fd, HERE).inspect_err(|_| sys::ignore(unlink(parent, name, false)))?;
    }
    Ok(())
}

fn set_mark(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let moment = Timespec { tv_sec: MARK, tv_nsec: 0 };
    rustix::fs::futimens(fd, &Timestamps { last_access: moment, last_modification: moment })
}

fn is_still_there(parent: &OwnedFd, name: &OsStr, opened: &Stat) -> Result<bool, Errno> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(now) => Ok(id_of(&now) == id_of(opened)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the placeholders that no other run uses.
///
/// # Errors
/// The first that could not be removed. What nobody can remove is left to the next run.
pub fn remove_all(placeholders: &[Placeholder]) -> Result<(), Errno> {
    let removed = placeholders
        .iter()
        .map(|Placeholder { parent, name, lock }| remove_if_unused(parent, name, lock, is_marked).map(drop));
    // Each is tried, whatever becomes of the others.
    removed.fold(Ok(()), Result::and)
}

/// Removes an entry if `ours` says so of it and nobody else has it locked.
fn remove_if_unused(parent: &OwnedFd, name: &OsStr, fd: &OwnedFd, ours: impl Fn(&Stat) -> bool) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    if !ours(&stat) {
        return Ok(false);
    }
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN) => return Ok(false),
        other => other?,
    }
    if !is_still_there(parent, name, &stat)? {
        return Ok(false);
    }
    unlink(parent, name, FileType::from_raw_mode(stat.st_mode).is_dir())?;
    Ok(true)
}

fn unlink(parent: &OwnedFd, name: &OsStr, directory: bool) -> Result<(), Errno> {
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    match rustix::fs::unlinkat(parent, name, flags) {
        // The command has made its own directory read-only.
        Err(Errno::ACCESS) => unlink_writable(parent, name, flags),
        other => other,
    }
}

/// Removes an entry of a directory whose permissions forbid it, and leaves the permissions as they were.
fn unlink_writable(parent: &OwnedFd, name: &OsStr, flags: AtFlags) -> Result<(), Errno> {
    let before = Mode::from_raw_mode(rustix::fs::fstat(parent)?.st_mode);
    rustix::fs::chmodat(parent, ".", before | Mode::RWXU, AtFlags::empty())?;
    let removed = rustix::fs::unlinkat(parent, name, flags);
    rustix::fs::chmodat(parent, ".", before, AtFlags::empty())?;
    removed
}

/// Removes a placeholder that an earlier run left behind, if `path` is one and no run uses it.
///
/// # Errors
/// When it is one and cannot be removed.
pub fn reclaim(path: &Path) -> Result<bool, Errno> {
    reclaim_if(path, is_marked)
}

/// As [`reclaim`] for all of a plan, of a janitor that was killed at `since` (seconds of the epoch) or later: an entry
/// that was made but not yet marked goes too.
pub fn reclaim_planned(plan: &MountPlan, since: i64) {
    for (path, _) in planned(plan) {
        let ours = |stat: &Stat| is_marked(stat) || is_bare(stat) && stat.st_ctime >= since - CLOCK_TICK;
        sys::ignore(reclaim_if(path, ours));
    }
}

fn reclaim_if(path: &Path, ours: impl Fn(&Stat) -> bool) -> Result<bool, Errno> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    let parent = rustix::fs::open(above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let fd = match rustix::fs::openat(&parent, name, open_flags(), Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
        other => other?,
    };
    remove_if_unused(&parent, name, &fd, ours)
}
