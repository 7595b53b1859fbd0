//! A session as the process that keeps it sees it.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::backend::StepError;
use crate::backend::session::place::Claim;
use crate::backend::session::terms::Terms;
use crate::plan::Plan;

/// A session that this process keeps.
#[derive(Debug)]
pub struct Hosting {
    claim: Claim,
    /// Who waits for it to stand gets a line with its directory; who waits for nothing any more, the end.
    ready: RefCell<Option<OwnedFd>>,
    /// What ends it by hanging up.
    tie: Option<OwnedFd>,
}

impl Hosting {
    /// Of a name that was claimed.
    #[must_use]
    pub fn new(claim: Claim, ready: OwnedFd, tie: Option<OwnedFd>) -> Self {
        Self { claim, ready: RefCell::new(Some(ready)), tie }
    }

    /// Where init is asked for commands, once more.
    ///
    /// # Errors
    /// As dup(2).
    pub fn listener(&self) -> Result<OwnedFd, StepError> {
        let again = self.claim.listener.try_clone();
        again.map_err(|error| StepError::new("hand the socket of the session over", None, error))
    }

    /// Becomes readable when the session is to end.
    pub fn tie(&self) -> Option<BorrowedFd<'_>> {
        self.tie.as_ref().map(AsFd::as_fd)
    }

    /// The view stands: tells callers what they must know, and who waits that they can come.
    ///
    /// # Errors
    /// As write(2), and when nothing is confined.
    pub fn stands(&self, plan: &Plan) -> Result<(), StepError> {
        let terms = Terms::of(plan).ok_or_else(|| StepError::changed("confine the session", Path::new("/")))?;
        self.claim.stands(&terms).map_err(|error| StepError::new("write down the session", None, error))?;
        if let Some(ready) = self.ready.take() {
            // Who does not wait any more has its own reasons.
            let line = [self.claim.directory.as_os_str().as_bytes(), b"\n"].concat();
            crate::sys::ignore(rustix::io::write(&ready, &line));
        }
        // The caller's terminal and pipes are not held by what outlives it.
        let released = crate::sys::fd::replace_by_null(2);
        released.map_err(|error| StepError::new("release the streams", None, error))
    }
}
