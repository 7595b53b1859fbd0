//! How it ended, as data.

use super::proxy::events::Summary;
use crate::backend::StepError;
use crate::plan::limits::Controller;
use crate::plan::seen::Seen;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// The end itself.
    pub ending: Ending,
    /// Which time-out ended it, if one did.
    pub expired: Option<Expired>,
    /// The limits of its control group that were hit, and how often.
    pub hits: Vec<(Controller, u64)>,
    /// What left the sandbox, and what was refused, where there was a bridge and it could still tell.
    pub network: Option<Summary>,
    /// Whether the bridge ended before the sandbox did.
    pub network_lost: bool,
    /// What the command was seen to touch, where the plan has it watched.
    pub seen: Vec<Seen>,
}

/// A time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// `--timeout`.
    Time,
    /// `--idle-timeout`.
    Idle,
}

/// The end of a command.
#[derive(Debug)]
pub enum Ending {
    /// It exited.
    Exit(i32),
    /// A signal killed it.
    Signal(i32),
    /// Its program could not be started.
    NotExecuted(StepError),
    /// The sandbox could not be made.
    Failed(StepError),
}

/// Exit code of the time-outs, as of timeout(1).
pub const TIMED_OUT: i32 = 124;

impl Ending {
    /// From a raw wait status.
    #[must_use]
    pub fn of_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Exit(libc::WEXITSTATUS(status))
        }
    }
}

impl Outcome {
    /// The exit code that tells it: the command's own, 128 + signal, 127 not found, 126 not executable, 125 ours.
    #[must_use]
    pub fn code(&self) -> i32 {
        if self.expired.is_some() {
            return TIMED_OUT;
        }
        match &self.ending {
            Ending::Exit(code) => *code,
            Ending::Signal(signal) => 128 + signal,
            Ending::NotExecuted(error) if error.errno == libc::ENOENT => 127,
            Ending::NotExecuted(_) => 126,
            Ending::Failed(_) => 125,
        }
    }
}
