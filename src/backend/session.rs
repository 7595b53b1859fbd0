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

use rustix::fs::OFlags;
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
    /// Asks for a command with this process's own streams. `signals` is its mask.
    ///
    /// # Errors
    /// A stream or a descriptor that cannot go in.
    pub fn start(self, process: &ProcessPlan, signals: SignalSet) -> Result<Child, StepError> {
        let mut streams = self.terms.judge.streams()?;
        let mut anchored = [const { None }; 3];
        for (stream, anchored) in streams.iter_mut().zip(&mut anchored).filter(|_| self.terms.mounts) {
            let file = anchor::anchored(stream)?;
            if file.is_some() {
                (*stream, *anchored) = (Stream::Anchored, file);
            }
        }
        let [input, output, errors] = &anchored;
        let given = [either(input, 0)?, either(output, 1)?, either(errors, 2)?];
        ask(self.line, process, signals, streams, given)
    }
}

/// Asks for a command with streams that were made for it: what it reads, the sandbox's `/dev/null` if nothing, and the pipes
/// that it writes to.
///
/// # Errors
/// As sendmsg(2).
pub fn start_with(
    line: OwnedFd,
    process: &ProcessPlan,
    input: Option<BorrowedFd<'_>>,
    outputs: [BorrowedFd<'_>; 2],
) -> Result<Child, StepError> {
    let [output, errors] = outputs;
    let first = if input.is_some() { Stream::Keep } else { Stream::Node("/dev/null", OFlags::RDONLY) };
    // Something must stand for what the session opens itself.
    let given = [input.unwrap_or(output), output, errors];
    ask(line, process, SignalSet::of(&[]), [first, Stream::Keep, Stream::Keep], given)
}

fn ask(
    line: OwnedFd,
    process: &ProcessPlan,
    signals: SignalSet,
    streams: [Stream; 3],
    given: [BorrowedFd<'_>; 3],
) -> Result<Child, StepError> {
    let open_files = rustix::process::getrlimit(Resource::Nofile);
    let job = Job::new(process, &Setup::inside(streams, None, signals, open_files));
    let passed = process.pass_fd.iter().map(|number| open(*number));
    let given: Vec<_> = given.into_iter().map(Ok).chain(passed).collect::<Result<_, _>>()?;
    call::ask(line.as_fd(), &job, &given).map_err(|error| match receive(line.as_fd()) {
        // It has hung up, and said why.
        Some(Report::Failed(why)) => why,
        _ => StepError::new("ask the session", None, error),
    })?;
    Ok(Child::joined(line))
}

/// The anchored file, if there is one, else this process's own stream.
fn either(anchored: &Option<OwnedFd>, number: i32) -> Result<BorrowedFd<'_>, StepError> {
    anchored.as_ref().map_or_else(|| open(number), |file| Ok(file.as_fd()))
}

/// A descriptor of this process that a command is to have.
fn open(number: i32) -> Result<BorrowedFd<'static>, StepError> {
    let name = format!("descriptor {number}");
    let missing = || StepError::new("pass on", Some(Path::new(&name)), rustix::io::Errno::BADF);
    sys::fd::borrow_if_open(number).ok_or_else(missing)
}
