//! Answers the filter where it asks about calls instead of deciding by itself.
//!
//! There are two reasons to ask: names of threads that the command may give but not write (`names.rs`), and a user who wants to
//! know what the command touches (`witness.rs`). Whatever else is asked goes on to the kernel as if nobody had asked, and
//! namespaces, mounts and the wall decide there. So to let a call go on is never a grant, and it does not matter what
//! becomes of a path in the caller's memory meanwhile. What the table refuses is refused here too, by the same row, of
//! which only registers decide.

mod memory;
mod names;
mod place;
mod witness;
mod words;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::message::take;
use crate::backend::StepError;
use crate::plan::Plan;
use crate::plan::syscalls::SyscallPlan;
use crate::sys;
use crate::sys::seccomp::{Listener, Notification};
use witness::Witness;

/// Answers the filter of one command.
#[derive(Debug)]
pub struct Broker<'a> {
    calls: &'a SyscallPlan,
    /// `/proc`, if its numbers are those of this process.
    proc: Option<OwnedFd>,
    witness: Option<Witness>,
    line: Line,
}

#[derive(Debug)]
enum Line {
    /// The command's process has not yet loaded its filter.
    Awaited(OwnedFd),
    Open(Listener),
}

impl<'a> Broker<'a> {
    /// Whether a plan needs one.
    #[must_use]
    pub fn is_planned(plan: &Plan) -> bool {
        Self::calls(plan).is_some()
    }

    fn calls(plan: &Plan) -> Option<&SyscallPlan> {
        let calls = plan.confinement.as_ref().map(|confinement| &confinement.syscalls);
        calls.filter(|calls| calls.modes.names_threads || calls.modes.watch.is_some())
    }

    /// For a plan that needs one; with it, the line on which the command's process passes the listener.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn planned(plan: &'a Plan) -> Result<Option<(Self, OwnedFd)>, StepError> {
        let Some(calls) = Self::calls(plan) else { return Ok(None) };
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|error| StepError::new("make a socket pair", None, error))?;
        let witness = calls.modes.watch.map(Witness::new);
        Ok(Some((Self { calls, proc: memory::own_proc().ok(), witness, line: Line::Awaited(ours) }, theirs)))
    }

    /// Does what has become possible, without waiting; `None` when nobody is left who could ask. What is noted goes to
    /// `control`.
    #[must_use]
    pub fn attend(mut self, found: PollFlags, control: BorrowedFd<'_>) -> Option<Self> {
        self.line = match self.line {
            Line::Awaited(socket) if found.is_empty() => Line::Awaited(socket),
            // Without a listener, its callers get ENOSYS instead of waiting for ever.
            Line::Awaited(socket) => Line::Open(Listener::new(take(socket.as_fd())?).ok()?),
            Line::Open(listener) if found.contains(PollFlags::IN) => {
                // The caller may be gone by now.
                if let Ok(call) = listener.receive() {
                    answer(&listener, self.calls, self.proc.as_ref(), self.witness.as_mut(), &call);
                }
                Line::Open(listener)
            }
            Line::Open(listener) if found.is_empty() => Line::Open(listener),
            Line::Open(_) => return None,
        };
        if let Some(witness) = &mut self.witness {
            witness.tell(control);
        }
        Some(self)
    }

    /// Tells what has not been told yet, at the end.
    pub fn finish(self, control: BorrowedFd<'_>) {
        if let Some(witness) = self.witness {
            witness.finish(control);
        }
    }
}

impl AsFd for Broker<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.line {
            Line::Awaited(socket) => socket.as_fd(),
            Line::Open(listener) => listener.as_fd(),
        }
    }
}

/// The row's error, or the descriptor of a name, or on with it. An answer that does not arrive has nobody to arrive at.
fn answer(
    listener: &Listener,
    calls: &SyscallPlan,
    proc: Option<&OwnedFd>,
    witness: Option<&mut Witness>,
    call: &Notification,
) {
    let number = u32::try_from(call.number).unwrap_or(u32::MAX);
    let row = calls.decision(number, &call.args);
    if let Some((row, errno)) = row.and_then(|row| Some((row, row.action.errno()?))) {
        sys::ignore(listener.refuse(call.id, errno));
        if let Some(witness) = witness {
            witness.note_refusal(row.call, row.why);
        }
        return;
    }
    let given = proc.filter(|_| calls.modes.names_threads).and_then(|proc| {
        let (file, close_on_exec) = names::open_name(listener, proc, call)?;
        // The kernel looks up the waiting call once more, and gives and answers in one step.
        listener.give(call.id, file.as_fd(), close_on_exec).ok()
    });
    if given.is_some() {
        return;
    }
    if let (Some(witness), Some(proc)) = (witness, proc) {
        witness.note(listener, proc, call);
    }
    sys::ignore(listener.let_go_on(call.id));
}
