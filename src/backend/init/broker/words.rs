//! Which words of a call name something, and what the call does with it.

use rustix::fs::OFlags;

/// A path among the words of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) how: How,
    /// The word with the directory's descriptor; without one it is the working directory.
    pub(super) dir: Option<usize>,
    /// The word with the path's address.
    pub(super) path: usize,
    /// Whether a link at its end is followed.
    pub(super) follows: bool,
}

/// What is done with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is opened with these flags.
    Open(OFlags),
    /// It is opened as a structure at this word says.
    OpenAs(usize),
    /// Something is made there, where nothing is.
    Make,
    /// What is there is removed, or moved away.
    Remove,
    /// Something comes to lie there, in the place of what is there.
    Replace,
    /// What is there is changed.
    Change,
    Execute,
    Look,
}

/// An address among the words of a call: where it lies, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) at: u64,
    pub(super) length: usize,
}

/// The address that a call connects or sends to.
pub(super) fn address(number: i32, args: &[u64; 6]) -> Option<Address> {
    let [at, length] = match libc::c_long::from(number) {
        libc::SYS_connect => [args[1], args[2]],
        libc::SYS_sendto => [args[4], args[5]],
        _ => return None,
    };
    // The kernel takes the low word, and no more than the longest address.
    let length = usize::try_from(length & 0xffff_ffff).ok()?.min(size_of::<libc::sockaddr_storage>());
    Some(Address { at, length })
}

/// The paths that a call names.
pub(super) fn paths(number: i32, args: &[u64; 6]) -> [Option<Word>; 2] {
    let flags = |word: usize| flags(args, word);
    let at = |how, dir: usize, follows| Word { how, dir: Some(dir), path: dir + 1, follows };
    let follows = |word: usize| flags(word) & AT_SYMLINK_NOFOLLOW == 0;
    let one = |word| [Some(word), None];
    match libc::c_long::from(number) {
        libc::SYS_openat => {
            let flags = OFlags::from_bits_retain(flags(2));
            one(at(How::Open(flags), 0, !flags.contains(OFlags::NOFOLLOW)))
        }
        libc::SYS_openat2 => one(at(How::OpenAs(2), 0, true)),
        libc::SYS_mkdirat | libc::SYS_mknodat => one(at(How::Make, 0, false)),
        libc::SYS_symlinkat => one(at(How::Make, 1, false)),
        libc::SYS_unlinkat => one(at(How::Remove, 0, false)),
        libc::SYS_renameat | libc::SYS_renameat2 => [Some(at(How::Remove, 0, false)), Some(at(How::Replace, 2, false))],
        libc::SYS_linkat => [Some(at(How::Look, 0, false)), Some(at(How::Make, 2, false))],
        libc::SYS_fchmodat | SYS_FCHMODAT2 => one(at(How::Change, 0, true)),
        libc::SYS_fchownat => one(at(How::Change, 0, follows(4))),
        libc::SYS_utimensat => one(at(How::Change, 0, follows(3))),
        libc::SYS_truncate | libc::SYS_setxattr => one(plain(How::Change, true)),
        libc::SYS_lsetxattr => one(plain(How::Change, false)),
        libc::SYS_execve => one(plain(How::Execute, true)),
        libc::SYS_execveat => one(at(How::Execute, 0, follows(4))),
        libc::SYS_newfstatat => one(at(How::Look, 0, follows(3))),
        libc::SYS_statx => one(at(How::Look, 0, follows(2))),
        libc::SYS_faccessat | libc::SYS_faccessat2 => one(at(How::Look, 0, true)),
        libc::SYS_readlinkat => one(at(How::Look, 0, false)),
        libc::SYS_chdir | libc::SYS_statfs => one(plain(How::Look, true)),
        _ => of_old(number, args),
    }
}

/// Those that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
fn of_old(number: i32, args: &[u64; 6]) -> [Option<Word>; 2] {
    let one = |word| [Some(word), None];
    match libc::c_long::from(number) {
        libc::SYS_open => {
            let flags = OFlags::from_bits_retain(flags(args, 1));
            one(plain(How::Open(flags), !flags.contains(OFlags::NOFOLLOW)))
        }
        libc::SYS_creat => one(plain(How::Open(OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC), true)),
        libc::SYS_mkdir | libc::SYS_mknod => one(plain(How::Make, false)),
        libc::SYS_symlink => one(Word { path: 1, ..plain(How::Make, false) }),
        libc::SYS_unlink | libc::SYS_rmdir => one(plain(How::Remove, false)),
        libc::SYS_rename => [Some(plain(How::Remove, false)), Some(Word { path: 1, ..plain(How::Replace, false) })],
        libc::SYS_link => [Some(plain(How::Look, false)), Some(Word { path: 1, ..plain(How::Make, false) })],
        libc::SYS_chmod | libc::SYS_chown | libc::SYS_utimes => one(plain(How::Change, true)),
        libc::SYS_lchown => one(plain(How::Change, false)),
        libc::SYS_stat | libc::SYS_access => one(plain(How::Look, true)),
        libc::SYS_lstat | libc::SYS_readlink => one(plain(How::Look, false)),
        _ => [None, None],
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn of_old(_: i32, _: &[u64; 6]) -> [Option<Word>; 2] {
    [None, None]
}

const fn plain(how: How, follows: bool) -> Word {
    Word { how, dir: None, path: 0, follows }
}

const AT_SYMLINK_NOFOLLOW: u32 = libc::AT_SYMLINK_NOFOLLOW.cast_unsigned();

/// Since Linux 5.1 new calls have the same number everywhere; libc lacks this one on one of our targets.
const SYS_FCHMODAT2: libc::c_long = 452;

/// A word of flags; the kernel takes the low half.
fn flags(args: &[u64; 6], word: usize) -> u32 {
    let word = args.get(word).copied().unwrap_or_default();
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::syscalls::Watch;
    use crate::plan::syscalls::{Action, Modes, plan};

    #[test]
    fn every_call_that_init_is_asked_about_names_something() {
        let watching = plan(Modes { watch: Some(Watch::Everything), ..Modes::STRICT });
        let asked: Vec<_> = watching.rows.iter().filter(|row| row.action == Action::AskInit).collect();
        assert!(asked.len() > 30, "{}", asked.len());
        for row in asked {
            let number = i32::try_from(row.first).unwrap();
            let named = paths(number, &[0; 6]).iter().any(Option::is_some) || address(number, &[0; 6]).is_some();
            assert!(named, "{row}");
        }
    }

    #[test]
    fn words_are_where_the_calls_have_them() {
        let number = |call: libc::c_long| i32::try_from(call).unwrap();
        let high = 0xdead_beef << 32;
        let nofollow = high | u64::from(AT_SYMLINK_NOFOLLOW);
        let write = OFlags::WRONLY | OFlags::NOFOLLOW;
        let [open, _] = paths(number(libc::SYS_openat), &[0, 0, high | u64::from(write.bits()), 0, 0, 0]);
        assert_eq!(open, Some(Word { how: How::Open(write), dir: Some(0), path: 1, follows: false }));
        let [from, to] = paths(number(libc::SYS_renameat2), &[0; 6]);
        assert_eq!((from.unwrap().path, to.unwrap().dir, to.unwrap().path), (1, Some(2), 3));
        let [link, _] = paths(number(libc::SYS_symlinkat), &[0; 6]);
        assert_eq!((link.unwrap().dir, link.unwrap().path), (Some(1), 2));
        let [stat, _] = paths(number(libc::SYS_newfstatat), &[0, 0, 0, nofollow, 0, 0]);
        assert!(!stat.unwrap().follows);
        assert_eq!(
            address(number(libc::SYS_connect), &[3, 7, high | 16, 0, 0, 0]),
            Some(Address { at: 7, length: 16 })
        );
        assert_eq!(address(number(libc::SYS_sendto), &[3, 0, 0, 0, 9, 900]), Some(Address { at: 9, length: 128 }));
        assert_eq!(paths(number(libc::SYS_read), &[0; 6]), [None, None]);
    }
}
