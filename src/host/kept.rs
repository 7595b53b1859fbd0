//! What is kept from the caller already: inside another sandbox, its masks and read-only mounts hold for ours too.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use super::engines::Engines;
use super::paths::{PathFact, Root};
use super::{Facts, Protected};
use crate::policy::{Policy, paths};

/// Paths that need no protection any more. Only looked for where Landlock alone may enforce: elsewhere everything is
/// protected anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// The caller cannot read them.
    pub unreadable: Vec<PathBuf>,
    /// The caller cannot write them.
    pub unwritable: Vec<PathBuf>,
    /// Whether nothing of the host's `/dev`, `/run` and `/tmp` can be opened but what a sandbox around this one names.
    pub closed: bool,
    /// Whether this is a sandbox of ours whose `/tmp` is private already: a tmpfs of its own.
    pub nested: bool,
}

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;

/// Looks at all that a plan would protect.
#[must_use]
pub fn probe(root: &Root, policy: &Policy, facts: &Facts, engines: &Engines) -> Kept {
    if !engines.leave_landlock_alone(policy) {
        return Kept::default();
    }
    let secrets = facts.secrets.iter().map(|(_, present)| present.path.clone());
    let secrets = secrets.filter(|path| cannot_read(&root.real(path), is_another_s));
    let denied = facts.rules.iter().filter(|(rule, _)| rule.access == paths::Access::None);
    // A denial that somebody wrote is not left to permissions that somebody else can change.
    let denied = denied.filter_map(|(_, fact)| place(fact)).filter(|path| cannot_read(&root.real(path), |_| false));
    let said = facts.env.iter().any(|(name, value)| name == "RINGFENCE" && value == "1");
    let inside = said || matches!(engines.namespaces, Some(Err(_)));
    let unwritable = if inside { unwritable(root, facts) } else { Vec::new() };
    let tmp = root.real(Path::new("/tmp"));
    let tmpfs = rustix::fs::statfs(&tmp).is_ok_and(|found| found.f_type == TMPFS);
    // The variable could be anybody's, and so could a tmpfs: many machines have one on /tmp.
    let nested = said && tmpfs && is_mounted(&tmp) && has_one_user(root);
    Kept { unreadable: secrets.chain(denied).collect(), unwritable, closed: is_closed(root), nested }
}

/// Whether this user namespace maps nobody but the caller, as those of our sandboxes do.
fn has_one_user(root: &Root) -> bool {
    let map = std::fs::read_to_string(root.real(Path::new("/proc/self/uid_map"))).unwrap_or_default();
    let own = rustix::process::geteuid().as_raw().to_string();
    map.split_ascii_whitespace().eq([own.as_str(), own.as_str(), "1"])
}

/// What is to be read-only and lies on a mount that is.
fn unwritable(root: &Root, facts: &Facts) -> Vec<PathBuf> {
    let names = facts.protected.iter().map(|Protected { below, name, .. }| below.join(name));
    let own = facts.own_files.iter().chain(&facts.linked).filter_map(place);
    let git = facts.repos.iter().flat_map(|repo| {
        let directories = repo.git_dir.iter().chain(&repo.common_dir).map(|present| present.path.clone());
        directories.chain(repo.configured.iter().filter_map(|(fact, _)| place(fact)))
    });
    names.chain(own).chain(git).filter(|path| cannot_write(&root.real(path))).collect()
}

fn place(fact: &PathFact) -> Option<PathBuf> {
    match fact {
        PathFact::Present(present) => Some(present.path.clone()),
        PathFact::Missing { parent, name } => Some(parent.join(name)),
        PathFact::Dangling { .. } | PathFact::Unreachable { .. } => None,
    }
}

/// `owned` tells whether the owner of a file is trusted with it.
fn cannot_read(path: &Path, owned: impl Fn(&Path) -> bool) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, path, flags, Mode::empty());
    // What is not there, as some entries of procfs, cannot be read either; nothing of the host can appear in its place.
    match opened {
        Ok(_) => false,
        Err(Errno::ACCESS | Errno::PERM) => owned(path) || is_denied(path) || is_mounted(path) && cannot_write(path),
        Err(_) => path.starts_with("/proc"),
    }
}

/// Whether somebody else owns it, so that the caller cannot change its permissions. Root could be anybody, unless it has given
/// that up for good.
fn is_another_s(path: &Path) -> bool {
    let caller = rustix::process::geteuid();
    let bound = !caller.is_root() || has_no_rights();
    bound && rustix::fs::lstat(path).is_ok_and(|stat| stat.st_uid != caller.as_raw())
}

/// Whether this process has no capability, and gets none by executing a program.
fn has_no_rights() -> bool {
    let none = rustix::thread::capabilities(None).is_ok_and(|sets| sets.permitted.is_empty());
    none && rustix::thread::no_new_privs().is_ok_and(|set| set)
}

/// Whether a file that cannot be opened could be by its owner, who asks, and its permissions: then the sandbox around
/// this one forbids it, and the caller cannot change that.
fn is_denied(path: &Path) -> bool {
    let caller = rustix::process::geteuid().as_raw();
    rustix::fs::lstat(path).is_ok_and(|stat| {
        // Of others' files, an access control list could say so, which only root's are not expected to have.
        let read = if stat.st_uid == caller { 0o400 } else { 0o004 };
        (stat.st_uid == caller || stat.st_uid == 0) && stat.st_mode & read != 0
    })
}

/// Whether the sandbox around this one is Landlock alone, as ours: neither `/` can be listed nor a terminal be opened.
fn is_closed(root: &Root) -> bool {
    let refused = |path: &str, flags: OFlags| {
        let path = root.real(Path::new(path));
        let opened = rustix::fs::openat(CWD, &path, flags | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
        opened.is_err_and(|errno| errno == Errno::ACCESS) && is_denied(&path)
    };
    refused("/", OFlags::RDONLY | OFlags::DIRECTORY) && refused("/dev/ptmx", OFlags::RDWR)
}

/// Whether something is mounted there: bare permissions could be changed by whoever owns the file.
fn is_mounted(path: &Path) -> bool {
    let found = rustix::fs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// A read-only mount: permissions could be changed. Something must be there: what is missing could be made.
fn cannot_write(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}
