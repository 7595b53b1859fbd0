//! How a placeholder is known: ringfence puts one in the place of a missing protected entry while a command runs.
//!
//! What is a placeholder of another run, or was left by a crash, counts as missing.

use rustix::fs::{FileType, Stat};

/// Modification time of a placeholder, in seconds of the epoch: "\nRIN" as a number, a moment in 1975.
pub const MOMENT: i64 = 0x0A_52_49_4E;

/// Whether it looks like a placeholder, marked or not yet: cannot be written, and holds at most two bytes.
#[must_use]
pub fn is_bare(stat: &Stat) -> bool {
    let permissions = stat.st_mode & 0o7777;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => permissions == 0o555,
        FileType::RegularFile => permissions == 0o444 && stat.st_size <= 2,
        _ => false,
    }
}

/// Whether it is one.
#[must_use]
pub fn is_marked(stat: &Stat) -> bool {
    is_bare(stat) && stat.st_mtime == MOMENT
}
