//! Opening device nodes: of the selection, and of what must not be there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Task;
use super::finding::{Finding, errno, name};

/// Opens a node as libraries do.
pub(super) fn open(path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
}

/// Opens a node, and asks its driver something where `ask` says so: it must work when it is granted, and be absent when
/// it is not. `gpu` tells whether a GPU of this kind is granted at all.
pub(super) fn node(task: &Task, path: &Path, flags: OFlags, ask: bool, gpu: bool) -> Finding {
    let opened = open(path, flags);
    let asked = match &opened {
        Ok(fd) if ask => crate::sys::fd::ask_driver(fd.as_fd()).err().map(|error| errno(&error)),
        _ => None,
    };
    let opened = opened.map(drop);
    if asked == Some(Errno::ACCESS) {
        return Finding::wrong(
            "ioctl: EACCES",
            format!("`{}`: ioctl is denied, Landlock's IOCTL_DEV is missing", path.display()),
        );
    }
    judge(opened, path, task.grants(path), gpu)
}

/// What an open means.
fn judge(opened: Result<(), Errno>, path: &Path, granted: bool, gpu: bool) -> Finding {
    let path = path.display();
    let Err(error) = opened else {
        if granted {
            return Finding::ok("ok");
        }
        return Finding::wrong("opens", format!("`{path}` opens and was not granted"));
    };
    let outcome = name(error);
    match (error, granted) {
        (Errno::NOENT | Errno::NOTDIR, false) => Finding::ok("absent"),
        (Errno::ACCESS | Errno::PERM, false) => Finding::matters(
            gpu,
            outcome,
            format!("`{path}` is denied where it should be absent: libraries take that for an error"),
        ),
        (_, false) => Finding::wrong(outcome, format!("`{path}` is there and was not granted")),
        (Errno::NOENT | Errno::NOTDIR, true) => Finding::wrong(outcome, format!("`{path}` is granted and absent")),
        (Errno::ACCESS, true) => Finding::wrong(
            outcome,
            format!("`{path}`: denied by a mount without devices (nodev), its mode, or Landlock"),
        ),
        (Errno::PERM, true) => {
            Finding::wrong(outcome, format!("`{path}`: the driver excludes this GPU, or a device cgroup denies it"))
        }
        (Errno::NODEV | Errno::NXIO, true) => {
            Finding::wrong(outcome, format!("`{path}` has no driver behind it: not loaded, or the node is stale"))
        }
        (_, true) => Finding::wrong(outcome, format!("`{path}`: the driver does not open it")),
    }
}

/// Step `amd`: AMD's compute node. Where no AMD GPU is granted, it must be absent.
pub(super) fn kfd(task: &Task) -> Finding {
    node(task, Path::new("/dev/kfd"), OFlags::RDWR, true, task.render())
}

/// Step `dri`: the render nodes, of which ROCm takes an absent one for another's, and a denied one for an error.
pub(super) fn render(task: &Task) -> Finding {
    range(task, "/dev/dri/renderD", 128..192)
}

/// Step `accel`: NPUs and other accelerators.
pub(super) fn accelerators(task: &Task) -> Finding {
    range(task, "/dev/accel/accel", 0..16)
}

/// Step `wsl`: the one node of WSL2.
pub(super) fn dxg(task: &Task) -> Finding {
    node(task, Path::new("/dev/dxg"), OFlags::RDWR, true, task.gpu())
}

/// Opens `start` with each of these numbers, and counts.
pub(super) fn range(task: &Task, start: &str, numbers: std::ops::Range<u32>) -> Finding {
    let gpu = task.grants_some(start);
    let path = |number: u32| format!("{start}{number}");
    let mut opened = 0;
    let findings: Vec<_> = numbers
        .map(|number| {
            let finding = node(task, Path::new(&path(number)), OFlags::RDWR, false, gpu);
            opened += u32::from(finding.outcome == "ok");
            finding
        })
        // With every node of the host in view, most of them do not exist.
        .filter(|finding| !task.everything || finding.outcome != "ENOENT")
        .collect();
    let mut worst =
        Finding::worst(findings.into_iter().filter(|finding| !["ok", "absent"].contains(&finding.outcome.as_str())));
    let rest = if worst.outcome.is_empty() { String::new() } else { format!(", others {}", worst.outcome) };
    worst.outcome = format!("{opened} open{rest}");
    worst
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Verdict::{self, Ok as Good, Tolerated, Wrong};

    #[test]
    fn absent_is_right_where_it_is_not_granted_and_denied_never_is() {
        let table: &[(Result<(), Errno>, bool, bool, Verdict)] = &[
            (Ok(()), true, true, Good),
            (Ok(()), false, true, Wrong),
            (Ok(()), false, false, Wrong),
            (Err(Errno::NOENT), false, true, Good),
            (Err(Errno::NOENT), true, true, Wrong),
            (Err(Errno::ACCESS), false, true, Wrong),
            (Err(Errno::ACCESS), false, false, Tolerated),
            (Err(Errno::ACCESS), true, true, Wrong),
            (Err(Errno::NXIO), true, true, Wrong),
            (Err(Errno::NXIO), false, true, Wrong),
        ];
        for (opened, granted, gpu, want) in table {
            let finding = judge(*opened, Path::new("/dev/x"), *granted, *gpu);
            assert_eq!(finding.verdict, *want, "{opened:?} {granted} {gpu}: {finding:?}");
        }
    }

    #[test]
    fn a_node_is_opened_and_its_driver_asked() {
        let task = Task { granted: vec!["/dev/null".into()], ..Task::default() };
        let look = |path: &str| node(&task, Path::new(path), OFlags::RDWR, true, true);
        assert_eq!(look("/dev/null"), Finding::ok("ok"));
        assert_eq!(look("/dev/zero").verdict, Wrong, "it is there and was not granted");
        assert_eq!(look("/dev/missing"), Finding::ok("absent"));
        assert_eq!(range(&task, "/dev/missing", 0..3).outcome, "0 open");
    }
}
