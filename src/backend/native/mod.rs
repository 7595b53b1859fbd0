//! The native engine: namespaces and mounts made by ringfence itself.
//!
//! Three processes: the supervisor outside, init inside, the command below init. A fourth, the janitor, exists only
//! while placeholders do: it outlives a killed supervisor and removes them.

mod command;
mod init;
mod janitor;
pub mod message;
mod mounts;
pub mod placeholder;
mod stdio;
mod tree;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit};
use rustix::termios::{Termios, Winsize};

use crate::backend::StepError;
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::request::Net;
use crate::sys::{self, process::Forked, signal::SignalSet};
use stdio::Stream;

/// Names of steps that have a cure.
pub const CREATE_NAMESPACES: &str = "create namespaces";
/// See [`CREATE_NAMESPACES`].
pub const MAP_IDS: &str = "map user and group ids";
/// See [`CREATE_NAMESPACES`].
pub const PLACEHOLDER: &str = "block the missing entry";
/// See [`CREATE_NAMESPACES`].
pub const STDIO: &str = "connect";
const SETUP: &str = "wait for the supervisor";

/// What a private terminal starts with: the settings of the caller's.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// Line discipline.
    pub termios: Termios,
    /// Size in characters and pixels.
    pub size: Winsize,
}

/// What the child needs besides the plan.
#[derive(Debug)]
pub struct Setup {
    streams: [Stream; 3],
    terminal: Option<Terminal>,
    /// The caller's signal mask.
    signals: SignalSet,
    /// The caller's limit of open files.
    open_files: Rlimit,
}

impl Setup {
    fn wants_terminal(&self) -> bool {
        self.streams.iter().any(|stream| matches!(stream, Stream::Terminal))
    }
}

/// A running sandbox.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: OwnedFd,
    control: OwnedFd,
    janitor: Option<janitor::Janitor>,
}

impl Child {
    /// The socket that reports come from.
    #[must_use]
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Passes a signal to the command's process group.
    pub fn signal(&self, signal: i32) {
        message::order(self.control(), message::Order::Signal(signal));
    }

    /// Ends everything in the sandbox at once.
    pub fn kill(&self) {
        // Already dead is as good.
        sys::ignore(rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL));
    }

    /// Becomes readable when the janitor has failed or died: then the sandbox must end.
    #[must_use]
    pub fn janitor(&self) -> Option<BorrowedFd<'_>> {
        self.janitor.as_ref().map(janitor::Janitor::line)
    }

    /// Waits until no process of the sandbox is left, and nothing that it needed on the host.
    pub fn finish(self, plan: &Plan) {
        let Self { pid, janitor, pidfd, control } = self;
        // Init is our child and not yet waited for, so this returns when it is dead.
        sys::ignore(rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()));
        drop((pidfd, control));
        if let (Some(janitor), Some(confinement)) = (janitor, &plan.confinement) {
            janitor.finish(&confinement.mounts);
        }
    }
}

/// Starts the command of a plan.
///
/// # Errors
/// The step that failed.
pub fn spawn(plan: &Plan, terminal: Option<Terminal>) -> Result<Child, StepError> {
    let streams = stdio::classify(plan)?;
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .map_err(|error| StepError::new("make a socket pair", None, error))?;
    let open_files = raise_open_files(plan);
    // Everything is blocked until the supervisor and init have their signalfds: no signal gets lost or kills halfway.
    let signals = SignalSet::all().block_only();
    let setup = Setup { streams, terminal, signals, open_files };
    match sys::process::fork_into(namespaces(plan)) {
        Ok(Forked::Child) => {
            drop(ours);
            init::main(plan, &setup, &theirs)
        }
        Ok(Forked::Parent(pid, pidfd)) => {
            drop(theirs);
            attend(plan, Child { pid, pidfd, control: ours, janitor: None })
        }
        Err(error) => Err(StepError::new(CREATE_NAMESPACES, None, error)),
    }
}

/// What the host side does while init makes the view: it has the placeholders made.
fn attend(plan: &Plan, mut child: Child) -> Result<Child, StepError> {
    let Some(confinement) = &plan.confinement else { return Ok(child) };
    if placeholder::planned(&confinement.mounts).next().is_none() {
        return Ok(child);
    }
    match janitor::Janitor::hire(&confinement.mounts, &child.pidfd, &child.control) {
        Ok(janitor) => {
            child.janitor = Some(janitor);
            Ok(child)
        }
        Err(error) => {
            child.kill();
            child.finish(plan);
            Err(error)
        }
    }
}

fn namespaces(plan: &Plan) -> u64 {
    let Some(confinement) = &plan.confinement else { return 0 };
    if plan.choice.engine == Engine::Landlock {
        return 0;
    }
    let mut flags =
        libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
    if confinement.pid_namespace.value {
        flags |= libc::CLONE_NEWPID;
    }
    if confinement.net.value == Net::None {
        flags |= libc::CLONE_NEWNET;
    }
    u64::from(flags.cast_unsigned())
}

/// Each bind holds a descriptor while the view is made; the command gets the caller's limit back.
fn raise_open_files(plan: &Plan) -> Rlimit {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = plan.confinement.as_ref().map_or(0, |confinement| confinement.mounts.ops.len() as u64 * 2 + 64);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // When it cannot be raised, the step that runs out says so.
        sys::ignore(rustix::process::setrlimit(Resource::Nofile, raised));
    }
    limit
}
