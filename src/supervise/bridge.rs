//! The bridge as the supervisor sees it: a process of its own outside the sandbox, which serves the sockets of the
//! sandbox's network until the sandbox has ended.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{Pid, Signal, WaitOptions};

use super::proxy::{self, events::Summary};
use crate::backend::StepError;
use crate::backend::child::{Child, WayOut};
use crate::backend::helper;
use crate::backend::init::message::{Report, receive, report};
use crate::plan::Plan;
use crate::plan::network::NetworkPlan;
use crate::sys;

/// How long the summary is waited for once the sandbox has ended.
const LAST_WORD: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// As long as all that a summary can say.
const LARGEST: usize = 128 << 10;

/// A hired bridge.
#[derive(Debug)]
pub struct Bridge {
    pid: Pid,
    line: OwnedFd,
}

impl Bridge {
    /// Forks it, for a plan whose network has a way out or in. A failure of its start comes as a report from
    /// [`Bridge::line`]; the sandbox need not wait for it: what connects meanwhile waits in the kernel.
    ///
    /// # Errors
    /// When there cannot be another process.
    pub fn hire(plan: &Plan, child: &mut Child, log: Option<&File>) -> Result<Option<Self>, StepError> {
        let network = plan.confinement.as_ref().and_then(|confinement| confinement.network.as_ref());
        let Some(network) = network else { return Ok(None) };
        let way_out = child.take_way_out();
        let fail = |error: rustix::io::Errno| StepError::new("make a line to the bridge", None, error);
        let (line, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(fail)?;
        let log = log.map(File::try_clone).transpose();
        let log = log.map_err(|error| StepError::new("give the bridge the log", None, error))?;
        let pid = helper::fork("fork the bridge", || {
            work(network, way_out, log, &theirs);
            0
        })?;
        Ok(Some(Self { pid, line }))
    }

    /// Becomes readable when the bridge has failed or died.
    pub fn line(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// Why it could not start, if it said so. A bridge that has just ended has said something else.
    pub fn failure(&self) -> Option<StepError> {
        match receive(self.line()) {
            Some(Report::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// Waits until it has ended, as it does with the sandbox, and takes what it has to tell.
    pub fn finish(self) -> Option<Summary> {
        let mut watched = [PollFd::new(&self.line, PollFlags::IN)];
        let told = poll(&mut watched, Some(&LAST_WORD)).is_ok_and(|ready| ready > 0);
        let mut text = vec![0; LARGEST];
        let length = if told { rustix::net::recv(&self.line, &mut *text, RecvFlags::DONTWAIT).ok() } else { None };
        let summary = length.and_then(|(_, length)| serde_json::from_slice(text.get(..length)?).ok());
        // It has nothing left to do, and nothing of it may stay.
        sys::ignore(rustix::process::kill_process(self.pid, Signal::KILL));
        sys::ignore(retry_on_intr(|| rustix::process::waitpid(Some(self.pid), WaitOptions::empty())));
        summary
    }
}

fn work(plan: &NetworkPlan, way_out: WayOut, log: Option<File>, line: &OwnedFd) {
    // Out of the caller's process group and session: what is sent to those is not for the bridge.
    // Until it has said this, a bridge that somebody stops is nobody's to end.
    sys::ignore(rustix::process::set_parent_process_death_signal(Some(Signal::KILL)));
    // Out of the caller's process group and session: what is sent to those is not for the bridge.
    sys::ignore(rustix::process::setsid());
    let WayOut { line: init, sockets, published } = &way_out;
    let log_number = log.as_ref().map(AsRawFd::as_raw_fd);
    let sockets = sockets.iter().chain(published).chain(init).map(AsRawFd::as_raw_fd);
    let kept: Vec<_> = sockets.chain(log_number).chain([line.as_raw_fd()]).collect();
    // The caller's pipes must close when the command ends, whatever becomes of the bridge.
    sys::ignore(sys::fd::close_all_but(0, &kept));
    // What a library says in its last moment must not go to whatever has these numbers next.
    for number in (0..3).filter(|number| !kept.contains(number)) {
        sys::ignore(sys::fd::replace_by_null(number));
    }
    // A supervisor that died before the signal was set has closed its end.
    let gone = poll(&mut [PollFd::new(line, PollFlags::RDHUP)], Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    if gone.is_ok_and(|ready| ready > 0) {
        return;
    }
    match proxy::serve(plan, way_out, log) {
        Ok(summary) => {
            let text = serde_json::to_vec(&summary).unwrap_or_default();
            sys::ignore(rustix::net::send(line, &text, SendFlags::NOSIGNAL));
        }
        Err(error) => report(line.as_fd(), &Report::Failed(error)),
    }
}
