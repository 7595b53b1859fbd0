//! Ways that are walked step by step, so that no symbolic link is followed on them: a command may have put one there.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

/// Opens a directory, to look things up in it. Not by `openat2`: a sandbox around this one may not have it.
///
/// # Errors
/// As open(2); `ENOTDIR` where a link is on the way.
pub fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return Err(Errno::INVAL);
    }
    let start = open_entry(CWD, OsStr::new("/"), OFlags::DIRECTORY)?;
    components.try_fold(start, |at, step| match step {
        Component::Normal(name) => open_entry(at, name, OFlags::DIRECTORY),
        _ => Err(Errno::INVAL),
    })
}

/// Opens an entry of a directory as it is, link or not.
///
/// # Errors
/// As open(2).
pub fn open_entry(directory: impl AsFd, name: &OsStr, more: OFlags) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | more;
    rustix::fs::openat(directory, name, flags, Mode::empty())
}

/// Whether entries of a directory can be made by the caller: rights that only this process has for a while do not count
/// (access(2)).
pub fn may_write(at: impl AsFd, directory: &Path) -> bool {
    rustix::fs::accessat(at, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()).is_ok()
}

/// The directory that the last entry was opened in: entries of one directory come one after another.
#[derive(Debug, Default)]
pub struct Last<'a>(Option<(&'a Path, OwnedFd)>);

impl<'a> Last<'a> {
    /// Opens what a path leads to without a link on the way, and what is a link as the link.
    ///
    /// # Errors
    /// As [`open_directory`] and [`open_entry`].
    pub fn open(&mut self, path: &'a Path) -> Result<OwnedFd, Errno> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return open_directory(path) };
        let directory = match self.0.take() {
            Some((last, directory)) if last == parent => directory,
            _ => open_directory(parent)?,
        };
        let opened = open_entry(&directory, name, OFlags::empty());
        self.0 = Some((parent, directory));
        opened
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_link_is_followed() {
        let around = tempfile::tempdir().unwrap();
        let top = around.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("real/below")).unwrap();
        fs::write(top.join("real/below/file"), "").unwrap();
        symlink("real", top.join("link")).unwrap();
        assert!(open_directory(&top.join("real/below")).is_ok() && open_directory(Path::new("/")).is_ok());
        assert!(matches!(open_directory(&top.join("link/below")), Err(Errno::NOTDIR)));
        assert!(matches!(open_directory(&top.join("link")), Err(Errno::NOTDIR)));
        assert!(matches!(open_directory(Path::new("real")), Err(Errno::INVAL)));
        let [real, linked, end] = ["real/below/file", "link/below/file", "link"].map(|path| top.join(path));
        let mut last = Last::default();
        assert!(last.open(&real).is_ok() && last.open(&real).is_ok());
        assert!(matches!(last.open(&linked), Err(Errno::NOTDIR)));
        assert!(last.open(&end).is_ok() && last.open(Path::new("/")).is_ok());
    }
}
