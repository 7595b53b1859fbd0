//! `/dev` and `/proc`: made anew for every sandbox.

use std::path::Path;

use crate::host::Facts;
use crate::policy::paths::Access;
use crate::policy::{Policy, tables};
use crate::request::{Dialect, Origin};

use super::DeviceGrant;
use super::mounts::{Mount, MountOp, Node, RootView, Tree, View};

/// A private `/dev`: base nodes, granted nodes, a terminal file system, shared memory. `asked` are operations that rules
/// asked for below it.
pub(super) fn dev(policy: &Policy, root: RootView, devices: &[DeviceGrant], asked: Vec<MountOp>) -> Vec<MountOp> {
    let base = || Origin::Baseline("every program expects it");
    let op = |target: &str, what| MountOp { target: target.into(), what, because: base() };
    if policy.restricts_no_files() {
        let because = Origin::Baseline("the policy restricts no files");
        return vec![MountOp { target: "/dev".into(), what: Mount::Devices, because }];
    }
    let mut ops = vec![op("/dev", Mount::Tmpfs { mode: 0o755, make: root == RootView::Empty })];
    let denied =
        |path: &str| policy.rules.iter().any(|rule| rule.access == Access::None && rule.path == Path::new(path));
    if denied("/dev") {
        // It can be passed through, to the program of an inner stage, and shows nothing.
        let what = Mount::Tmpfs { mode: 0o111, make: root == RootView::Empty };
        return vec![op("/dev", what), op("/dev", Mount::Seal)];
    }
    for (path, major, minor) in tables::BASE_DEVICES.iter().filter(|(path, ..)| !denied(path)) {
        ops.push(op(path, Mount::Device { source: None, major: *major, minor: *minor, read_only: false }));
    }
    for (link, to) in tables::DEV_LINKS {
        ops.push(op(link, Mount::Link { to: to.into() }));
    }
    ops.push(op("/dev/pts", Mount::Devpts));
    if !asked.iter().any(|op| op.target == Path::new("/dev/shm")) {
        let writable_root = root == RootView::HostWritable && policy.dialect == Dialect::Codex;
        let shared = Mount::Bind { id: None, dir: true, writable: true, make: true };
        let private = Mount::Tmpfs { mode: 0o1777, make: true };
        ops.push(op("/dev/shm", if writable_root { shared } else { private }));
    }
    for device in devices {
        let DeviceGrant { source, major, minor, read_only, .. } = device;
        let what = Mount::Device { source: source.clone(), major: *major, minor: *minor, read_only: *read_only };
        ops.push(MountOp { target: device.path.clone(), what, because: device.because.clone() });
    }
    ops.extend(asked.into_iter().map(made));
    ops.push(op("/dev", Mount::Seal));
    ops
}

/// Puts what comes with devices where it belongs: with the rest of `/dev`, or behind what the tree makes and before it is
/// closed.
pub(super) fn others(others: &[MountOp], ops: &mut Vec<MountOp>, dev: &mut Vec<MountOp>) {
    let (in_dev, rest): (Vec<_>, Vec<_>) = others.iter().cloned().partition(|op| op.target.starts_with("/dev"));
    dev.extend(in_dev);
    let at = ops.iter().position(|op| op.what == Mount::Seal).unwrap_or(ops.len());
    ops.splice(at..at, rest);
}

/// What cannot be there where the host's own `/dev` is.
pub(super) fn lost(devices: &[DeviceGrant], others: &[MountOp]) -> Vec<String> {
    let renamed = devices.iter().filter(|device| device.source.is_some()).map(|device| (&device.path, &device.because));
    let others = others.iter().filter(|op| op.target.starts_with("/dev")).map(|op| (&op.target, &op.because));
    let note = |(path, by): (&std::path::PathBuf, &Origin)| {
        format!("{} ({by}) is not made: all of the host's /dev is shown as it is", path.display())
    };
    renamed.chain(others).map(note).collect()
}

/// Directories of `/dev` that hold nodes: granting them as a whole would grant every node.
pub(super) fn has_nodes(path: &Path) -> bool {
    !["/dev/shm", "/dev/mqueue", "/dev/hugepages"].iter().any(|plain| path.starts_with(plain))
}

/// Whether a path lies in shared memory that is made anew, in which everything can be written.
pub(super) fn in_private_shm(tree: &Tree, path: &Path) -> bool {
    let shm = Path::new("/dev/shm");
    path != shm
        && path.starts_with(shm)
        && !tree.at(shm).is_some_and(|node| matches!(node.view, View::Host(access) if access != Access::None))
}

/// Whether the view has something of the host's at a path. `/proc`, which is made anew, has what no rule hides in it.
pub(super) fn shows(tree: &Tree, path: &Path) -> bool {
    if path.starts_with("/proc") {
        let hidden = |node: &Node| node.view == View::Host(Access::None);
        return !tree.governing(path).is_some_and(|(at, node)| at.starts_with("/proc") && hidden(node));
    }
    tree.is_visible(path)
}

/// Below a fresh `/dev` every mount point has to be made.
fn made(mut op: MountOp) -> MountOp {
    if let Mount::Bind { make, .. } = &mut op.what {
        *make = true;
    }
    op
}

/// A procfs of the command's own PID namespace, with masks where uid 0 would be let through. `level` is what may be done
/// in it, and whether a GPU needs it.
pub(super) fn proc(
    policy: &Policy,
    facts: &Facts,
    root: RootView,
    (level, gpu): (&(Access, Origin), bool),
    asked: Vec<MountOp>,
) -> Vec<MountOp> {
    let (access, because) = level;
    let op = |what, because: Origin| MountOp { target: "/proc".into(), what, because };
    if *access == Access::None {
        let what = match root {
            RootView::Empty => Mount::Dir,
            RootView::HostReadOnly | RootView::HostWritable => Mount::Mask { id: None, dir: true },
        };
        return vec![op(what, because.clone())];
    }
    let own = policy.pid_namespace.value;
    let mut ops = if own {
        vec![op(Mount::Proc, Origin::Baseline("a process view of the sandbox's own"))]
    } else {
        // Programs of the GPU name their threads through it; without one it need not be writable.
        let writable = gpu && access.writes();
        let what = Mount::Bind { id: None, dir: true, writable, make: root == RootView::Empty };
        vec![op(what, policy.pid_namespace.by.clone())]
    };
    if facts.caller.ids.uid == 0 {
        let because = Origin::Baseline("uid 0 may write it without any capability");
        for (path, dir) in tables::PROC_OF_ROOT {
            let what = if *dir { Mount::ReadOnly } else { Mount::Mask { id: None, dir: false } };
            ops.push(MountOp { target: path.into(), what, because: because.clone() });
        }
    }
    ops.extend(asked);
    if own && *access == Access::Read {
        ops.push(op(Mount::ReadOnly, because.clone()));
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_s_dev_cannot_show_is_told() {
        let because = || Origin::Gpu("test".to_owned());
        let device = |source: Option<&str>| DeviceGrant {
            path: "/dev/shown".into(),
            source: source.map(Into::into),
            major: 1,
            minor: 5,
            read_only: false,
            id: None,
            because: because(),
            required: true,
        };
        let link =
            |target: &str| MountOp { target: target.into(), what: Mount::Link { to: "x".into() }, because: because() };
        assert_eq!(lost(&[device(None)], &[link("/opt/link")]), [""; 0]);
        let told = lost(&[device(Some("/dev/zero"))], &[link("/dev/link")]);
        assert!(told.len() == 2 && told[0].starts_with("/dev/shown") && told[1].starts_with("/dev/link"), "{told:?}");
    }
}
