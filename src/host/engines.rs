//! What could enforce a plan here: user namespaces, bubblewrap. Only what the policy's wish needs is looked at.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, fsconfig_create, fsmount, fsopen, mount_change,
};

use super::bwrap::{self, Bwrap, Features};
use super::kernel::Wsl;
use super::paths::{PathFact, Root};
use super::{kernel, read};
use crate::policy::Policy;
use crate::policy::paths::Rule;
use crate::request::Backend;
use crate::sys;

/// What was found out. `None`: nobody asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Engines {
    /// Whether user namespaces can be made, or why not.
    pub namespaces: Option<Result<(), String>>,
    /// The bubblewrap to use, or why there is none.
    pub bwrap: Option<Result<Usable, NoBwrap>>,
    /// Whether a procfs of the sandbox's own can be mounted.
    pub fresh_proc: bool,
    /// Which Windows subsystem for Linux this is.
    pub wsl: Wsl,
}

impl Engines {
    /// Whether Landlock alone could be what enforces: by wish, or where no namespaces can be made.
    #[must_use]
    pub fn leave_landlock_alone(&self, policy: &Policy) -> bool {
        policy.confines() && (policy.backend.value == Backend::Landlock || matches!(self.namespaces, Some(Err(_))))
    }
}

/// A bubblewrap and what it can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usable {
    /// The program.
    pub program: Bwrap,
    /// Its options.
    pub features: Features,
}

/// Why there is no bubblewrap to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoBwrap {
    /// None on PATH outside the directories that a command can write.
    #[error("no bwrap is on PATH outside what the command can write")]
    NotFound,
    /// One that is of no use.
    #[error("`{}` {why}", path.display())]
    Useless {
        /// The program.
        path: std::path::PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// Looks at what the policy's choice of a backend needs to be known.
#[must_use]
pub fn probe(
    path: &Path,
    root: &Root,
    policy: &Policy,
    rules: &[(Rule, PathFact)],
    env: &[(OsString, OsString)],
) -> Engines {
    let live = path == Path::new("/");
    let mut found = Engines { fresh_proc: true, ..Engines::default() };
    let wish = policy.backend.value;
    if !policy.confines() || wish == Backend::Landlock {
        return found;
    }
    let wants_proc = live && policy.proc.value && policy.pid_namespace.value;
    if wish == Backend::Native {
        found.fresh_proc = !wants_proc || fresh_proc();
        return found;
    }
    let version = read::whole(&root.real(Path::new("/proc/version"))).unwrap_or_default();
    found.wsl = kernel::wsl_version(&String::from_utf8_lossy(&version));
    if found.wsl == Wsl::One {
        return found;
    }
    let made = namespaces(path, root);
    if wish != Backend::Auto || made.is_err() {
        // Where we may not make namespaces, another program may: set-user-ID, or with an AppArmor profile of its own.
        found.bwrap = Some(usable(root, policy, rules, env).and_then(|usable| {
            match made {
                Err(_) => bwrap::trial(&usable.program.path)
                    .map(|()| usable.clone())
                    .map_err(|why| NoBwrap::Useless { path: usable.program.path, why }),
                Ok(()) => Ok(usable),
            }
        }));
    }
    // Where nobody can make namespaces, what is outside stays.
    let mounts = made.is_ok() || matches!(found.bwrap, Some(Ok(_)));
    found.fresh_proc = !wants_proc || !mounts || fresh_proc();
    found.namespaces = Some(made);
    found
}

fn usable(
    root: &Root,
    policy: &Policy,
    rules: &[(Rule, PathFact)],
    env: &[(OsString, OsString)],
) -> Result<Usable, NoBwrap> {
    let variable = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let writable = rules.iter().filter_map(|(rule, fact)| match fact {
        PathFact::Present(present) if rule.access.writes() => Some(present.path.as_path()),
        _ => None,
    });
    // Everything lies below `/`, where only a rule makes anything writable.
    let here =
        [policy.workspace.as_path(), policy.start_in.as_path()].into_iter().filter(|path| *path != Path::new("/"));
    let avoided: Vec<_> = writable.chain(here).collect();
    let search = variable("PATH").unwrap_or_default();
    let program = bwrap::find(root, OsStr::new(&search), &avoided).ok_or(NoBwrap::NotFound)?;
    // What the command can write is no memory of ours.
    let cache = bwrap::cache_directory(&variable).filter(|cache| !avoided.iter().any(|path| cache.starts_with(path)));
    match bwrap::features(&program, cache.as_deref()) {
        Ok(Features { perms: false, .. }) => {
            Err(NoBwrap::Useless { path: program.path, why: "is too old: it has no --perms (0.5)".to_owned() })
        }
        Ok(features) => Ok(Usable { program, features }),
        Err(why) => Err(NoBwrap::Useless { path: program.path, why }),
    }
}

/// Settings that can forbid user namespaces, with the value that does.
const FORBIDDING: &[(&str, &str)] = &[
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
];

/// Whether user namespaces can be made. Trying costs a process, so only what looks suspicious is tried.
fn namespaces(path: &Path, root: &Root) -> Result<(), String> {
    let value = |file: &str| read::whole(&root.real(Path::new(file))).unwrap_or_default();
    let setting = FORBIDDING.iter().find(|(file, bad)| value(file).trim_ascii() == bad.as_bytes());
    let live = path == Path::new("/");
    let why = match setting {
        Some((file, bad)) => format!("{file} is {bad}"),
        None if live && is_filtered() => "a system call filter is in force".to_owned(),
        None => return Ok(()),
    };
    if !live {
        return Err(why);
    }
    trial().map_err(|error| format!("{why}: {error}"))
}

/// Whether this process is behind a system call filter, as a container's.
fn is_filtered() -> bool {
    use rustix::thread::SecureComputingMode;
    // The call itself can be what is filtered.
    !matches!(rustix::thread::secure_computing_mode(), Ok(SecureComputingMode::Disabled))
}

/// Namespaces without which nothing can be mounted.
const TRIED: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;

/// Mounts in new namespaces: AppArmor lets a namespace be made and takes the capabilities in it.
fn trial() -> std::io::Result<()> {
    sys::process::try_inside(TRIED, || mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC))
}

/// Entries of procfs that containers and other sandboxes mount something on. The kernel lets nobody mount a new procfs
/// that would show what such a mount hides (`mount_too_revealing` in fs/namespace.c).
const COVERED: &[&str] = &[
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/latency_stats",
    "/proc/bus",
    "/proc/irq",
    "/proc/fs",
    "/proc/acpi",
    "/proc/scsi",
    "/proc/asound",
];

/// Whether a procfs of the sandbox's own can be mounted. Only what looks covered is tried.
fn fresh_proc() -> bool {
    let mount = |path: &str| {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statx(CWD, path, flags, StatxFlags::MNT_ID).ok().map(|found| found.stx_mnt_id)
    };
    let Some(proc) = mount("/proc") else { return false };
    let covered = COVERED.iter().filter_map(|path| mount(path)).any(|other| other != proc);
    !covered || sys::process::try_inside(TRIED, new_procfs).is_ok()
}

fn new_procfs() -> Result<(), rustix::io::Errno> {
    let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(drop)
}
