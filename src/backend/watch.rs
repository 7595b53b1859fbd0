//! Watches what is hidden, blocked or kept read-only from the host's side.
//!
//! A mount stands on a file, not on a name: when a host program removes or replaces the file, as editors do when they
//! save, the mount goes with it. What was replaced is covered again; where the command could have come first, the
//! sandbox ends.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::process::WaitOptions;

use super::StepError;
use super::native::cover::{self, Covered};
use crate::plan::Plan;
use crate::plan::mounts::{Mount, MountOp};
use crate::sys::{self, process::Forked};

/// What happens to a name in a directory.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// Where what a command made in spite of a guard is put.
const ASIDE: &str = ".refused-by-ringfence";

/// The watch over one sandbox.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    directories: Vec<(i32, PathBuf)>,
    ops: Vec<MountOp>,
    inside: Inside,
}

/// What leads into a sandbox.
#[derive(Debug)]
pub struct Inside {
    /// Its mount namespace.
    pub mount: OwnedFd,
    /// Its root directory.
    pub root: OwnedFd,
}

impl Watch {
    /// Begins to watch; `None` where there is nothing to watch, or no way to.
    #[must_use]
    pub fn new(plan: &Plan, inside: Inside) -> Option<Self> {
        let all = &plan.confinement.as_ref()?.mounts.ops;
        let ops: Vec<_> = all.iter().filter(|op| is_watched(op)).cloned().collect();
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let mut directories: Vec<(i32, PathBuf)> = Vec::new();
        let parents: BTreeSet<_> = ops.iter().filter_map(|op| op.target.parent()).collect();
        for directory in parents {
            // One that cannot be read is none that the command could make anything in.
            if let Ok(number) = inotify::add_watch(&inotify, directory, CHANGES) {
                directories.push((number, directory.to_owned()));
            }
        }
        (!directories.is_empty()).then_some(Self { inotify, directories, ops, inside })
    }

    /// Becomes readable when something has changed.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Looks at what has changed, and covers again what lies open.
    ///
    /// # Errors
    /// What cannot be kept any more: then the sandbox must end.
    pub fn look(&self) -> Result<(), StepError> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        let mut touched: Vec<&MountOp> = Vec::new();
        while let Ok(event) = events.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                touched = self.ops.iter().collect();
                continue;
            }
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes())).unwrap_or_default();
            let known = self.directories.iter().filter(|(number, _)| *number == event.wd());
            let paths: Vec<_> = known.map(|(_, directory)| directory.join(name)).collect();
            touched.extend(self.ops.iter().filter(|op| paths.contains(&op.target)));
        }
        touched.dedup();
        touched.into_iter().try_for_each(|op| self.keep(op))
    }

    fn keep(&self, op: &MountOp) -> Result<(), StepError> {
        let ended = |step: &'static str| {
            Err(StepError { step: step.into(), path: Some(op.target.clone()), errno: StepError::TOLD })
        };
        if op.what == Mount::Guard {
            return match rustix::fs::lstat(&op.target) {
                Ok(_) => ended("the command made what only you may make, so it was ended:"),
                Err(_) => Ok(()),
            };
        }
        match self.cover(op) {
            Covered::Stands | Covered::Again => Ok(()),
            Covered::Gone => ended("a host program removed what was kept from the command, so it was ended:"),
            Covered::Open => ended(
                "a host program replaced what was kept from the command, and it cannot be covered, so it was ended:",
            ),
        }
    }

    /// In a process of its own: whoever enters the namespaces does not come back.
    fn cover(&self, op: &MountOp) -> Covered {
        match sys::process::fork_into(0) {
            Ok(Forked::Child) => {
                let covered = cover::enter(&self.inside).map_or(Covered::Open, |()| cover::again(op));
                sys::process::exit_now(covered.code())
            }
            Ok(Forked::Parent(pid, _)) => {
                let ended = rustix::process::waitpid(Some(pid), WaitOptions::empty()).ok().flatten();
                Covered::of_code(ended.and_then(|(_, status)| status.exit_status()))
            }
            Err(_) => Covered::Open,
        }
    }

    /// Puts aside what the command made in spite of a guard. Nothing of the sandbox runs any more.
    pub fn sweep(&self) {
        for op in self.ops.iter().filter(|op| op.what == Mount::Guard) {
            let mut aside = op.target.clone().into_os_string();
            aside.push(ASIDE);
            // Mostly there is nothing; where something stands aside already, it stays, and the name is told by the error.
            sys::ignore(std::fs::rename(&op.target, PathBuf::from(aside)));
        }
    }
}

fn is_watched(op: &MountOp) -> bool {
    let kept = match op.what {
        Mount::Bind { writable, .. } => !writable,
        Mount::Mask { .. } | Mount::Plug { .. } | Mount::Pin { .. } | Mount::Block { .. } | Mount::Guard => true,
        Mount::Veil { .. }
        | Mount::Device { .. }
        | Mount::Devices
        | Mount::Tmpfs { .. }
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Proc
        | Mount::ReadOnly
        | Mount::Seal => false,
    };
    let special = ["/dev", "/proc", "/sys"].iter().any(|top| op.target.starts_with(Path::new(top)));
    kept && !special
}
