//! Processes of ours beside a sandbox.

use rustix::process::Pid;

use super::StepError;
use crate::sys::process::{self, Forked};

/// Forks a process that does some work and ends with an exit code. The caller has one thread.
///
/// # Errors
/// When there cannot be another process.
pub fn fork(step: &'static str, work: impl FnOnce() -> i32) -> Result<Pid, StepError> {
    match process::fork_into(0).map_err(|error| StepError::new(step, None, error))? {
        Forked::Parent(pid, _) => Ok(pid),
        Forked::Child => process::exit_now(work()),
    }
}
