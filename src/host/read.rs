//! Reads files of procfs and sysfs with as few calls as they need.

use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// What procfs and sysfs give at once, in bytes.
const AT_ONCE: usize = 32 * 1024;

/// All of a file, `None` when it cannot be read. `std::fs::read` asks for the size first, which these files do not
/// know, and then tries small buffers.
pub(super) fn whole(path: &Path) -> Option<Vec<u8>> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty()).ok()?;
    let mut text = Vec::with_capacity(AT_ONCE);
    loop {
        if text.capacity() == text.len() {
            text.reserve(AT_ONCE);
        }
        match rustix::io::read(&fd, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => return Some(text),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}
