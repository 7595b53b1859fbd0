//! Placeholders: what stands on the host in the place of a missing protected entry while a command runs.
//!
//! A mount needs something to be mounted on, and only an entry that exists keeps the command from making its own. The
//! placeholder is marked by itself (empty or `.`, not writable, a modification time that no real file has), so that
//! after a power cut the next run, or `ringfence doctor --fix`, knows it. It is locked (shared) by every run that uses
//! it, so that runs in the same directory share it and the last one removes it.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::backend::StepError;
use crate::host::paths::id_of;
use crate::plan::mounts::{Mount, MountPlan};
use crate::policy::tables::Shape;
use crate::sys;

/// Modification time of a placeholder, in seconds of the epoch: "\nRIN" as a number, a moment in 1975.
const MARK: i64 = 0x0A_52_49_4E;

/// What a [`Shape::Here`] says.
const HERE: &[u8] = b".\n";

/// A placeholder of this run.
#[derive(Debug)]
pub struct Placeholder {
    parent: OwnedFd,
    name: std::ffi::OsString,
    lock: OwnedFd,
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

/// Whether an open file is one of ours.
fn is_marked(fd: &OwnedFd) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let bare = match kind {
        FileType::Directory => Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777 == 0o555,
        FileType::RegularFile => Mode::from_raw_mode(stat.st_mode).as_raw_mode() & 0o7777 == 0o444 && stat.st_size <= 2,
        _ => false,
    };
    #[allow(clippy::useless_conversion, reason = "the field width differs between architectures")]
    Ok(bare && i64::from(stat.st_mtime) == MARK)
}

/// Makes, or joins, the placeholders of a plan. One that cannot be made because the directory cannot be written is left
/// out: the command cannot make the entry either.
///
/// # Errors
/// A full disk, or an entry that appeared since the plan was made.
pub fn make_all(plan: &MountPlan) -> Result<Vec<Placeholder>, StepError> {
    let mut made = Vec::new();
    for op in &plan.ops {
        let Mount::Block { shape } = op.what else { continue };
        match make(&op.target, shape) {
            Ok(Some(placeholder)) => made.push(placeholder),
            Ok(None) => {}
            Err(error) => {
                remove_all(&made);
                return Err(StepError::new(super::PLACEHOLDER, Some(&op.target), error));
            }
        }
    }
    Ok(made)
}

fn make(path: &Path, shape: Shape) -> Result<Option<Placeholder>, Errno> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let parent = match rustix::fs::openat2(rustix::fs::CWD, above, flags, Mode::empty(), resolve) {
        Err(Errno::ACCESS | Errno::PERM) => return Ok(None),
        other => other?,
    };
    // Another run may remove the placeholder between the look and the lock: then it is made again.
    for _ in 0..100 {
        match create(&parent, name, shape) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => return Ok(None),
            Err(error) => return Err(error),
        }
        let lock = match rustix::fs::openat(&parent, name, open_flags(), Mode::empty()) {
            Err(Errno::NOENT) => continue,
            other => other?,
        };
        rustix::fs::flock(&lock, FlockOperation::LockShared)?;
        if !is_still_there(&parent, name, &lock) {
            continue;
        }
        // A foreign entry made since the plan was made is not ours to hide or to remove.
        return if is_marked(&lock)? {
            Ok(Some(Placeholder { parent, name: name.to_owned(), lock }))
        } else {
            Err(Errno::EXIST)
        };
    }
    Err(Errno::AGAIN)
}

fn create(parent: &OwnedFd, name: &OsStr, shape: Shape) -> Result<(), Errno> {
    let old_mask = rustix::process::umask(Mode::empty());
    let made = match shape {
        Shape::Dir => rustix::fs::mkdirat(parent, name, permissions(shape)),
        Shape::File | Shape::Here => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, permissions(shape)).and_then(|fd| {
                let text = if shape == Shape::Here { HERE } else { b"" };
                rustix::io::write(&fd, text).map(drop)
            })
        }
    };
    rustix::process::umask(old_mask);
    made?;
    let mark = Timespec { tv_sec: MARK, tv_nsec: 0 };
    let times = Timestamps { last_access: mark, last_modification: mark };
    rustix::fs::utimensat(parent, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

fn is_still_there(parent: &OwnedFd, name: &OsStr, fd: &OwnedFd) -> bool {
    let (Ok(now), Ok(opened)) = (rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW), rustix::fs::fstat(fd))
    else {
        return false;
    };
    id_of(&now) == id_of(&opened)
}

/// Opens and locks a placeholder for as long as the result lives; `None` when there is none.
///
/// # Errors
/// When it cannot be opened or locked, or is no placeholder: `EEXIST`.
pub fn hold(root: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let fd = match rustix::fs::openat(root, path, open_flags(), Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        other => other?,
    };
    rustix::fs::flock(&fd, FlockOperation::LockShared)?;
    if is_marked(&fd)? { Ok(Some(fd)) } else { Err(Errno::EXIST) }
}

/// Removes the placeholders that no other run uses. What cannot be removed is left to the next run.
pub fn remove_all(placeholders: &[Placeholder]) {
    for Placeholder { parent, name, lock } in placeholders {
        // The shared lock becomes an exclusive one only when nobody else holds it.
        if rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            sys::ignore(remove(parent, name, lock));
        }
    }
}

fn remove(parent: &OwnedFd, name: &OsStr, fd: &OwnedFd) -> Result<(), Errno> {
    if !is_marked(fd)? || !is_still_there(parent, name, fd) {
        return Ok(());
    }
    let directory = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode).is_dir();
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(parent, name, flags)
}

/// Removes a placeholder that an earlier run left behind, if `path` is one and no run uses it.
///
/// # Errors
/// When it is one and cannot be removed.
pub fn reclaim(path: &Path) -> Result<bool, Errno> {
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(false) };
    let parent = rustix::fs::open(above, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let fd = match rustix::fs::openat(&parent, name, open_flags(), Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP) => return Ok(false),
        other => other?,
    };
    if !is_marked(&fd)? || rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    remove(&parent, name, &fd).map(|()| true)
}

/// Whether `path` is a placeholder of ours.
#[must_use]
pub fn is_placeholder(path: &Path) -> bool {
    let found = rustix::fs::open(path, open_flags(), Mode::empty());
    found.is_ok_and(|fd| is_marked(&fd).unwrap_or(false))
}
