//! The Landlock wall: what may be changed, said a second time by inode, so that a descriptor of a host mount that came
//! in as standard input cannot be re-opened for more than the mounts allow.

use std::path::{Path, PathBuf};

use crate::policy::Policy;
use crate::policy::paths::Access;
use crate::request::Origin;

use super::mounts::{Mount, MountOp, Node, Tree, View};

/// The first ABI whose rules cover everything the wall needs: `refer` (2) and `truncate` (3).
pub const WALL_ABI: u32 = 3;

/// The first ABI that can forbid abstract sockets outside the sandbox.
pub const SCOPE_ABI: u32 = 6;

/// The wall, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandlockPlan {
    /// Highest ABI of the kernel that was planned for; 0 without a wall.
    pub abi: u32,
    /// Rules by path inside the sandbox.
    pub rules: Vec<LandlockRule>,
    /// Abstract sockets outside the sandbox cannot be connected to.
    pub scope_abstract: bool,
    /// Processes outside the sandbox cannot be sent signals: without a PID namespace they could.
    pub scope_signals: bool,
}

/// What may be done beneath a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandlockRule {
    /// A path inside the sandbox.
    pub path: PathBuf,
    /// What.
    pub allow: Beneath,
    /// Who asked.
    pub because: Origin,
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

/// The wall for a view.
#[must_use]
pub fn plan(abi: u32, tree: &Tree, ops: &[MountOp], policy: &Policy) -> LandlockPlan {
    if abi < WALL_ABI {
        return LandlockPlan { abi: 0, rules: Vec::new(), scope_abstract: false, scope_signals: false };
    }
    let baseline = |path: &str, allow, why| LandlockRule { path: path.into(), allow, because: Origin::Baseline(why) };
    let mut rules = vec![
        baseline("/", Beneath::Read, "what the mounts show can be read"),
        baseline("/dev", Beneath::Devices, "the nodes in the private /dev"),
    ];
    if policy.proc.value {
        rules.push(baseline("/proc", Beneath::Modify, "programs name their threads, CUDA's start fails without it"));
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
        rules.push(LandlockRule { path: path.to_owned(), allow, because: node.because.clone() });
    }
    for MountOp { target, what, because } in ops {
        if matches!(what, Mount::Tmpfs { .. }) && target.starts_with("/dev") && target != Path::new("/dev") {
            rules.push(LandlockRule { path: target.clone(), allow: Beneath::Write, because: because.clone() });
        }
    }
    let scope_signals = abi >= SCOPE_ABI && !policy.pid_namespace.value;
    LandlockPlan { abi, rules, scope_abstract: abi >= SCOPE_ABI, scope_signals }
}

/// The wall as all there is, without a private `/dev`: its nodes are named one by one.
#[must_use]
pub fn alone(wall: LandlockPlan, ops: &[MountOp], top: &[PathBuf]) -> LandlockPlan {
    let mut rules = wall.rules;
    for rule in rules.iter_mut().filter(|rule| rule.path == Path::new("/") && rule.allow == Beneath::Read) {
        rule.allow = Beneath::List;
    }
    let readable = |path: &PathBuf| LandlockRule {
        path: path.clone(),
        allow: Beneath::Read,
        because: Origin::Baseline("all but devices can be read"),
    };
    rules.extend(top.iter().map(readable));
    rules.retain(|rule| !rule.path.starts_with("/dev") || rule.because.is_explicit());
    for MountOp { target, what, because } in ops {
        if matches!(what, Mount::Device { .. } | Mount::Devices) {
            rules.push(LandlockRule { path: target.clone(), allow: Beneath::Devices, because: because.clone() });
        }
    }
    LandlockPlan { rules, scope_signals: wall.abi >= SCOPE_ABI, ..wall }
}

/// Takes the right to write in `/proc` out of the wall, if it is there: whether init is to name threads instead.
///
/// The host's `/proc` has files of all the user's processes (`oom_score_adj`), and for uid 0 those of the kernel, which
/// ask for no capability. A rule for `/proc/self` would hold for one process and not for those that it starts.
pub fn leave_names_to_init(wall: &mut LandlockPlan) -> bool {
    let before = wall.rules.len();
    wall.rules.retain(|rule| rule.allow != Beneath::Modify || rule.path != Path::new("/proc"));
    wall.rules.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_a_rule_to_write_in_all_of_proc_becomes_inits_work() {
        let rule = |(path, allow): (&str, Beneath)| LandlockRule {
            path: path.into(),
            allow,
            because: Origin::Baseline("a test"),
        };
        let wall = |rules: &[(&str, Beneath)]| LandlockPlan {
            abi: 6,
            rules: rules.iter().copied().map(rule).collect(),
            scope_abstract: true,
            scope_signals: true,
        };
        let others = [("/", Beneath::List), ("/proc", Beneath::Read), ("/data", Beneath::Modify)];
        let mut named = wall(&[&others[..], &[("/proc", Beneath::Modify)]].concat());
        assert!(leave_names_to_init(&mut named));
        assert_eq!(named, wall(&others));
        assert!(!leave_names_to_init(&mut named));
        assert_eq!(named, wall(&others));
    }
}
