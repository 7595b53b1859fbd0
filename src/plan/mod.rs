//! Room 4, *what we will do*: a pure function of policy and facts. The same input gives the same bytes.
//!
//! `ringfence plan` prints a [`Plan`], `ringfence run` carries it out, and nothing happens that is not in it.

mod alone;
pub mod baseline;
pub mod build;
pub mod cache;
pub mod choose;
pub mod denial;
pub mod env;
pub mod error;
pub mod gpu;
pub mod landlock;
pub mod learn;
pub mod limits;
mod links;
pub mod mounts;
pub mod network;
pub mod oci;
pub mod pathmap;
mod profiles;
mod protect;
pub mod seen;
pub mod show;
mod shut;
mod special;
pub mod syscalls;
mod unenforced;
mod view;
pub mod why;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::host::paths::FileId;
use crate::request::network::Unenforced;
use crate::request::{Net, Origin, Said};
use landlock::LandlockPlan;
use mounts::MountPlan;
use syscalls::SyscallPlan;

pub use build::build;
pub use error::PlanError;

/// Everything that will be done to run one command.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The command itself.
    pub process: ProcessPlan,
    /// What confines it; `None` in full-access.
    pub confinement: Option<Confinement>,
    /// Who enforces it, and why not another.
    pub choice: choose::Choice,
    /// What the command may use of the machine.
    pub limits: limits::LimitPlan,
    /// The policy's rules with its baseline: what the confinement was made from.
    pub effective: Vec<baseline::Entry>,
    /// What the baseline wanted, and what became of it.
    pub decisions: Vec<baseline::Decision>,
    /// What the policy says and nothing here enforces: left out, because the user allowed it.
    pub unenforced: Vec<Said<Unenforced>>,
    /// Remarks for the reader: what a promise does not cover, what was adjusted and why.
    pub notes: Vec<String>,
}

impl Plan {
    /// Of a command that nothing confines, or that is confined already.
    #[must_use]
    pub fn of_process(process: ProcessPlan) -> Self {
        Self {
            process,
            confinement: None,
            choice: choose::Choice::nothing(),
            limits: limits::LimitPlan::default(),
            effective: Vec::new(),
            decisions: Vec::new(),
            unenforced: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether everything inside ends with the sandbox's first process.
    #[must_use]
    pub fn has_pid_namespace(&self) -> bool {
        let own = |confinement: &Confinement| confinement.pid_namespace.value;
        self.choice.engine != choose::Engine::Landlock && self.confinement.as_ref().is_some_and(own)
    }
}

/// How the command is started.
#[derive(Debug, Clone)]
pub struct ProcessPlan {
    /// The command and its arguments; never empty.
    pub command: Vec<OsString>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Its environment, complete, and what was taken out of the caller's.
    pub env: env::EnvPlan,
    /// Descriptors above 2 that stay open.
    pub pass_fd: Vec<i32>,
    /// The descriptor of the program, where it is not looked for by the first word of the command: it is executed as it
    /// is, needs no path inside and no `/proc`, and does not stay open.
    pub program: Option<i32>,
}

impl ProcessPlan {
    /// Descriptors of the caller's that must get as far as the command's process.
    pub fn given(&self) -> impl Iterator<Item = i32> {
        self.pass_fd.iter().copied().chain(self.program)
    }
}

/// What stands between the command and the machine.
#[derive(Debug, Clone)]
pub struct Confinement {
    /// The caller's ids, mapped to themselves.
    pub uid: u32,
    /// See [`Confinement::uid`].
    pub gid: u32,
    /// A PID namespace of its own, or the caller's.
    pub pid_namespace: Said<bool>,
    /// Which network.
    pub net: Said<Net>,
    /// The ways out of the sandbox's own network, and into it.
    pub network: Option<network::NetworkPlan>,
    /// The file system view.
    pub mounts: MountPlan,
    /// The Landlock wall under the mounts.
    pub landlock: LandlockPlan,
    /// The system call filter.
    pub syscalls: SyscallPlan,
    /// A directory for temporary files that is made for the command and removed with all in it, where `/tmp` cannot be
    /// made private.
    pub scratch: Option<PathBuf>,
    /// A directory that outlives the command, made where it is missing. What makes it writable is among the mounts.
    pub cache: Option<cache::CacheDirectory>,
}

/// A device node that the command may open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceGrant {
    /// Its path inside, and on the host.
    pub path: PathBuf,
    /// Its path on the host, where that is another one.
    pub source: Option<PathBuf>,
    /// Its number, compared again before it is bound.
    pub major: u32,
    /// See [`DeviceGrant::major`].
    pub minor: u32,
    /// Whether it may only be read.
    pub read_only: bool,
    /// Device and inode of the node's directory entry, where it was looked up on a real machine.
    pub id: Option<FileId>,
    /// Who asked.
    pub because: Origin,
    /// Whether what asked for it is of no use without it.
    pub required: bool,
}

impl DeviceGrant {
    /// Whether this is its path, inside or on the host.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        self.path == path || self.source.as_deref() == Some(path)
    }

    /// Whether one of its paths lies in a directory, or is this one.
    #[must_use]
    pub fn lies_in(&self, top: &Path) -> bool {
        self.path.starts_with(top) || self.source.as_ref().is_some_and(|source| source.starts_with(top))
    }
}
