//! Paths below a root, one component at a time: where openat2 is missing, as before Linux 5.6 and in our own sandboxes.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path};

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
        if name == ".." {
            // At the root, it stays there.
            if here.len() > 1 {
                here.pop();
            }
            continue;
        }
        let Some(directory) = here.last() else { return Err(Errno::NOENT) };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = rustix::fs::openat(directory, &name, flags, Mode::empty())?;
        let stat = rustix::fs::statat(&next, "", AtFlags::EMPTY_PATH)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
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

/// The components that lead anywhere, last first.
fn parts(path: &OsStr) -> Vec<OsString> {
    let components = Path::new(path).components().rev();
    components
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
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
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let fd = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let inode = |fd: OwnedFd| rustix::fs::fstat(&fd).unwrap().st_ino;
        for path in [
            ".", "a", "a/b/c", "a/../a/b", "../../a", "up/b", "abs/c", "abs/back", "chain", "circle", "lost", "none",
            "a/file/x", "a/file", "abs", "up",
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
