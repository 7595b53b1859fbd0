//! The first process of a sandbox that runs one command after another: it hires a keeper for each, and sees to what a
//! keeper leaves.
//!
//! A keeper is the subreaper of its command. So a child of this process that is no keeper was left by one that is gone:
//! it is killed, and with its death those that it had started come here too.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::message::{Order, Report, next_order, report};
use super::{children, keeper, some_of};
use crate::backend::child::Setup;
use crate::backend::confine::Walls;
use crate::backend::{StepError, network};
use crate::plan::Plan;
use crate::sys::{self, process::Forked, signal::SignalSet};

/// How long one who has no room for another caller waits before the next look.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Who looks after one command, and the line to who asked for it.
#[derive(Debug)]
struct Keeper {
    process: i32,
    line: OwnedFd,
    /// Whether it has been told to end.
    ending: bool,
}

/// Until the session is ended: its wait status, as if it were a command.
///
/// # Errors
/// As signalfd(2).
pub(super) fn serve(
    plan: &Plan,
    setup: &Setup,
    control: &OwnedFd,
    listener: &OwnedFd,
    walls: Option<Walls>,
) -> Result<Option<i32>, StepError> {
    let signals = SignalSet::of(&[libc::SIGCHLD]).descriptor();
    let signals = signals.map_err(|error| StepError::new("watch children", None, error))?;
    replace_streams_by_null()?;
    // Each keeper has a copy of it, and puts its own command in.
    let mut plan = plan.clone();
    let mut session = Session { keepers: Vec::new(), left: Vec::new(), children: children(), walls, over: false };
    let mut network = setup.network.as_ref();
    while !(session.over && session.keepers.is_empty()) {
        // Without a bridge, another is watched twice, and nobody asks what came of it.
        let fixed = [&signals, control, network.unwrap_or(control), listener];
        let mut watched: Vec<_> = fixed.map(|fd| PollFd::new(fd, PollFlags::IN)).into();
        watched.extend(session.keepers.iter().filter(|keeper| !keeper.ending).map(Keeper::watched));
        if poll(&mut watched, None).is_err() {
            continue;
        }
        let found: Vec<_> = watched.iter().map(|one| !one.revents().is_empty()).collect();
        let is = |number: usize| found.get(number) == Some(&true);
        session.hang_up(found.get(fixed.len()..).unwrap_or_default());
        if is(0) {
            while sys::signal::next(&signals).is_some() {}
        }
        session.reap();
        if is(1) {
            match next_order(control.as_fd()) {
                Some(Order::Signal(libc::SIGTERM | libc::SIGHUP)) => session.end(),
                Some(Order::Signal(_) | Order::Go(_)) => {}
                Some(Order::End) | None => break,
            }
        }
        network = network.filter(|line| !is(2) || network::serve(line.as_fd()));
        if is(3) {
            session.accept(&mut plan, listener, &fixed);
        }
    }
    for keeper in &session.keepers {
        keeper.kill();
    }
    Ok(Some(0))
}

/// The caller's streams are not held: there is `/dev/null` in the place of the first, and now of all.
fn replace_streams_by_null() -> Result<(), StepError> {
    let null = sys::fd::borrow_if_open(0).ok_or(std::io::Error::from(Errno::BADF));
    let release = |number| null.as_ref().map_or(Ok(()), |null| sys::fd::duplicate_onto(*null, number));
    release(1).and_then(|()| release(2)).map_err(|error| StepError::new("release the streams", None, error))
}

#[derive(Debug)]
struct Session {
    keepers: Vec<Keeper>,
    /// Lines of keepers that are gone: they hang up when nothing is left of their commands.
    left: Vec<OwnedFd>,
    children: Option<File>,
    /// What each command is put behind.
    walls: Option<Walls>,
    over: bool,
}

impl Keeper {
    /// Hangs up with the caller.
    fn watched(&self) -> PollFd<'_> {
        PollFd::new(&self.line, PollFlags::RDHUP)
    }

    fn kill(&self) {
        sys::ignore(sys::signal::send(self.process, false, libc::SIGKILL));
    }
}

impl Session {
    /// Hires a keeper for the next caller, if it is the user. `own` are the descriptors that are no keeper's business.
    fn accept(&mut self, plan: &mut Plan, listener: &OwnedFd, own: &[&OwnedFd]) {
        let line = match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(line) => line,
            Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => return,
            Err(_) => return std::thread::sleep(PAUSE),
        };
        let user = rustix::process::getuid().as_raw();
        if self.over || sys::net::peer_user(line.as_fd()).ok() != Some(user) {
            return;
        }
        match sys::process::fork_into(0) {
            Ok(Forked::Child) => {
                // A line hangs up with the last who holds it.
                (self.keepers, self.left, self.children) = (Vec::new(), Vec::new(), None);
                for fd in own {
                    sys::ignore(sys::fd::close(fd.as_raw_fd()));
                }
                keeper::main(plan, self.walls.take(), &line)
            }
            Ok(Forked::Parent(process, _)) => {
                let process = process.as_raw_nonzero().get();
                self.keepers.push(Keeper { process, line, ending: false });
            }
            Err(error) => {
                report(line.as_fd(), &Report::Failed(StepError::new("start a process in the session", None, error)));
            }
        }
    }

    /// Ends what nobody waits for any more; `gone` says it of the callers of all keepers that do not end already.
    fn hang_up(&mut self, gone: &[bool]) {
        let watched = self.keepers.iter_mut().filter(|keeper| !keeper.ending);
        for (keeper, _) in watched.zip(gone).filter(|(_, gone)| **gone) {
            keeper.kill();
            keeper.ending = true;
        }
    }

    /// Takes note of who has ended, and kills what keepers have left.
    fn reap(&mut self) {
        while let Some((process, status)) = sys::process::reap() {
            if libc::WIFSTOPPED(status) {
                continue;
            }
            if let Some(at) = self.keepers.iter().position(|keeper| keeper.process == process) {
                self.left.push(self.keepers.swap_remove(at).line);
            }
        }
        let mut strays = self.children.as_ref().map(some_of).unwrap_or_default();
        strays.retain(|process| !self.keepers.iter().any(|keeper| keeper.process == *process));
        for stray in &strays {
            sys::ignore(sys::signal::send(*stray, false, libc::SIGKILL));
        }
        if strays.is_empty() {
            self.left.clear();
        }
    }

    /// Lets the commands end, which have until the supervisor's patience is over.
    fn end(&mut self) {
        self.over = true;
        for keeper in &self.keepers {
            sys::ignore(sys::signal::send(keeper.process, false, libc::SIGTERM));
        }
    }
}
