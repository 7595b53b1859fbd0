//! Unix sockets of the host that have a path: a read-only mount does not keep anyone from connecting to them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::paths::{Kind, Present, Root};
use super::read;

/// The sockets bound now outside `hidden` directories, from `/proc/net/unix` (proc(5)).
#[must_use]
pub fn bound(root: &Root, hidden: &[&Path]) -> Vec<Present> {
    let text = read::whole(&root.real(Path::new("/proc/net/unix"))).unwrap_or_default();
    let mut paths: Vec<_> = paths(&text).filter(|path| !hidden.iter().any(|dir| path.starts_with(dir))).collect();
    paths.sort();
    paths.dedup();
    paths.iter().filter_map(|path| root.look_if_present(path)).filter(|found| found.kind == Kind::Socket).collect()
}

/// As [`bound`], of those in directories that are named.
#[must_use]
pub fn bound_below(root: &Root, directories: &[&Path]) -> Vec<PathBuf> {
    if directories.is_empty() {
        return Vec::new();
    }
    let text = read::whole(&root.real(Path::new("/proc/net/unix"))).unwrap_or_default();
    let below = |path: &PathBuf| directories.iter().any(|directory| path.starts_with(directory));
    let places = paths(&text).filter_map(|path| Some(root.look_if_present(&path)?.path));
    places.filter(below).collect()
}

/// Absolute paths in the eighth column.
fn paths(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    names(text).filter(|name| name.is_absolute())
}

/// Names in the eighth column, as they were bound; abstract ones start with `@`, unbound sockets have none.
fn names(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    text.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        // Seven columns without blanks, separated by some; the inode is padded to five.
        let mut rest = line;
        for _ in 0..7 {
            let at = rest.iter().position(|byte| *byte == b' ')?;
            rest = rest.get(at..)?.trim_ascii_start();
        }
        (!rest.is_empty() && !rest.starts_with(b"@")).then(|| PathBuf::from(OsStr::from_bytes(rest)))
    })
}

/// Those of the socket files found in the workspace that somebody may listen on: the kernel tells a relative name as it
/// was said, without the directory that it is relative to.
#[must_use]
pub fn bound_among(root: &Root, files: Vec<Present>) -> Vec<Present> {
    if files.is_empty() {
        return files;
    }
    let text = read::whole(&root.real(Path::new("/proc/net/unix"))).unwrap_or_default();
    let relative: Vec<_> = names(&text).filter(|name| !name.is_absolute()).collect();
    let listens = |file: &Present| relative.iter().any(|name| name.file_name() == file.path.file_name());
    files.into_iter().filter(listens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_with_an_absolute_path_are_listed() {
        let text = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17 /var/lib/x y.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 18 @abstract\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    20 rel/s\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 19\n";
        assert_eq!(paths(text).collect::<Vec<_>>(), [PathBuf::from("/var/lib/x y.sock")]);
        assert_eq!(names(text).collect::<Vec<_>>(), ["/var/lib/x y.sock", "rel/s"].map(PathBuf::from));
    }
}
