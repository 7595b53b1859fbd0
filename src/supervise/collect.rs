//! A command of a session in a process that is not ours: its streams, signals and children are left alone, and what the
//! command writes is collected.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};

use super::{GRACE, left_until};
use crate::backend::StepError;
use crate::backend::child::Child;
use crate::backend::init::message::{self, Report};
use crate::backend::session;
use crate::plan::ProcessPlan;

/// How much is read at once, in bytes: as much as a pipe holds, if nobody has made it larger.
const CHUNK: usize = 64 * 1024;

/// What came of a command.
#[derive(Debug)]
pub struct Collected {
    /// Its raw wait status.
    pub status: i32,
    /// Whether its time was over.
    pub expired: bool,
    /// What it wrote to standard output and to standard error.
    pub written: [Vec<u8>; 2],
}

/// Runs a command at the other end of a line to a session, to its end. It reads `input`, or nothing; after `timeout` it gets
/// TERM, and KILL two seconds later.
///
/// # Errors
/// When there could be no command: a step of its start failed, or its program cannot be executed.
pub fn collect(
    line: OwnedFd,
    process: &ProcessPlan,
    input: Option<BorrowedFd<'_>>,
    timeout: Option<Duration>,
) -> Result<Collected, StepError> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|error| StepError::new("make a pipe", None, error));
    let ((output, to_output), (errors, to_errors)) = (pipe()?, pipe()?);
    let child = session::start_with(line, process, input, [to_output.as_fd(), to_errors.as_fd()])?;
    // They end when the command does.
    drop((to_output, to_errors));
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let sinks = [output, errors].map(|pipe| Sink { pipe: Some(pipe), text: Vec::new() });
    let mut waiting = Waiting { child, ending: None, deadline, kill_at: None, expired: false, sinks };
    while waiting.ending.is_none() {
        waiting.wait();
    }
    let Waiting { child, ending, expired, mut sinks, .. } = waiting;
    // Who looks after it waits for this.
    drop(child);
    sinks.iter_mut().for_each(Sink::fill_with_the_rest);
    // Who looked after it was killed, as the command is then.
    let status = ending.unwrap_or(Ok(libc::SIGKILL))?;
    Ok(Collected { status, expired, written: sinks.map(|sink| sink.text) })
}

struct Waiting {
    child: Child,
    /// The raw wait status, or why there was no command.
    ending: Option<Result<i32, StepError>>,
    deadline: Option<Instant>,
    kill_at: Option<Instant>,
    expired: bool,
    sinks: [Sink; 2],
}

impl Waiting {
    fn wait(&mut self) {
        let pipes = self.sinks.each_ref().map(|sink| sink.pipe.as_ref().map(AsFd::as_fd));
        let watched = [Some(self.child.control())].into_iter().chain(pipes);
        let polled = watched.clone().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut polled: Vec<_> = polled.collect();
        let next = [self.deadline, self.kill_at].into_iter().flatten().min();
        // An interrupted wait is begun again with the time that is left then.
        if poll(&mut polled, next.map(left_until).as_ref()).is_err() {
            return;
        }
        let mut happened = polled.iter().map(|one| !one.revents().is_empty());
        let ready: Vec<_> = watched.map(|fd| fd.is_some() && happened.next() == Some(true)).collect();
        for (sink, _) in self.sinks.iter_mut().zip(ready.iter().skip(1)).filter(|(_, ready)| **ready) {
            sink.fill();
        }
        if ready.first() == Some(&true) {
            self.hear();
        }
        self.look_at_the_clock();
    }

    fn hear(&mut self) {
        match message::receive(self.child.control()) {
            Some(Report::Ended(status)) => self.ending = Some(Ok(status)),
            Some(Report::NotExecuted(error) | Report::Failed(error)) => self.ending = Some(Err(error)),
            Some(_) => {}
            None => self.ending = Some(Ok(libc::SIGKILL)),
        }
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.expired = true;
            self.kill_at = now.checked_add(GRACE);
            self.child.signal(libc::SIGTERM);
        } else if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.child.kill();
        }
    }
}

struct Sink {
    /// `None` when everything has been read.
    pipe: Option<OwnedFd>,
    text: Vec<u8>,
}

impl Sink {
    /// Reads what the command has left. Whoever else holds its end of the pipe, in another command of the session perhaps, is
    /// not waited for.
    fn fill_with_the_rest(&mut self) {
        let left = self.pipe.as_ref().and_then(|pipe| rustix::io::ioctl_fionread(pipe).ok()).unwrap_or(0);
        let all = self.text.len().saturating_add(usize::try_from(left).unwrap_or(usize::MAX));
        while self.pipe.is_some() && self.text.len() < all {
            self.fill();
        }
    }

    /// Reads once; nobody else does, so what is known to be there is.
    fn fill(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        self.text.reserve(CHUNK);
        match retry_on_intr(|| rustix::io::read(pipe, spare_capacity(&mut self.text))) {
            Ok(1..) => {}
            Ok(0) | Err(_) => self.pipe = None,
        }
    }
}
