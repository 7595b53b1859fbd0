//! Reads files of procfs and sysfs with as few calls as they need.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::trouble::heard_of;

/// What procfs and sysfs give at once, in bytes.
const AT_ONCE: usize = 32 * 1024;

/// More than any of these files has, in bytes: what gives more is something else in its place.
const MOST: usize = 64 * 1024 * 1024;

/// All of a file, `None` when it cannot be read, or has no end within [`MOST`]. `std::fs::read` asks for the size first,
/// which these files do not know, and then tries small buffers. A named pipe in its place does not stop the start.
pub(super) fn whole(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty()).inspect_err(|errno| heard_of(path, *errno)).ok()?;
    let mut text = Vec::with_capacity(AT_ONCE);
    loop {
        if text.capacity() == text.len() {
            text.reserve(AT_ONCE);
        }
        match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => return Some(text),
            Ok(_) if text.len() > MOST => return None,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => {
                heard_of(path, errno);
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_or_no_beginning_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, vec![b'x'; 3 * AT_ONCE]).unwrap();
        assert_eq!(whole(&path).unwrap().len(), 3 * AT_ONCE);
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(whole(&pipe), Some(Vec::new()));
        assert_eq!(whole(Path::new("/dev/zero")), None);
        assert_eq!(whole(&dir.path().join("none")), None);
    }
}
