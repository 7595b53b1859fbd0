//! Room 5, *doing it*: takes a [`Plan`] and knows no policy, no discovery, no vendor.

#![allow(unreachable_pub, reason = "the room is private to the crate, and lib.rs says so once")]

mod bwrap;
mod cache;
pub mod child;
pub mod confine;
pub mod group;
mod guard;
pub mod helper;
pub mod init;
mod janitor;
mod job;
mod native;
pub mod network;
pub mod placeholder;
mod plain;
pub mod scratch;
pub mod session;
pub mod watch;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::plan::Plan;
use crate::plan::choose::Engine;
use child::{Caller, Child, Setup};

#[cfg(fuzzing)]
pub use bwrap::argv;
pub use bwrap::{NAME as INNER_STAGE, inner_stage};

/// Names of steps that have a cure.
pub const CREATE_NAMESPACES: &str = "create namespaces";
/// See [`CREATE_NAMESPACES`].
pub const MAP_IDS: &str = "map user and group ids";
/// See [`CREATE_NAMESPACES`].
pub const PLACEHOLDER: &str = "block the missing entry";
/// See [`CREATE_NAMESPACES`].
pub const STDIO: &str = "connect";
/// See [`CREATE_NAMESPACES`].
pub const MOUNT_PROC: &str = "mount a new proc on";
/// See [`CREATE_NAMESPACES`].
pub const LOAD_FILTER: &str = "load the seccomp filter";
/// See [`CREATE_NAMESPACES`].
pub const LIMIT_FILES: &str = "limit open files";
/// See [`CREATE_NAMESPACES`].
pub const LIMIT_PROCESSES: &str = "limit processes by";
/// See [`CREATE_NAMESPACES`].
pub const MAKE_GROUP: &str = "make the control group in";
const SETUP: &str = "wait for the supervisor";

/// A step of the start that failed: what, where, why.
#[derive(Debug)]
pub struct StepError {
    /// The step, in words.
    pub step: Cow<'static, str>,
    /// The path it was about.
    pub path: Option<PathBuf>,
    /// `errno`; 0 stands for "not what was planned".
    pub errno: i32,
}

impl StepError {
    /// In the place of an `errno`: the step says it all.
    pub const TOLD: i32 = -1;

    /// A failed system call.
    pub fn new(step: &'static str, path: Option<&Path>, error: impl Into<io::Error>) -> Self {
        let errno = error.into().raw_os_error().unwrap_or(libc::EIO);
        Self { step: step.into(), path: path.map(Path::to_owned), errno }
    }

    /// Something else is at the path than when the plan was made.
    #[must_use]
    pub fn changed(step: &'static str, path: &Path) -> Self {
        Self { step: step.into(), path: Some(path.to_owned()), errno: 0 }
    }

    /// Whether something was not what the plan saw: a new plan may fit.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.errno == 0
    }

    /// As it is told when no new plan may be tried any more: what the caller gave is in the command's hands.
    #[must_use]
    pub fn too_late(self) -> Self {
        if !self.is_stale() {
            return self;
        }
        Self {
            step: format!("{}: it is not what it was, start the command again:", self.step).into(),
            errno: Self::TOLD,
            ..self
        }
    }

    /// One thing to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match (self.step.as_ref(), self.errno) {
            (CREATE_NAMESPACES, libc::EPERM | libc::EACCES) => {
                "user namespaces are forbidden here: ringfence doctor tells which setting does it"
            }
            (CREATE_NAMESPACES, libc::ENOSPC | libc::EUSERS) => {
                "too many namespaces: sudo sysctl user.max_user_namespaces=15000, or leave the sandbox you are in"
            }
            (CREATE_NAMESPACES, libc::ENOSYS) => {
                "clone3 is missing or filtered (an old kernel, or a container's seccomp profile)"
            }
            (MAP_IDS, libc::EPERM | libc::EACCES) => {
                "user namespaces are restricted (Ubuntu: AppArmor): ringfence doctor tells how to lift it"
            }
            (bwrap::LOOPBACK, libc::EPERM | libc::EACCES) => {
                "namespaces have no rights here (Ubuntu: AppArmor; or a container): ringfence doctor tells the cure"
            }
            (step, libc::EADDRINUSE) if step.starts_with(network::PUBLISH) => {
                "another program listens on it: choose another one, as in --publish 18080:8080"
            }
            (step, libc::EACCES) if step.starts_with(network::PUBLISH) => {
                "ports below 1024 are root's: choose another one, as in --publish 8080:80"
            }
            (_, 0) => "something changed it while the sandbox was starting: try again",
            (_, libc::EMFILE) => "raise the limit: ulimit -n 65536",
            (MOUNT_PROC, libc::EPERM | libc::EACCES) => {
                "the host's /proc is masked, as in most containers: say --no-proc"
            }
            (PLACEHOLDER, libc::EACCES) => {
                "you own the directory but cannot write in it: chmod u+w it, or use -s read-only"
            }
            (PLACEHOLDER, libc::ENOSPC | libc::EDQUOT) => "make room on the disk of the workspace",
            (LOAD_FILTER, libc::EBUSY) => {
                "a filter around this sandbox has a listener, and there can be one only: [baseline] keep = [\"/proc\"] in \
                 a configuration runs without it, and threads cannot be named in /proc"
            }
            (LIMIT_FILES, libc::EPERM) => "the caller's own limit is lower: ulimit -Hn tells it",
            (LIMIT_PROCESSES, _) => "--pids unlimited runs it without that limit",
            (MAKE_GROUP, libc::EBUSY) => "there are processes in that group: name one that holds only groups",
            (STDIO, _) => "pipe it: cat FILE | ringfence run -- COMMAND, or COMMAND | cat > FILE",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.step)?;
        if let Some(path) = &self.path {
            write!(f, " `{}`", path.display())?;
        }
        match self.errno {
            Self::TOLD => Ok(()),
            0 => write!(f, ": it is not what it was when the plan was made"),
            // mount(2) reports a full mount table as "no space left on device".
            libc::ENOSPC if self.step.contains("mount") => write!(f, ": too many mounts (sysctl fs.mount-max)"),
            errno => write!(f, ": {}", io::Error::from_raw_os_error(errno)),
        }
    }
}

impl std::error::Error for StepError {}

/// Starts the command of a plan, or with a listener a sandbox that is asked for commands.
///
/// # Errors
/// The step that failed. Nothing has run then, and nothing is left behind.
pub fn spawn(plan: &Plan, caller: Caller) -> Result<Child, StepError> {
    let plan = &*cache::made(plan)?;
    let setup = Setup::prepare(plan, caller)?;
    let published = network::publish(plan)?;
    let child = match &plan.choice.engine {
        Engine::Native => native::spawn(plan, setup),
        Engine::Landlock => {
            let (plan, sockets) = network::on_host(plan)?;
            native::spawn(&plan, setup).map(|child| child.with_sockets(sockets))
        }
        Engine::Bwrap { program, argv0 } => bwrap::spawn(plan, setup, program, *argv0),
    };
    child.map(|child| child.with_published(published))
}
