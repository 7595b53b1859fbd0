//! Watches what is hidden, blocked or kept read-only from the host's side.
//!
//! A mount stands on a file, not on a name: when a host program removes or replaces the file, as editors do when they
//! save, the mount goes with it. What was replaced is covered again; where the command could have come first, the
//! sandbox ends.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::process::WaitOptions;

use super::native::cover::{self, Covered};
use super::{StepError, guard};
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::plan::mounts::{Mount, MountOp};
use crate::sys::{self, process::Forked};

/// What happens to a name in a directory.
const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR);

/// The watch over one sandbox.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    ops: Vec<MountOp>,
    /// Which operation is about a name in a watched directory.
    names: HashMap<(i32, OsString), usize>,
    inside: Option<Inside>,
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
    /// Begins to watch; `None` where there is nothing to watch. Without a way inside only guards are watched.
    ///
    /// # Errors
    /// A guard that cannot be watched: then the sandbox must end.
    pub fn new(plan: &Plan, inside: Option<Inside>) -> Result<Option<Self>, StepError> {
        let Some(confinement) = &plan.confinement else { return Ok(None) };
        let is_wanted = |op: &&MountOp| op.what == Mount::Guard || inside.is_some() && is_watched(op);
        let ops: Vec<_> = confinement.mounts.ops.iter().filter(is_wanted).cloned().collect();
        if ops.is_empty() {
            return Ok(None);
        }
        let fail = |path: &Path, error| StepError::new("watch", Some(path), error);
        let first = ops.iter().find(|op| op.what == Mount::Guard);
        let inotify = match (inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK), first) {
            (Err(error), Some(guard)) => return Err(fail(&guard.target, error)),
            (Err(_), None) => return Ok(None),
            (Ok(inotify), _) => inotify,
        };
        let mut names = HashMap::new();
        let mut directories: HashMap<&Path, i32> = HashMap::new();
        for (index, op) in ops.iter().enumerate() {
            let (Some(directory), Some(name)) = (op.target.parent(), op.target.file_name()) else { continue };
            let number = match directories.get(directory) {
                Some(number) => Ok(*number),
                None => inotify::add_watch(&inotify, directory, CHANGES),
            };
            match number {
                Ok(number) => {
                    directories.insert(directory, number);
                    names.insert((number, name.to_owned()), index);
                }
                // The command has removed a directory of its own: what it makes there anew is found at the end.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) if op.what == Mount::Guard => return Err(fail(&op.target, error)),
                // A directory that cannot be read, or no room for more watches: the mount stands all the same.
                Err(_) => {}
            }
        }
        Ok(Some(Self { inotify, ops, names, inside }))
    }

    /// Whether nothing may happen unseen, from the first moment on.
    #[must_use]
    pub fn is_urgent(plan: &Plan) -> bool {
        // Landlock alone guards every missing name, and an end of a watch costs more than most commands: what is made
        // in the first moments is found a little later, or at the end.
        let ops = plan.confinement.iter().flat_map(|confinement| &confinement.mounts.ops);
        plan.choice.engine != Engine::Landlock && ops.into_iter().any(|op| op.what == Mount::Guard)
    }

    /// Looks at everything, as after the time before the watch.
    ///
    /// # Errors
    /// As [`Watch::look`].
    pub fn check(&self) -> Result<(), StepError> {
        self.keep_all(&self.ops.iter().collect::<Vec<_>>())
    }

    /// Becomes readable when something has changed.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Looks at some of what has changed, and covers again what lies open.
    ///
    /// # Errors
    /// What cannot be kept any more: then the sandbox must end.
    pub fn look(&self) -> Result<(), StepError> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.inotify, &mut buffer);
        let mut touched = BTreeSet::new();
        // One buffer at a time: a command that makes files without end must not keep the supervisor from its clock.
        while let Ok(event) = events.next() {
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                touched.extend(0..self.ops.len());
            } else if let Some(name) = event.file_name() {
                let name = OsStr::from_bytes(name.to_bytes()).to_owned();
                touched.extend(self.names.get(&(event.wd(), name)));
            }
            if events.is_buffer_empty() {
                break;
            }
        }
        let touched: Vec<_> = touched.into_iter().filter_map(|index| self.ops.get(index)).collect();
        self.keep_all(&touched)
    }

    /// All at once; only where something is wrong, which one it is.
    fn keep_all(&self, ops: &[&MountOp]) -> Result<(), StepError> {
        let (guards, mounts): (Vec<&MountOp>, Vec<&MountOp>) = ops.iter().partition(|op| op.what == Mount::Guard);
        guards.into_iter().try_for_each(|op| self.keep(op))?;
        if mounts.len() > 1 && self.cover(&mounts).is_kept() {
            return Ok(());
        }
        mounts.into_iter().try_for_each(|op| self.keep(op))
    }

    fn keep(&self, op: &MountOp) -> Result<(), StepError> {
        let ended = |step: &'static str| {
            Err(StepError { step: step.into(), path: Some(op.target.clone()), errno: StepError::TOLD })
        };
        if op.what == Mount::Guard {
            return guard::hold(op);
        }
        match self.cover(&[op]) {
            Covered::Stands | Covered::Again => Ok(()),
            Covered::Gone => ended("a host program removed what was kept from the command, so it was ended:"),
            Covered::Open => ended(
                "a host program replaced what was kept from the command, and it cannot be covered, so it was ended:",
            ),
        }
    }

    /// In a process of its own: whoever enters the namespaces does not come back.
    fn cover(&self, ops: &[&MountOp]) -> Covered {
        let Some(inside) = &self.inside else { return Covered::Stands };
        match sys::process::fork_into(0) {
            Ok(Forked::Child) => {
                let worst = || ops.iter().map(|op| cover::again(op)).max().unwrap_or(Covered::Stands);
                let covered = cover::enter(inside).map_or(Covered::Open, |()| worst());
                sys::process::exit_now(covered.code())
            }
            Ok(Forked::Parent(pid, _)) => {
                let ended = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), WaitOptions::empty()));
                let ended = ended.ok().flatten();
                Covered::of_code(ended.and_then(|(_, status)| status.exit_status()))
            }
            Err(_) => Covered::Open,
        }
    }
}

fn is_watched(op: &MountOp) -> bool {
    let kept = match op.what {
        Mount::Bind { writable, .. } => !writable,
        Mount::Mask { .. } | Mount::Plug { .. } | Mount::Pin { .. } | Mount::Block { .. } | Mount::Guard => true,
        Mount::Veil { .. }
        | Mount::Device { .. }
        | Mount::Other { .. }
        | Mount::Devices
        | Mount::Tmpfs { .. }
        | Mount::Dir
        | Mount::Link { .. }
        | Mount::Devpts
        | Mount::Proc
        | Mount::Data { .. }
        | Mount::ReadOnly
        | Mount::Closed
        | Mount::Seal => false,
    };
    let special = ["/dev", "/proc", "/sys"].iter().any(|top| op.target.starts_with(Path::new(top)));
    kept && !special
}
