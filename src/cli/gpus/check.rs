//! `ringfence gpus --check`: whether what would be granted can be opened, and what must be done where it cannot.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::{columns, driver};
use crate::cli::flags::Flags;
use crate::cli::report::{Problem, plain, print, problems};
use crate::cli::run::prepare;
use crate::host::paths::Root;
use crate::host::users;
use crate::plan::mounts::{Mount, MountOp};
use crate::plan::{Plan, show};
use crate::policy::tables::BASE_DEVICES;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// In order.
    Ok,
    /// Worth a look; commands run nevertheless.
    Warning,
    /// Commands that need it fail.
    Error,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) check: String,
    /// How it ended.
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// What to do about it.
    pub(super) cure: Option<String>,
}

impl Check {
    /// In order.
    pub(super) fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), state: State::Ok, found: found.into(), cure: None }
    }

    /// Not in order; `cure` is a command or a sentence.
    pub(super) fn bad(
        state: State,
        check: impl Into<String>,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { check: check.into(), state, found: found.into(), cure: Some(cure.into()) }
    }
}

/// How long an open may take. The first use of a GPU without persistence mode takes seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Checks what would be granted; the result is the exit code.
pub(super) fn check(flags: Flags, json: bool) -> i32 {
    let (policy, plan) = match prepare(flags) {
        Ok(prepared) => prepared,
        // All of them at once, with their cures, as `run` tells them.
        Err(found) => return problems(&found).min(1),
    };
    let nodes: Vec<_> = nodes(&plan).collect();
    let mut checks: Vec<_> = nodes.iter().map(|(op, found)| node(op, *found)).collect();
    let granted: Vec<_> = nodes.iter().map(|(op, _)| op.target.as_path()).collect();
    checks.extend(driver::checks(Path::new("/"), &policy.gpu_class.value, &granted));
    let failed = checks.iter().any(|check| check.state == State::Error);
    if json {
        print(&format!("{:#}\n", serde_json::json!({ "checks": checks })));
    } else {
        print(&table(&checks));
        tell(&checks);
    }
    i32::from(failed)
}

/// Device nodes that are granted, without those that every sandbox has.
pub(super) fn nodes(plan: &Plan) -> impl Iterator<Item = (&MountOp, Node<'_>)> {
    let ops = plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
    ops.filter_map(|op| {
        let Mount::Device { source, major, minor, read_only } = &op.what else { return None };
        let base = BASE_DEVICES.iter().any(|(path, ..)| op.target == Path::new(path));
        let path = source.as_deref().unwrap_or(&op.target);
        (!base).then_some((op, Node { path, number: (*major, *minor), read_only: *read_only }))
    })
}

/// A device node of the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    pub(super) path: &'a Path,
    number: (u32, u32),
    read_only: bool,
}

impl Node<'_> {
    /// What a library opens it for: a capability of an instance is read-only.
    pub(super) fn flags(self) -> OFlags {
        let reads = self.read_only || self.path.starts_with("/dev/nvidia-caps");
        let how = if reads { OFlags::RDONLY } else { OFlags::RDWR };
        how | OFlags::CLOEXEC | OFlags::NOCTTY
    }
}

/// Opens a node in a process that ends at once: ours never holds one, through which a hidden GPU could be reached.
fn node(op: &MountOp, node: Node<'_>) -> Check {
    let Node { path, number: (major, minor), .. } = node;
    let name = format!("open {} ({major}:{minor})", show::show(path));
    let open = || rustix::fs::open(path, node.flags(), Mode::empty()).map(drop);
    match crate::sys::process::try_for(PATIENCE, open) {
        Ok(()) => Check::ok(name, op.because.to_string()),
        Err(error) => {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            let found = format!("{error}; needed by: {}", op.because);
            Check::bad(State::Error, name, found, cure(path, errno))
        }
    }
}

/// What to do about an error of opening a node.
pub(super) fn cure(path: &Path, error: Errno) -> String {
    let shown = show::show(path);
    let nvidia = shown.starts_with("/dev/nvidia");
    match error {
        Errno::ACCESS => permission(path),
        Errno::PERM if nvidia => {
            "the driver excludes this GPU (ExcludedGpus in /proc/driver/nvidia/params), or a device cgroup of a container \
             denies it"
                .to_owned()
        }
        Errno::PERM => "a device cgroup denies it: grant the device to the container that this runs in".to_owned(),
        Errno::NOENT if nvidia => "make the nodes again on the host: sudo nvidia-modprobe -u -c 0".to_owned(),
        Errno::NODEV | Errno::NXIO if nvidia => {
            "no driver stands behind the node: load it, and make its nodes again: sudo nvidia-modprobe -u -c 0".to_owned()
        }
        Errno::NODEV | Errno::NXIO => format!("no driver stands behind the node: look which one should, and load it; ls -l {shown}"),
        Errno::BUSY => "something holds it for itself: a VM, a reset, or a change of MIG mode; try again".to_owned(),
        Errno::IO => "the GPU does not start: sudo dmesg tells why (NVRM, Xid, amdgpu)".to_owned(),
        Errno::TIMEDOUT => format!("the driver does not answer within {PATIENCE:?}: sudo dmesg tells why"),
        _ => format!("ls -l {shown}"),
    }
}

/// Names the group that may open a node.
fn permission(path: &Path) -> String {
    let shown = show::show(path);
    let Ok(found) = std::fs::metadata(path) else { return format!("ls -l {shown}") };
    let ids = users::ids();
    let (gid, mode) = (found.gid(), found.mode());
    let member = ids.gid == gid || ids.groups.contains(&gid);
    let name = Root::open(Path::new("/")).ok().and_then(|root| users::group_name(&root, gid));
    match name {
        Some(group) if !member && mode & 0o060 == 0o060 && group != "root" => {
            format!("join its group, and log in again: sudo usermod -aG {group} \"$USER\"")
        }
        _ => format!("its mode {:o} does not let you: sudo chmod a+rw {shown}, or a udev rule that does", mode & 0o777),
    }
}

fn table(checks: &[Check]) -> String {
    if checks.is_empty() {
        return "no GPU is granted, so there is nothing to open\n".to_owned();
    }
    let word = |state| match state {
        State::Ok => "ok",
        State::Warning => "warning",
        State::Error => "ERROR",
    };
    let row = |check: &Check| vec![word(check.state).to_owned(), check.check.clone(), plain(&check.found)];
    columns(&checks.iter().map(row).collect::<Vec<_>>())
}

/// Each fault with its own cure.
fn tell(checks: &[Check]) {
    let bad = checks.iter().filter(|check| check.state != State::Ok);
    let (errors, warnings): (Vec<_>, Vec<_>) = bad.partition(|check| check.state == State::Error);
    for check in warnings {
        let cure = check.cure.as_deref().map(|cure| format!(": {cure}")).unwrap_or_default();
        crate::cli::report::note(&format!("{}: {}{cure}", check.check, check.found));
    }
    let of = |check: &&Check| Problem::new(format!("{}: {}", check.check, check.found), check.cure.clone());
    let errors: Vec<_> = errors.iter().map(of).collect();
    if !errors.is_empty() {
        problems(&errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Origin;

    fn op(path: &str) -> MountOp {
        let what = Mount::Device { source: None, major: 1, minor: 3, read_only: false };
        MountOp { target: path.into(), what, because: Origin::Gpu("gpu 0".to_owned()) }
    }

    fn at(path: &str, number: (u32, u32)) -> Node<'_> {
        Node { path: Path::new(path), number, read_only: false }
    }

    #[test]
    fn a_node_is_opened_elsewhere_and_its_error_has_a_cure() {
        let good = node(&op("/dev/null"), at("/dev/null", (1, 3)));
        assert_eq!((good.state, good.check.as_str()), (State::Ok, "open /dev/null (1:3)"));
        let bad = node(&op("/dev/nvidia-missing"), at("/dev/nvidia-missing", (195, 9)));
        assert_eq!(bad.state, State::Error);
        assert!(bad.found.contains("No such file") && bad.found.contains("gpu 0"), "{bad:?}");
        assert!(bad.cure.unwrap().contains("nvidia-modprobe"));
        let open: Vec<_> = std::fs::read_dir("/proc/self/fd").unwrap().flatten().collect();
        let held =
            open.iter().filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to == Path::new("/dev/nvidia")));
        assert_eq!(held.count(), 0);
    }

    #[test]
    fn every_errno_of_an_open_has_its_own_cure() {
        let errors = [Errno::PERM, Errno::NOENT, Errno::NXIO, Errno::BUSY, Errno::IO, Errno::TIMEDOUT];
        let cures: std::collections::BTreeSet<_> =
            errors.iter().map(|error| cure(Path::new("/dev/nvidia0"), *error)).collect();
        assert_eq!(cures.len(), errors.len());
        assert!(cure(Path::new("/dev/kfd"), Errno::PERM).contains("cgroup"));
        assert!(at("/dev/nvidia-caps/nvidia-cap12", (511, 12)).flags().contains(OFlags::CLOEXEC));
        assert!(!at("/dev/nvidia-caps/nvidia-cap12", (511, 12)).flags().contains(OFlags::RDWR));
        assert!(at("/dev/nvidia0", (195, 0)).flags().contains(OFlags::RDWR));
    }
}
