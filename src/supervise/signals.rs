//! Signals for the supervisor, as a descriptor.

use std::os::fd::OwnedFd;

use crate::backend::StepError;
use crate::sys::signal::{SignalSet, next, set_default};

/// Signals that are passed on to the command.
const FORWARDED: &[i32] = &[
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGTSTP,
    libc::SIGCONT,
];

/// The supervisor's signals.
#[derive(Debug)]
pub struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    /// Watches the signals that are passed on. They are blocked by the backend before it forks.
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn watch() -> Result<Self, StepError> {
        // A caller that ignores it would take the wait status of our children away from us.
        set_default(libc::SIGCHLD);
        let descriptor =
            SignalSet::of(FORWARDED).descriptor().map_err(|error| StepError::new("watch signals", None, error))?;
        Ok(Self { descriptor })
    }

    /// The descriptor to poll.
    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// The next signal, if there is one.
    pub fn next(&self) -> Option<i32> {
        next(&self.descriptor)
    }
}
