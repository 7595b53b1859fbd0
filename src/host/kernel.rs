//! What this kernel can do, with the settings that explain it where it cannot.
//!
//! Files are read below a root; what only a system call tells is passed in as [`Calls`]. Nothing is decided here.

mod wsl;

use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::trouble::heard_of;

pub use wsl::{Wsl, wsl_version};

/// Highest Landlock ABI version, 0 without Landlock (landlock_create_ruleset(2)).
#[must_use]
pub fn landlock_abi() -> u32 {
    let told = crate::sys::landlock::abi();
    told.inspect_err(|errno| heard_of(Path::new("Landlock"), *errno)).unwrap_or(0)
}

/// How the kernel answers a system call that is tried without effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It knows the call.
    Known,
    /// It is older than the call, or a filter pretends so.
    Missing,
    /// Something between us and the kernel, such as a container's filter, refuses it with this `errno`.
    Refused(i32),
}

/// What only system calls tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    /// Highest Landlock ABI, 0 without Landlock.
    pub landlock_abi: u32,
    /// `open_tree`: mounts by descriptor.
    pub mounts: Answer,
    /// `mount_setattr`: attributes of many mounts at once.
    pub mount_attributes: Answer,
    /// `openat2`: paths opened without following links.
    pub openat2: Answer,
}

impl Calls {
    /// Asks the running kernel. Nothing is mounted, changed or kept open.
    #[must_use]
    pub fn tried() -> Self {
        // Without OPEN_TREE_CLONE this only opens a location, which needs no privilege.
        let tree = answer(open_tree(CWD, "/", OpenTreeFlags::OPEN_TREE_CLOEXEC).map(drop));
        let attributes = match crate::sys::mount::attributes_are_settable() {
            Ok(()) => Answer::Known,
            Err(error) => refusal(&error),
        };
        let how = OFlags::PATH | OFlags::CLOEXEC;
        let opened = rustix::fs::openat2(CWD, "/", how, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        let openat2 = answer(opened.map(drop));
        Self { landlock_abi: landlock_abi(), mounts: tree, mount_attributes: attributes, openat2 }
    }
}

fn answer(result: Result<(), Errno>) -> Answer {
    result.map_or_else(|errno| refusal(&errno.into()), |()| Answer::Known)
}

fn refusal(error: &io::Error) -> Answer {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => Answer::Missing,
        errno => Answer::Refused(errno.unwrap_or(libc::EIO)),
    }
}

/// What is known about the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// Release, such as `6.12.0-1-amd64`; empty when it cannot be read.
    pub release: String,
    /// Answers to system calls.
    pub calls: Calls,
    /// Whether this is the Windows subsystem for Linux.
    pub wsl: Wsl,
    /// Settings of user namespaces.
    pub user_namespaces: UserNamespaces,
    /// AppArmor.
    pub apparmor: AppArmor,
    /// Security modules in force; `None` when securityfs is not mounted.
    pub security_modules: Option<Vec<String>>,
    /// seccomp.
    pub seccomp: Seccomp,
    /// Whether `/proc` is mounted: without it, most of this is not known.
    pub proc_mounted: bool,
    /// What marks this as the inside of a container: the file that says so.
    pub container: Option<&'static str>,
}

/// Settings that decide who may make user namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserNamespaces {
    /// Whether the kernel was built with them.
    pub built_in: bool,
    /// `user.max_user_namespaces`.
    pub max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, which Debian's kernels and some others have.
    pub unprivileged: Option<bool>,
    /// Whether this process is in a user namespace already.
    pub nested: bool,
}

/// What AppArmor does to user namespaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppArmor {
    /// Whether it is in force.
    pub enabled: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns`: without a profile that says `userns`, a new user namespace has
    /// no capabilities in it.
    pub restricts: bool,
    /// The profile of this process; `unconfined` without one.
    pub profile: Option<String>,
}

/// What the kernel says about seccomp.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seccomp {
    /// Actions that a filter may use; `None` before Linux 4.14 or without seccomp.
    pub actions: Option<Vec<String>>,
    /// Whether `/proc/self/status` knows it at all.
    pub built_in: bool,
    /// Whether a filter holds for this process already.
    pub filtered: bool,
}

/// Reads everything below `root`, which is `/` in production. What cannot be read is not known, never an error.
#[must_use]
pub fn probe(root: &Path, calls: Calls) -> Kernel {
    let version = text(root, "/proc/version").unwrap_or_default();
    Kernel {
        release: text(root, "/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        calls,
        wsl: wsl_version(&version),
        user_namespaces: user_namespaces(root),
        apparmor: apparmor(root),
        security_modules: words(root, "/sys/kernel/security/lsm", ','),
        seccomp: seccomp(root),
        proc_mounted: exists(root, "/proc/self"),
        container: ["/.dockerenv", "/run/.containerenv"].into_iter().find(|file| exists(root, file)),
    }
}

fn user_namespaces(root: &Path) -> UserNamespaces {
    // The whole range of ids mapped to itself: only the first namespace of all looks like that.
    let whole = |map: String| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    UserNamespaces {
        built_in: exists(root, "/proc/self/ns/user"),
        max: number(root, "/proc/sys/user/max_user_namespaces"),
        unprivileged: number(root, "/proc/sys/kernel/unprivileged_userns_clone").map(|value| value != 0),
        nested: text(root, "/proc/self/uid_map").is_some_and(|map| !whole(map)),
    }
}

fn apparmor(root: &Path) -> AppArmor {
    let profile = text(root, "/proc/self/attr/apparmor/current");
    AppArmor {
        enabled: text(root, "/sys/module/apparmor/parameters/enabled").is_some_and(|text| text.starts_with('Y')),
        restricts: number(root, "/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1),
        profile: profile.map(|profile| profile.trim().to_owned()).filter(|profile| !profile.is_empty()),
    }
}

fn seccomp(root: &Path) -> Seccomp {
    let status = text(root, "/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map(str::trim);
    Seccomp {
        actions: words(root, "/proc/sys/kernel/seccomp/actions_avail", ' '),
        built_in: mode.is_some(),
        filtered: mode.is_some_and(|mode| mode != "0"),
    }
}

/// `path`, absolute, below `root`.
fn below(root: &Path, path: &str) -> std::path::PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn exists(root: &Path, path: &str) -> bool {
    std::fs::symlink_metadata(below(root, path)).is_ok()
}

fn text(root: &Path, path: &str) -> Option<String> {
    super::read::whole(&below(root, path)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn number(root: &Path, path: &str) -> Option<u64> {
    text(root, path)?.trim().parse().ok()
}

fn words(root: &Path, path: &str, separator: char) -> Option<Vec<String>> {
    let text = text(root, path)?;
    Some(text.trim().split(separator).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
