//! The last steps before the command runs: what the process may still do. Shared by all backends.

pub mod capabilities;
pub mod landlock;
pub mod seccomp;

use std::os::fd::BorrowedFd;

use crate::backend::StepError;
use crate::plan::Plan;

/// What a command is put behind, made ready by who starts it.
#[derive(Debug)]
pub struct Walls {
    landlock: landlock::Wall,
    filter: seccomp::Program,
}

impl Walls {
    /// Those of a plan; none in full-access. Looks up what the rules name, and compiles the filter; nothing is enforced yet.
    ///
    /// # Errors
    /// A rule that the kernel does not take, or a mistake in the table of calls.
    pub fn planned(plan: &Plan) -> Result<Option<Self>, StepError> {
        let Some(confinement) = &plan.confinement else { return Ok(None) };
        let filter = seccomp::compile(&confinement.syscalls).map_err(|error| StepError {
            step: format!("compile the seccomp filter: {error}").into(),
            path: None,
            errno: libc::EINVAL,
        })?;
        Ok(Some(Self { landlock: landlock::Wall::build(&confinement.landlock)?, filter }))
    }

    /// The filter, for who is to load it before there is a command.
    #[must_use]
    pub fn filter(&self) -> &seccomp::Program {
        &self.filter
    }

    /// Puts the calling thread behind the Landlock wall; `no_new_privs` must be set. `readable` are open files that no path
    /// leads to and that may be opened again for reading, as `/dev/stdin` is. What comes back is to be loaded last.
    ///
    /// # Errors
    /// A rule that the kernel does not take: nothing is enforced by halves.
    pub fn stand_behind(self, readable: &[BorrowedFd<'_>]) -> Result<seccomp::Program, StepError> {
        self.landlock.restrict(readable)?;
        Ok(self.filter)
    }
}
