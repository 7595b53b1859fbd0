//! The first process of a sandbox that runs one command after another: it has a keeper ready for the next, and sees to
//! what a keeper leaves.
//!
//! A caller need not wait until its keeper is forked: one stands ready and takes the caller itself, and hands the line on.
//! The next is forked when the command has had time to start, or as soon as another caller is there. Where none could be
//! forked, callers are told so from here.
//!
//! A keeper is the subreaper of its command. So a child of this process that is no keeper was left by one that is gone:
//! it is killed, and with its death those that it had started come here too.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::message::{Order, Report, next_order, report, take};
use super::{children, keeper, some_of};
use crate::backend::child::{Setup, pair};
use crate::backend::confine::Walls;
use crate::backend::{StepError, network};
use crate::plan::Plan;
use crate::sys::{self, process::Forked, signal::SignalSet};

/// How long the next keeper waits to be forked: longer than most commands take to start.
const MEANWHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// A keeper that waits for a caller, and the line on which it hands on the caller's.
#[derive(Debug)]
struct Ready {
    process: i32,
    line: OwnedFd,
}

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
    let (keepers, left) = (Vec::new(), Vec::new());
    let mut session = Session { ready: None, keepers, left, children: children(), walls, over: false };
    let mut network = setup.network.as_ref();
    let mut patience = Some(MEANWHILE);
    while !(session.over && session.keepers.is_empty()) {
        // Without a bridge, another is watched twice, and nobody asks what came of it.
        let own = [&signals, control, network.unwrap_or(control)];
        let callers = session.ready.as_ref().map_or(listener, |ready| &ready.line);
        let mut watched: Vec<_> = own.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
        watched.push(PollFd::new(callers, PollFlags::IN));
        let fixed = watched.len();
        watched.extend(session.keepers.iter().filter(|keeper| !keeper.ending).map(Keeper::watched));
        let stood_ready = session.ready.is_some();
        let wait = patience.filter(|_| !stood_ready && !session.over);
        let Ok(happened) = poll(&mut watched, wait.as_ref()) else { continue };
        let found: Vec<_> = watched.iter().map(|one| !one.revents().is_empty()).collect();
        let is = |number: usize| found.get(number) == Some(&true);
        session.hang_up(found.get(fixed..).unwrap_or_default());
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
        if stood_ready && is(3) {
            session.hand_over();
        } else if !stood_ready && (is(3) || happened == 0) {
            let refused = session.hire(&mut plan, listener, &own).err();
            // Where none can be forked, the next try is for the next caller.
            patience = refused.is_none().then_some(MEANWHILE);
            if is(3) && session.ready.is_none() {
                turn_away(listener, refused);
            }
        }
    }
    let ready = session.ready.iter().map(|ready| ready.process);
    ready.chain(session.keepers.iter().map(|keeper| keeper.process)).for_each(kill);
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
    /// Whoever takes the next caller.
    ready: Option<Ready>,
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
}

fn kill(process: i32) {
    sys::ignore(sys::signal::send(process, false, libc::SIGKILL));
}

/// Without a keeper, the next caller is told why.
fn turn_away(listener: &OwnedFd, why: Option<StepError>) {
    match keeper::accept(listener) {
        Ok(Some(line)) => {
            if let Some(why) = why {
                report(line.as_fd(), &Report::Failed(why));
            }
        }
        Ok(None) => {}
        Err(_) => std::thread::sleep(keeper::PAUSE),
    }
}

impl Session {
    /// Has a keeper ready for the next caller. `own` are the descriptors that are no keeper's business.
    fn hire(&mut self, plan: &mut Plan, listener: &OwnedFd, own: &[&OwnedFd]) -> Result<(), StepError> {
        if self.over {
            return Ok(());
        }
        let (ours, theirs) = pair()?;
        let forked = sys::process::fork_into(0);
        match forked.map_err(|error| StepError::new("start a process in the session", None, error))? {
            Forked::Child => {
                // A line hangs up with the last who holds it.
                (self.keepers, self.left, self.children) = (Vec::new(), Vec::new(), None);
                drop(ours);
                for fd in own {
                    sys::ignore(sys::fd::close(fd.as_raw_fd()));
                }
                keeper::main(plan, self.walls.take(), listener, theirs)
            }
            Forked::Parent(process, _) => {
                self.ready = Some(Ready { process: process.as_raw_nonzero().get(), line: ours });
                Ok(())
            }
        }
    }

    /// Takes note that the keeper that stood ready has a caller, or is gone.
    fn hand_over(&mut self) {
        let Some(Ready { process, line }) = self.ready.take() else { return };
        if let Some(line) = take(line.as_fd()) {
            self.keepers.push(Keeper { process, line, ending: false });
        }
    }

    fn is_ready(&self, process: i32) -> bool {
        self.ready.as_ref().is_some_and(|ready| ready.process == process)
    }

    /// Ends what nobody waits for any more; `gone` says it of the callers of all keepers that do not end already.
    fn hang_up(&mut self, gone: &[bool]) {
        let watched = self.keepers.iter_mut().filter(|keeper| !keeper.ending);
        for (keeper, _) in watched.zip(gone).filter(|(_, gone)| **gone) {
            kill(keeper.process);
            keeper.ending = true;
        }
    }

    /// Takes note of who has ended, and kills what keepers have left.
    fn reap(&mut self) {
        while let Some((process, status)) = sys::process::reap() {
            if libc::WIFSTOPPED(status) {
                // By a command: callers would wait for it.
                if self.is_ready(process) {
                    kill(process);
                }
                continue;
            }
            if self.is_ready(process) {
                self.hand_over();
            }
            if let Some(at) = self.keepers.iter().position(|keeper| keeper.process == process) {
                self.left.push(self.keepers.swap_remove(at).line);
            }
        }
        let mut strays = self.children.as_ref().map(some_of).unwrap_or_default();
        strays.retain(|stray| !self.is_ready(*stray) && !self.keepers.iter().any(|keeper| keeper.process == *stray));
        strays.iter().copied().for_each(kill);
        if strays.is_empty() {
            self.left.clear();
        }
    }

    /// Lets the commands end, which have until the supervisor's patience is over.
    fn end(&mut self) {
        self.over = true;
        if let Some(process) = self.ready.as_ref().map(|ready| ready.process) {
            self.hand_over();
            if !self.keepers.iter().any(|keeper| keeper.process == process) {
                kill(process);
            }
        }
        for keeper in &self.keepers {
            sys::ignore(sys::signal::send(keeper.process, false, libc::SIGTERM));
        }
    }
}
