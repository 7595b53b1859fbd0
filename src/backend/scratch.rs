//! A directory for temporary files that nobody else may enter, where `/tmp` cannot be made private.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::StepError;
use crate::host::scratch::is_name;
use crate::sys;

/// The directory of a running sandbox. The lock tells `ringfence doctor` that it is in use.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    opened: OwnedFd,
}

impl Scratch {
    /// Makes it; somebody who took the name makes the plan a stale one.
    ///
    /// # Errors
    /// As mkdir(2).
    pub fn make(path: &Path) -> Result<Self, StepError> {
        const STEP: &str = "make a directory for temporary files";
        let fail = |error: Errno| StepError::new(STEP, Some(path), error);
        match rustix::fs::mkdir(path, Mode::RWXU) {
            Err(Errno::EXIST) => return Err(StepError::changed(STEP, path)),
            other => other.map_err(fail)?,
        }
        let locked = open(CWD, path)
            .and_then(|opened| rustix::fs::flock(&opened, FlockOperation::NonBlockingLockShared).map(|()| opened));
        match locked {
            Ok(opened) => Ok(Self { path: path.to_owned(), opened }),
            Err(error) => {
                sys::ignore(rustix::fs::rmdir(path));
                Err(fail(error))
            }
        }
    }

    /// Removes it with all that is in it. Nothing of the sandbox runs any more.
    pub fn remove(self) {
        let remove = || empty(&self.opened).and_then(|()| rustix::fs::rmdir(&self.path));
        // Memory comes back. What cannot be removed is left to `ringfence doctor --fix`.
        sys::ignore(remove().or_else(|_| remove()));
    }
}

/// Removes a directory that a sandbox left behind, if none uses it: `false` otherwise.
///
/// # Errors
/// When it cannot be removed.
pub fn reclaim(path: &Path) -> Result<bool, Errno> {
    let Some(opened) = abandoned(path) else { return Ok(false) };
    empty(&opened)?;
    rustix::fs::rmdir(path).map(|()| true)
}

/// Whether a path is such a directory, of the caller, that no sandbox uses.
#[must_use]
pub fn is_abandoned(path: &Path) -> bool {
    abandoned(path).is_some()
}

fn abandoned(path: &Path) -> Option<OwnedFd> {
    let ours = |stat: &rustix::fs::Stat| {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        is_directory && stat.st_uid == rustix::process::geteuid().as_raw()
    };
    let named = path.file_name().is_some_and(is_name);
    rustix::fs::lstat(path).ok().filter(|stat| named && ours(stat))?;
    let opened = match open(CWD, path) {
        // The command may have taken the permissions away.
        Err(Errno::ACCESS) => let_in(CWD, path).and_then(|()| open(CWD, path)),
        other => other,
    };
    let opened = opened.ok()?;
    let is_it = rustix::fs::fstat(&opened).is_ok_and(|stat| ours(&stat));
    let free = rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive).is_ok();
    (is_it && free).then_some(opened)
}

fn open(directory: impl AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Gives a directory of ours its permissions back: the directory itself, and not what a link in its place leads to.
fn let_in(directory: impl AsFd, name: impl rustix::path::Arg) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", held.as_raw_fd()), Mode::RWXU)
}

/// Empties a directory without following a link and without going deeper than one level: a command can nest directories
/// deeper than any stack, so what lies in a directory is moved up before the directory goes.
fn empty(top: &OwnedFd) -> Result<(), Errno> {
    // The command may have taken the permissions away, from itself and so from us.
    rustix::fs::fchmod(top, Mode::RWXU)?;
    let mut next: u64 = 0;
    let mut directories = take_out(top, top, &mut next)?;
    while let Some(name) = directories.pop() {
        sys::ignore(let_in(top, &name));
        let directory = open(top, &name)?;
        directories.extend(take_out(top, &directory, &mut next)?);
        rustix::fs::unlinkat(top, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Removes the files of a directory and moves its directories to the top, under new names, which come back.
fn take_out(top: &OwnedFd, directory: &OwnedFd, next: &mut u64) -> Result<Vec<OsString>, Errno> {
    let mut moved = Vec::new();
    let entries: Vec<_> = Dir::read_from(directory)?.collect::<Result<_, _>>()?;
    for entry in entries {
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                // The file system does not tell types.
                Err(Errno::ISDIR) => {}
                other => {
                    other?;
                    continue;
                }
            }
        }
        let mut free;
        loop {
            free = OsString::from_vec(format!(".{next}").into_bytes());
            *next += 1;
            // A directory that is moved must be writable itself: its `..` changes.
            sys::ignore(let_in(directory, name));
            match rustix::fs::renameat_with(directory, name, top, &free, rustix::fs::RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                other => break other?,
            }
        }
        moved.push(free);
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_link_in_its_place_gives_nothing_else_permissions() {
        let around = tempfile::tempdir().expect("a directory");
        let precious = around.path().join("precious");
        fs::create_dir(&precious).expect("mkdir");
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o500)).expect("chmod");
        let link = around.path().join("link");
        symlink(&precious, &link).expect("link");
        let mode = || fs::metadata(&precious).expect("stat").permissions().mode() & 0o777;
        assert_eq!((let_in(CWD, &link), mode()), (Err(Errno::NOTDIR), 0o500));
        assert_eq!((let_in(CWD, &precious), mode()), (Ok(()), 0o700), "the control");
    }

    #[test]
    fn everything_in_it_goes_and_nothing_else() {
        let around = tempfile::tempdir().expect("a directory");
        let precious = around.path().join("precious");
        fs::create_dir(&precious).expect("mkdir");
        fs::write(precious.join("file"), "kept").expect("write");
        let path = around.path().join("ringfence-1-0123456789abcdef");
        let scratch = Scratch::make(&path).expect("made");
        assert!(matches!(Scratch::make(&path), Err(error) if error.is_stale()), "the name is taken");
        assert_eq!(reclaim(&path), Ok(false), "it is in use");
        fs::create_dir_all(path.join("a/b/.0/c")).expect("mkdir");
        fs::write(path.join("a/b/file"), "x").expect("write");
        symlink(&precious, path.join("a/link")).expect("link");
        let closed = path.join("a/b/closed/deeper");
        fs::create_dir_all(&closed).expect("mkdir");
        fs::set_permissions(closed.parent().expect("closed"), fs::Permissions::from_mode(0o000)).expect("chmod");
        let mut deep = path.clone();
        let deepest = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("open");
        let mut at = deepest;
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("mkdirat");
            at = open(&at, "d").expect("open");
            deep.push("d");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).expect("chmod");
        scratch.remove();
        assert!(!path.exists(), "it is gone");
        assert_eq!(fs::read_to_string(precious.join("file")).expect("read"), "kept");
        fs::create_dir(&path).expect("mkdir");
        fs::write(path.join("file"), "x").expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("chmod");
        assert_eq!(reclaim(&path), Ok(true), "its mode says nothing");
        for other in ["ringfence-build", "ringfence-7-cafe", "ringfence--0123456789abcdef"] {
            let other = around.path().join(other);
            fs::create_dir(&other).expect("mkdir");
            fs::set_permissions(&other, fs::Permissions::from_mode(0o700)).expect("chmod");
            assert_eq!(reclaim(&other), Ok(false), "somebody else's name");
        }
    }
}
