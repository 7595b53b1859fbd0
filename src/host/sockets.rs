//! Unix sockets of the host that have a path: a read-only mount does not keep anyone from connecting to them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::paths::{Kind, Present, Root};

/// The sockets bound now outside `hidden` directories, from `/proc/net/unix` (proc(5)).
#[must_use]
pub fn bound(root: &Root, hidden: &[&Path]) -> Vec<Present> {
    let text = std::fs::read(root.real(Path::new("/proc/net/unix"))).unwrap_or_default();
    let mut paths: Vec<_> = paths(&text).filter(|path| !hidden.iter().any(|dir| path.starts_with(dir))).collect();
    paths.sort();
    paths.dedup();
    paths.iter().filter_map(|path| root.look_if_present(path)).filter(|found| found.kind == Kind::Socket).collect()
}

/// Absolute paths in the eighth column; abstract names start with `@`, unbound sockets have none.
fn paths(text: &[u8]) -> impl Iterator<Item = PathBuf> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.windows(2).position(|pair| pair == b" /")?;
        Some(PathBuf::from(OsStr::from_bytes(line.get(at + 1..)?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_with_an_absolute_path_are_listed() {
        let text = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 17 /var/lib/x y.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 18 @abstract\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 19\n";
        assert_eq!(paths(text).collect::<Vec<_>>(), [PathBuf::from("/var/lib/x y.sock")]);
    }
}
