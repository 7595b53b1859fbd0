//! The Landlock wall: what may be changed, said a second time by inode, so that a descriptor of a host mount that came
//! in as standard input cannot be re-opened for more than the mounts allow.

pub mod carve;
pub mod rights;

use std::path::{Path, PathBuf};

use crate::host::paths::FileId;
use crate::policy::Policy;
use crate::policy::paths::Access;
use crate::request::Origin;

use super::mounts::{Mount, MountOp, Node, Tree, View};

/// The first ABI whose rules cover everything the wall needs: `refer` (2) and `truncate` (3).
pub const WALL_ABI: u32 = 3;

/// The first ABI that can forbid abstract sockets outside the sandbox.
pub const SCOPE_ABI: u32 = 6;

/// The first ABI whose kernels write denials to the audit log.
pub const AUDIT_ABI: u32 = 7;

/// The first ABI that knows TCP ports.
pub const TCP_ABI: u32 = 4;

/// The wall, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandlockPlan {
    /// Highest ABI of the kernel that was planned for; 0 without a wall.
    pub abi: u32,
    /// Rules by path inside the sandbox.
    pub rules: Vec<LandlockRule>,
    /// What was found beside entries that have rules of their own, and must not be there under their names.
    pub apart: Vec<FileId>,
    /// Abstract sockets outside the sandbox cannot be connected to.
    pub scope_abstract: bool,
    /// Processes outside the sandbox cannot be sent signals: without a PID namespace they could.
    pub scope_signals: bool,
    /// Which TCP ports can be used, where no network namespace keeps them away.
    pub tcp: Tcp,
    /// What is denied to the command goes to the kernel's audit log.
    pub audit: bool,
}

impl LandlockPlan {
    /// No wall at all.
    pub const NONE: Self = Self {
        abi: 0,
        rules: Vec::new(),
        apart: Vec::new(),
        scope_abstract: false,
        scope_signals: false,
        tcp: Tcp::Free,
        audit: false,
    };
}

/// Which TCP ports can be used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Tcp {
    /// Landlock leaves them alone.
    Free,
    /// These can be connected to, whatever the address, and none can be bound.
    Connect(Vec<u16>),
}

/// What may be done beneath a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandlockRule {
    /// A path inside the sandbox.
    pub path: PathBuf,
    /// What.
    pub allow: Beneath,
    /// What must be there: anything else is an error.
    pub expect: Expect,
    /// Who asked.
    pub because: Origin,
}

impl LandlockRule {
    fn new(path: impl Into<PathBuf>, allow: Beneath, because: Origin) -> Self {
        Self { path: path.into(), allow, expect: Expect::Anything, because }
    }
}

/// What was looked at when the plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Made for the sandbox, after the plan.
    Anything,
    /// This file.
    File(FileId),
    /// Nothing of [`LandlockPlan::apart`].
    Apart,
    /// A character device of this number.
    Device {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// A set of Landlock rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub enum Beneath {
    /// List directories.
    List,
    /// Read and execute.
    Read,
    /// Read, and write and truncate existing files.
    Modify,
    /// Everything but device ioctls.
    Write,
    /// Read, write and ioctl of device nodes.
    Devices,
}

impl Beneath {
    /// The word of plans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read",
            Self::Modify => "modify",
            Self::Write => "write",
            Self::Devices => "devices",
        }
    }

    /// What a path rule means here; `None`: nothing is allowed.
    #[must_use]
    pub fn of(access: Access) -> Option<Self> {
        match access {
            Access::None => None,
            Access::Read => Some(Self::Read),
            Access::Modify => Some(Self::Modify),
            Access::Write => Some(Self::Write),
        }
    }
}

/// The wall under the mounts of a view. `proc` is what may be done in `/proc`.
#[must_use]
pub fn plan(abi: u32, tree: &Tree, ops: &[MountOp], proc: &(Access, Origin), policy: &Policy) -> LandlockPlan {
    if abi < WALL_ABI {
        return LandlockPlan::NONE;
    }
    let baseline = |path: &str, allow, why| LandlockRule::new(path, allow, Origin::Baseline(why));
    let mut rules = vec![baseline("/", Beneath::Read, "what the mounts show can be read")];
    rules.extend(of_devices(ops));
    let (in_proc, because) = proc;
    if in_proc.writes() {
        // Nothing can be made in procfs, and of what is there only what a rule names is to be written.
        rules.push(LandlockRule::new("/proc", Beneath::Modify, because.clone()));
    }
    // Anchors add no right: the tree that they lie in has it.
    let anchor = |node: &Node| node.anchored && matches!(node.because, Origin::Protected(_));
    for (path, node) in tree.iter().filter(|(_, node)| !anchor(node)) {
        let allow = match node.view {
            View::Host(Access::Write) => Beneath::Write,
            View::Host(Access::Modify) => Beneath::Modify,
            View::Private(_) => Beneath::Write,
            View::Host(Access::None | Access::Read) => continue,
        };
        rules.push(LandlockRule::new(path, allow, node.because.clone()));
    }
    for MountOp { target, what, because } in ops {
        if matches!(what, Mount::Tmpfs { .. }) && target.starts_with("/dev") && target != Path::new("/dev") {
            rules.push(LandlockRule::new(target, Beneath::Write, because.clone()));
        }
    }
    let scope_signals = abi >= SCOPE_ABI && !policy.pid_namespace.value;
    LandlockPlan {
        abi,
        rules,
        apart: Vec::new(),
        scope_abstract: abi >= SCOPE_ABI,
        scope_signals,
        tcp: Tcp::Free,
        audit: policy.audit.is_some(),
    }
}

/// One rule for all nodes, or one for each where some may only be read: rules only add rights.
fn of_devices(ops: &[MountOp]) -> Vec<LandlockRule> {
    let reads_only = |op: &&MountOp| matches!(op.what, Mount::Device { read_only: true, .. });
    if !ops.iter().any(|op| reads_only(&op)) {
        let because = Origin::Baseline("the nodes in the private /dev");
        return vec![LandlockRule::new("/dev", Beneath::Devices, because)];
    }
    let nodes = |op: &&MountOp| matches!(op.what, Mount::Device { read_only: false, .. } | Mount::Devpts);
    let rule = |op: &MountOp| LandlockRule::new(&op.target, Beneath::Devices, op.because.clone());
    ops.iter().filter(nodes).map(rule).collect()
}
