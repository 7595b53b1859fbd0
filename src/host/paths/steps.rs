//! Paths below a root, one component at a time: where openat2 is missing, as before Linux 5.6 and in our own sandboxes.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// As many links as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Opens a location below a root. Links are read as text and begin again at the root, so none leads out of it, and the
/// magic ones of procfs are links like any other.
///
/// # Errors
/// As openat2(2) with `RESOLVE_IN_ROOT`: `ELOOP` for a link where `follow` is false, or for too many.
pub(in crate::host) fn open(root: &OwnedFd, path: &Path, follow: bool) -> Result<OwnedFd, Errno> {
    let mut rest = parts(path.as_os_str());
    let mut here = vec![rustix::io::fcntl_dupfd_cloexec(root, 3)?];
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let Some(directory) = here.last() else { return Err(Errno::NOENT) };
        if name == "." || name == ".." {
            if kind(directory)? != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            // At the root, `..` stays there.
            if name == ".." && here.len() > 1 {
                here.pop();
            }
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = rustix::fs::openat(directory, &name, flags, Mode::empty())?;
        if kind(&next)? != FileType::Symlink {
            here.push(next);
            continue;
        }
        links += 1;
        if !follow || links > LINKS {
            return Err(Errno::LOOP);
        }
        let target = OsString::from_vec(rustix::fs::readlinkat(&next, "", Vec::new())?.into_bytes());
        if target.as_bytes().starts_with(b"/") {
            here.truncate(1);
        }
        rest.extend(parts(&target));
    }
    here.pop().ok_or(Errno::NOENT)
}

fn kind(location: &OwnedFd) -> Result<FileType, Errno> {
    rustix::fs::statat(location, "", AtFlags::EMPTY_PATH).map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// The components, last first. A slash at the end is a `.`: what it stands behind must be a directory.
fn parts(path: &OsStr) -> Vec<OsString> {
    let mut names: Vec<_> = path.as_bytes().split(|byte| *byte == b'/').collect();
    if let Some(last) = names.last_mut().filter(|last| last.is_empty()) {
        *last = b".";
    }
    names.into_iter().rev().filter(|name| !name.is_empty()).map(|name| OsStr::from_bytes(name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn steps_lead_where_openat2_leads() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        std::fs::write(root.join("a/file"), "").unwrap();
        for (link, target) in [
            ("up", "../../a"),
            ("abs", "/a/b"),
            ("a/b/back", "../file"),
            ("circle", "circle"),
            ("lost", "a/none"),
            ("chain", "abs/back"),
            ("dot", "a/file/."),
            ("slash", "a/file/"),
            ("beside", "a/file/../b"),
            ("good", "a/./b/."),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let fd = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let inode = |fd: OwnedFd| rustix::fs::fstat(&fd).unwrap().st_ino;
        for path in [
            ".",
            "a",
            "a/b/c",
            "a/../a/b",
            "../../a",
            "up/b",
            "abs/c",
            "abs/back",
            "chain",
            "circle",
            "lost",
            "none",
            "a/file/x",
            "a/file",
            "abs",
            "up",
            "dot",
            "slash",
            "beside",
            "good",
            "a/file/.",
            "a/file/",
            "a/file/..",
            "a/b/",
            "a//b/./c",
            "good/",
        ] {
            for follow in [true, false] {
                use rustix::fs::ResolveFlags;
                let more = if follow { ResolveFlags::empty() } else { ResolveFlags::NO_SYMLINKS };
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                let want = rustix::fs::openat2(&fd, path, flags, Mode::empty(), resolve).map(inode);
                assert_eq!(open(&fd, Path::new(path), follow).map(inode), want, "{path} {follow}");
            }
        }
    }
}
