//! Landlock rights as values: which ones a level means under which ABI, for directories and for everything else.
//!
//! Source: linux/landlock.h; which rights the kernel takes on a file that is no directory: `ACCESS_FILE` in
//! security/landlock/fs.c.

use super::Beneath;

/// Run a file.
pub const EXECUTE: u32 = 1 << 0;
/// Write an existing file.
pub const WRITE_FILE: u32 = 1 << 1;
/// Read a file.
pub const READ_FILE: u32 = 1 << 2;
/// List a directory.
pub const READ_DIR: u32 = 1 << 3;
/// Link or rename to another directory; always denied under ABI 1.
pub const REFER: u32 = 1 << 13;
/// Truncate a file; before ABI 3 nothing but the file's permissions forbids it.
pub const TRUNCATE: u32 = 1 << 14;
/// Talk to a device by ioctl; before ABI 5 nothing but the node's permissions forbids it.
pub const IOCTL_DEV: u32 = 1 << 15;

/// Bits in their order.
const NAMES: &[&str] = &[
    "execute",
    "write-file",
    "read-file",
    "read-dir",
    "remove-dir",
    "remove-file",
    "make-char",
    "make-dir",
    "make-reg",
    "make-sock",
    "make-fifo",
    "make-block",
    "make-sym",
    "refer",
    "truncate",
    "ioctl-dev",
    "resolve-unix",
];

/// The newest ABI that this program knows.
pub const NEWEST_ABI: u32 = 9;

/// Every file system right that an ABI can handle; 0 without Landlock.
#[must_use]
pub const fn all(abi: u32) -> u32 {
    match abi {
        0 => 0,
        1 => 0x1fff,
        2 => 0x3fff,
        3 | 4 => 0x7fff,
        5..=8 => 0xffff,
        _ => 0x1_ffff,
    }
}

/// The rights of a level under an ABI, as a mask for `landlock_add_rule`. `dir`: for a directory and all below it.
#[must_use]
pub const fn rights(allow: Beneath, abi: u32, dir: bool) -> u32 {
    let read = EXECUTE | READ_FILE | READ_DIR;
    let change = WRITE_FILE | TRUNCATE;
    let wanted = match allow {
        Beneath::List => READ_DIR,
        Beneath::Read => read,
        Beneath::Modify => read | change,
        // Devices first: nobody needs ioctls on nodes that lie elsewhere, and there are none.
        Beneath::Write => all(NEWEST_ABI) & !IOCTL_DEV,
        // Of a directory of nodes: its list too. Nothing in it is to be run.
        Beneath::Devices => READ_FILE | WRITE_FILE | IOCTL_DEV | READ_DIR,
    };
    wanted & all(abi) & if dir { all(NEWEST_ABI) } else { of_files(abi) }
}

/// What the kernel takes on a file that is no directory.
const fn of_files(abi: u32) -> u32 {
    const RESOLVE_UNIX: u32 = 1 << 16;
    all(abi) & (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV | RESOLVE_UNIX)
}

/// The names of the rights in a mask.
#[must_use]
pub fn names(mask: u32) -> Vec<&'static str> {
    NAMES.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| *name).collect()
}

/// What an ABI cannot enforce of what the newest one that matters here can, in words; nothing from ABI 6 on.
pub fn missing(abi: u32) -> impl Iterator<Item = &'static str> {
    const SINCE: &[(u32, &str)] = &[
        (3, "files that only Landlock protects can be truncated (ABI 3, Linux 6.2)"),
        (4, "TCP is refused by system calls alone (ABI 4, Linux 6.7)"),
        (5, "ioctls of device nodes are not refused (ABI 5, Linux 6.10)"),
        (6, "processes outside can be sent signals (ABI 6, Linux 6.12)"),
    ];
    SINCE.iter().filter(move |(since, _)| abi < *since).map(|(_, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_means_these_rights_under_every_abi() {
        use Beneath::{Devices, List, Modify, Read, Write};
        // Level, ABI, of a directory, of anything else.
        let table = [
            (List, 1, 0x8, 0),
            (Read, 1, 0xd, 0x5),
            (Read, 9, 0xd, 0x5),
            (Modify, 1, 0xf, 0x7),
            (Modify, 2, 0xf, 0x7),
            (Modify, 3, 0x400f, 0x4007),
            (Modify, 9, 0x400f, 0x4007),
            (Devices, 1, 0xe, 0x6),
            (Devices, 4, 0xe, 0x6),
            (Devices, 5, 0x800e, 0x8006),
            (Devices, 9, 0x800e, 0x8006),
            (Write, 1, 0x1fff, 0x7),
            (Write, 2, 0x3fff, 0x7),
            (Write, 3, 0x7fff, 0x4007),
            (Write, 4, 0x7fff, 0x4007),
            (Write, 5, 0x7fff, 0x4007),
            (Write, 8, 0x7fff, 0x4007),
            (Write, 9, 0x1_7fff, 0x1_4007),
            (Write, 42, 0x1_7fff, 0x1_4007),
            (Write, 0, 0, 0),
        ];
        for (allow, abi, dir, file) in table {
            let got = (rights(allow, abi, true), rights(allow, abi, false));
            assert_eq!(got, (dir, file), "{allow:?} under ABI {abi}: {got:x?}");
        }
    }

    #[test]
    fn narrow_and_device_rights_make_and_remove_nothing() {
        const MAKES: u32 = 0x1ff0 | REFER;
        for abi in 1..=NEWEST_ABI {
            for allow in [Beneath::List, Beneath::Read, Beneath::Modify, Beneath::Devices] {
                assert_eq!(rights(allow, abi, true) & MAKES, 0, "{allow:?} under ABI {abi}");
            }
            assert_ne!(rights(Beneath::Write, abi, true) & MAKES, 0, "the control, ABI {abi}");
            assert_eq!(rights(Beneath::Devices, abi, false) & EXECUTE, 0, "nothing in /dev is run");
        }
    }

    #[test]
    fn rights_have_names() {
        assert_eq!(
            names(rights(Beneath::Modify, 3, true)),
            ["execute", "write-file", "read-file", "read-dir", "truncate"]
        );
        assert_eq!(names(1 << 16), ["resolve-unix"]);
    }
}
