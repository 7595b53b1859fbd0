//! The janitor: makes the placeholders, waits for the sandbox to end, and removes them.
//!
//! A process of its own, so that a killed supervisor leaves nothing behind. A killed janitor ends the sandbox, and the
//! supervisor cleans up. Only when both are killed at once something stays until the next run.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, WaitOptions};

use super::bwrap::Lifeline;
use super::group::Groups;
use super::init::message::{self, Order, Report};
use super::{guard, helper, placeholder};
use crate::backend::StepError;
use crate::plan::mounts::MountPlan;
use crate::sys;

/// All placeholders are there.
pub const ALL: i32 = i32::MAX;

/// After so many placeholders init is told: it mounts them while the next ones are made.
const CHUNK: usize = 64;

/// The sandbox that a janitor looks after.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    /// The process that ends last, or the program that made it.
    pub process: &'a OwnedFd,
    /// The line to init.
    pub control: &'a OwnedFd,
    /// Hangs up with the last process, where `process` is another program.
    pub alive: Option<&'a Lifeline>,
    /// Whether everything inside ends with init, so that it may be killed.
    pub tied: bool,
    /// What the supervisor removes, unless it is killed.
    pub groups: Option<&'a Groups>,
}

/// A hired janitor.
#[derive(Debug)]
pub struct Janitor {
    pid: Pid,
    line: OwnedFd,
    /// When it was hired, in seconds of the epoch.
    since: i64,
}

impl Janitor {
    /// Forks the janitor, who makes the placeholders and tells init to go on. A failure of his comes as a report from
    /// [`Janitor::line`].
    ///
    /// # Errors
    /// When there cannot be another process.
    pub fn hire(plan: &MountPlan, sandbox: &Sandbox<'_>) -> Result<Self, StepError> {
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        let (line, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| StepError::new("make a socket pair", None, error))?;
        let pid = helper::fork("fork the janitor", || {
            work(plan, sandbox, &theirs);
            0
        })?;
        Ok(Self { pid, line, since })
    }

    /// Becomes readable when the janitor has failed or died.
    pub fn line(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// Waits until the placeholders are gone; the sandbox has ended before. What the command made in spite of a guard,
    /// and nobody noticed until then, comes back.
    pub fn finish(self, plan: &MountPlan) -> Option<StepError> {
        let ended = retry_on_intr(|| rustix::process::waitpid(Some(self.pid), WaitOptions::empty()));
        let done = ended.is_ok_and(|ended| ended.is_some_and(|(_, status)| status.exit_status() == Some(0)));
        if !done {
            let made = guard::last_look(plan).err();
            guard::sweep(plan);
            placeholder::reclaim_planned(plan, self.since);
            return made;
        }
        match message::receive(self.line.as_fd()) {
            Some(Report::Failed(error)) => Some(error),
            _ => None,
        }
    }
}

fn work(plan: &MountPlan, sandbox: &Sandbox<'_>, line: &OwnedFd) {
    let Sandbox { process: sandbox, control, alive, tied, groups } = *sandbox;
    // Out of the caller's process group and session: what kills those must not kill the janitor too.
    sys::ignore(rustix::process::setsid());
    // Somebody may have stopped this process when the supervisor dies: then nobody else would let it go on.
    sys::ignore(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::CONT)));
    // The caller's pipes must close when the command ends, whatever becomes of the janitor.
    let alive_number = alive.map(|alive| alive.as_fd().as_raw_fd());
    let kept: Vec<_> =
        [sandbox.as_raw_fd(), control.as_raw_fd(), line.as_raw_fd()].into_iter().chain(alive_number).collect();
    sys::ignore(sys::fd::close_all_but(0, &kept));
    let tell = |made: usize| {
        if made.is_multiple_of(CHUNK) {
            message::order(control.as_fd(), Order::Go(i32::try_from(made).unwrap_or(ALL)));
        }
    };
    let made = match placeholder::make_all(plan, &tell) {
        Ok(made) => made,
        Err(error) => return message::report(line.as_fd(), &Report::Failed(error)),
    };
    if placeholder::planned(plan).next().is_some() {
        message::order(control.as_fd(), Order::Go(ALL));
    }
    // Init knows by this socket that the supervisor is gone: from now on only the supervisor holds its end.
    let held = made.iter().flat_map(placeholder::Placeholder::descriptors);
    let kept: Vec<_> = held.chain([sandbox.as_raw_fd(), line.as_raw_fd()]).chain(alive_number).collect();
    sys::ignore(sys::fd::close_all_but(0, &kept));
    let init = alive.and_then(|alive| {
        wait_for([sandbox.as_fd(), line.as_fd(), alive.as_fd()]);
        alive.init()
    });
    // The line hangs up when the supervisor is dead: then nothing may go on, even where its death came before init was
    // tied to it.
    let [ended, _] = wait_for([sandbox.as_fd(), line.as_fd()]);
    if !ended && tied {
        sys::ignore(rustix::process::pidfd_send_signal(sandbox, rustix::process::Signal::KILL));
    }
    // Readable when init is dead, and with it its whole PID namespace; without one, init ends what is left first.
    wait_for([sandbox.as_fd()]);
    if let Some(alive) = alive {
        // Another program was between: init may live a moment longer than it.
        alive.wait(init, tied);
    }
    // A short command is gone before the watch looks.
    if let Err(error) = guard::last_look(plan) {
        message::report(line.as_fd(), &Report::Failed(error));
    }
    guard::sweep(plan);
    if let Some(groups) = groups.filter(|_| has_hung_up(line.as_fd())) {
        groups.remove();
    }
    if placeholder::remove_all(&made).is_err() {
        // The supervisor, if there still is one, tries again.
        sys::process::exit_now(1);
    }
}

/// Whether nobody has the other end any more.
fn has_hung_up(line: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(line, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_ok() && watched[0].revents().contains(PollFlags::HUP)
}

/// Waits until something happens to one of the descriptors, and tells to which.
fn wait_for<const N: usize>(descriptors: [BorrowedFd<'_>; N]) -> [bool; N] {
    let mut watched = descriptors.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
    while poll(&mut watched, None).is_err() {}
    watched.map(|one| !one.revents().is_empty())
}
