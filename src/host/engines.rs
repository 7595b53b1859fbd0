//! What could enforce a plan here: user namespaces, bubblewrap. Only what the policy's wish needs is looked at.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::WaitOptions;

use super::bwrap::{self, Bwrap, Features};
use super::kernel::Wsl;
use super::paths::{PathFact, Root};
use super::{kernel, read};
use crate::policy::Policy;
use crate::policy::paths::Rule;
use crate::request::Backend;
use crate::sys::{self, process::Forked};

/// What was found out. `None`: nobody asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Engines {
    /// Whether user namespaces can be made, or why not.
    pub namespaces: Option<Result<(), String>>,
    /// The bubblewrap to use, or why there is none.
    pub bwrap: Option<Result<Usable, NoBwrap>>,
    /// Which Windows subsystem for Linux this is.
    pub wsl: Wsl,
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
    #[error("bwrap is not on PATH")]
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
    let mut found = Engines::default();
    let wish = policy.backend.value;
    if !policy.confines() || matches!(wish, Backend::Native | Backend::Landlock) {
        return found;
    }
    let version = read::whole(&root.real(Path::new("/proc/version"))).unwrap_or_default();
    found.wsl = kernel::wsl_version(&String::from_utf8_lossy(&version));
    if found.wsl == Wsl::One {
        return found;
    }
    if wish == Backend::Auto {
        found.namespaces = Some(namespaces(path, root));
    }
    if wish != Backend::Auto || found.namespaces.as_ref().is_some_and(Result::is_err) {
        found.bwrap = Some(usable(root, policy, rules, env));
    }
    if wish == Backend::BwrapFirst {
        found.namespaces = Some(namespaces(path, root));
    }
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
    match bwrap::features(&program, bwrap::cache_directory(&variable).as_deref()) {
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

/// Makes namespaces in a process of its own, which ends at once, and mounts in them: AppArmor lets a namespace be made
/// and takes the capabilities in it.
fn trial() -> std::io::Result<()> {
    let wanted = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID;
    match sys::process::fork_into(u64::from(wanted.cast_unsigned()))? {
        Forked::Child => {
            let mounted = mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
            sys::process::exit_now(mounted.map_or_else(rustix::io::Errno::raw_os_error, |()| 0))
        }
        Forked::Parent(pid, _) => {
            let ended = rustix::process::waitpid(Some(pid), WaitOptions::empty())?;
            match ended.and_then(|(_, status)| status.exit_status()) {
                Some(0) => Ok(()),
                errno => Err(std::io::Error::from_raw_os_error(errno.unwrap_or(libc::EPERM))),
            }
        }
    }
}
