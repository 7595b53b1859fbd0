//! Sandboxes that stand until they are stopped, and run one command after another.
//!
//! Outside is a directory for each ([`place`]): the socket on which its init is asked, what is to be known to ask it
//! ([`terms`]), and the lock of the process that keeps it. What is said over the socket is in [`call`]; what init does then,
//! in [`super::init`].

mod anchor;
pub mod call;
pub mod place;
pub mod terms;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::process::Resource;

use super::StepError;
use super::child::{Child, Setup};
use super::init::message::{Report, receive};
use super::init::stdio::Stream;
use super::job::Job;
use crate::plan::ProcessPlan;
use crate::sys::{self, signal::SignalSet};
use terms::Terms;

/// A session that stands, and a line to its init.
#[derive(Debug)]
pub struct Standing {
    /// The line, on which one command can be asked for.
    pub line: OwnedFd,
    /// Its terms.
    pub terms: Terms,
}

impl Standing {
    /// Asks for a command. `signals` is the caller's mask.
    ///
    /// # Errors
    /// A stream or a descriptor that cannot go in.
    pub fn start(self, process: &ProcessPlan, signals: SignalSet) -> Result<Child, StepError> {
        let Self { line, terms } = self;
        let mut streams = terms.judge.streams()?;
        let mut anchored = [const { None }; 3];
        for (stream, anchored) in streams.iter_mut().zip(&mut anchored).filter(|_| terms.mounts) {
            let file = anchor::anchored(stream)?;
            if file.is_some() {
                (*stream, *anchored) = (Stream::Anchored, file);
            }
        }
        let open_files = rustix::process::getrlimit(Resource::Nofile);
        let job = Job::new(process, &Setup::inside(streams, None, signals, open_files));
        let missing = |number: i32| {
            let name = format!("descriptor {number}");
            StepError::new("pass on", Some(Path::new(&name)), rustix::io::Errno::BADF)
        };
        let open = |number| sys::fd::borrow_if_open(number).ok_or_else(|| missing(number));
        let own = (0..).zip(&anchored).map(|(number, anchored)| match anchored {
            Some(file) => Ok(OwnedFd::as_fd(file)),
            None => open(number),
        });
        let given: Vec<BorrowedFd<'_>> =
            own.chain(process.pass_fd.iter().map(|number| open(*number))).collect::<Result<_, _>>()?;
        call::ask(line.as_fd(), &job, &given).map_err(|error| match receive(line.as_fd()) {
            // It has hung up, and said why.
            Some(Report::Failed(why)) => why,
            _ => StepError::new("ask the session", None, error),
        })?;
        Ok(Child::joined(line))
    }
}
