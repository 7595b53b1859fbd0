//! Where a path leads, as the plan would name it: without links, from the root on.

use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::plan::seen::OF_EACH_PROCESS;
use crate::policy::paths::normal;

/// A path, and whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    pub(super) there: bool,
}

/// So many names at the end of a path may be missing.
const MOST_MISSING: usize = 12;

/// Follows an absolute path in this process's view, which is the command's, as far as there is something; what is left of it
/// is added as it is said.
pub(super) fn place(proc: &OwnedFd, named: &Path, follows: bool) -> Place {
    // They would lead init to its own.
    if OF_EACH_PROCESS.iter().any(|top| named.starts_with(top)) {
        return Place { path: normal(named), there: true };
    }
    if let Some(path) = found(proc, named, follows) {
        return Place { path, there: true };
    }
    let mut rest = Vec::new();
    let mut above = named;
    // Whoever makes paths that take long to look up must not keep all others waiting.
    for _ in 0..MOST_MISSING {
        let (Some(parent), name) = (above.parent(), above.components().next_back()) else { break };
        if let Some(name) = name {
            rest.push(name);
        }
        above = parent;
        if let Some(mut path) = found(proc, above, true) {
            path.extend(rest.iter().rev());
            return Place { path: normal(&path), there: false };
        }
    }
    Place { path: normal(named), there: false }
}

/// Links that the kernel makes up lead out of any view.
fn found(proc: &OwnedFd, path: &Path, follows: bool) -> Option<PathBuf> {
    let follow = if follows { OFlags::empty() } else { OFlags::NOFOLLOW };
    let flags = OFlags::PATH | OFlags::CLOEXEC | follow;
    let file = rustix::fs::openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).ok()?;
    let name = rustix::fs::readlinkat(proc, format!("self/fd/{}", file.as_raw_fd()), Vec::new()).ok()?.into_bytes();
    // bubblewrap covers files with some that have no name any more.
    let covered = name.strip_suffix(DELETED).filter(|_| !path.as_os_str().as_bytes().ends_with(DELETED));
    Some(PathBuf::from(OsString::from_vec(covered.unwrap_or(&name).to_vec())))
}

/// What the kernel adds to the name of a file that has none.
const DELETED: &[u8] = b" (deleted)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::init::broker::memory::own_proc;

    #[test]
    fn a_path_is_followed_as_far_as_there_is_something() {
        let proc = own_proc().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("d")).unwrap();
        std::fs::write(top.join("d/file"), "").unwrap();
        std::os::unix::fs::symlink("d", top.join("link")).unwrap();
        let look = |name: &str, follows| {
            let Place { path, there } = place(&proc, &top.join(name), follows);
            (path.strip_prefix(&top).unwrap().to_str().unwrap().to_owned(), there)
        };
        let table = [
            ("d/file", true, "d/file", true),
            ("link/file", true, "d/file", true),
            ("link", true, "d", true),
            ("link", false, "link", true),
            ("link/new", true, "d/new", false),
            ("link/a/b/../c", true, "d/a/c", false),
            ("d/../d/file", true, "d/file", true),
            ("", true, "", true),
        ];
        for (name, follows, want, there) in table {
            assert_eq!(look(name, follows), (want.to_owned(), there), "{name}");
        }
        for own in ["/proc/self/exe", "/dev/stdin"] {
            assert_eq!(place(&proc, Path::new(own), true).path, Path::new(own));
        }
    }
}
