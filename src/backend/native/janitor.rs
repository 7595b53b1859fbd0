//! The janitor: waits for the sandbox to end and removes its placeholders when the supervisor no longer can.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions};

use super::placeholder;
use crate::backend::StepError;
use crate::plan::mounts::{Mount, MountPlan};
use crate::sys::{self, process::Forked};

/// A hired janitor.
#[derive(Debug)]
pub struct Janitor {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Janitor {
    /// Forks the janitor, before the first placeholder is made.
    ///
    /// # Errors
    /// When there cannot be another process.
    pub fn hire(plan: &MountPlan, sandbox: &OwnedFd) -> Result<Self, StepError> {
        match sys::process::fork_into(0).map_err(|error| StepError::new("fork the janitor", None, error))? {
            Forked::Parent(pid, pidfd) => Ok(Self { pid, pidfd }),
            Forked::Child => {
                work(plan, sandbox);
                sys::process::exit_now(0)
            }
        }
    }

    /// Sends the janitor away: there is nothing left to remove.
    pub fn dismiss(self) {
        // It is our child and has nothing to lose.
        sys::ignore(rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL));
        sys::ignore(rustix::process::waitpid(Some(self.pid), WaitOptions::empty()));
    }
}

fn work(plan: &MountPlan, sandbox: &OwnedFd) {
    // Out of the caller's process group and session: what kills those must not kill the janitor too.
    sys::ignore(rustix::process::setsid());
    let kept = sandbox.as_raw_fd().cast_unsigned();
    // The caller's pipes must close when the command ends, whatever becomes of the janitor.
    if kept > 0 {
        drop(sys::fd::close_range(0, kept - 1));
    }
    drop(sys::fd::close_range(kept + 1, u32::MAX));
    let paths: Vec<PathBuf> =
        plan.ops.iter().filter(|op| matches!(op.what, Mount::Block { .. })).map(|op| op.target.clone()).collect();
    // Readable when init is dead, and with it its whole PID namespace. The supervisor cleans up then and dismisses us;
    // one that is dead, or stopped, does not.
    let mut watched = [PollFd::new(sandbox, PollFlags::IN)];
    while poll(&mut watched, None).is_err() {}
    for _ in 0..100 {
        // A living supervisor does it sooner, and is still holding its locks.
        std::thread::sleep(std::time::Duration::from_millis(20));
        for path in &paths {
            sys::ignore(placeholder::reclaim(path));
        }
        if !paths.iter().any(|path| placeholder::is_placeholder(path)) {
            return;
        }
    }
}
