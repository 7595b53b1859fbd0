//! A running sandbox as the supervisor sees it, and what its first process needs besides the plan.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions};
use rustix::termios::{Termios, Winsize};

use super::bwrap::{self, Lifeline};
use super::group::Groups;
use super::init::message::{self, Order};
use super::init::stdio::{self, Stream};
use super::network::Line;
use super::{StepError, janitor, placeholder};
use crate::plan::Plan;
use crate::plan::choose::Engine;
use crate::plan::limits::Controller;
use crate::plan::mounts::Mount;
use crate::sys::{self, signal::SignalSet};

/// What a private terminal starts with: the settings of the caller's.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// Line discipline.
    pub termios: Termios,
    /// Size in characters and pixels.
    pub size: Winsize,
}

impl Terminal {
    /// Of the caller's standard streams, if one of them is a terminal.
    #[must_use]
    pub fn of_streams() -> Option<Self> {
        let streams = [1, 2, 0].into_iter().filter_map(sys::fd::borrow_if_open);
        let terminal = streams.into_iter().find(|fd| rustix::termios::isatty(fd))?;
        let termios = rustix::termios::tcgetattr(terminal).ok()?;
        let size = rustix::termios::tcgetwinsize(terminal).ok()?;
        Some(Self { termios, size })
    }
}

/// What the first process needs besides the plan.
#[derive(Debug)]
pub struct Setup {
    /// What the standard streams become.
    pub streams: [Stream; 3],
    /// What a private terminal starts with.
    pub terminal: Option<Terminal>,
    /// The caller's signal mask.
    pub signals: SignalSet,
    /// The caller's limit of open files.
    pub open_files: Rlimit,
    /// Init's end of the line to the bridge.
    pub network: Option<OwnedFd>,
    /// The bridge's end of it, until somebody takes it.
    bridge: Option<OwnedFd>,
    /// What the first process enters; afterwards the supervisor's.
    pub groups: Option<Groups>,
    /// Where the first process is asked for commands, when it starts none by itself.
    pub listener: Option<OwnedFd>,
}

/// What a start gets from the caller, besides the plan.
#[derive(Debug)]
pub struct Caller {
    /// What a private terminal starts with.
    pub terminal: Option<Terminal>,
    /// The caller's signal mask; every signal is blocked by now.
    pub signals: SignalSet,
    /// See [`Setup::listener`].
    pub listener: Option<OwnedFd>,
}

impl Setup {
    /// Looks at the standard streams and makes room for descriptors.
    ///
    /// # Errors
    /// A stream that cannot be made safe.
    pub fn prepare(plan: &Plan, caller: Caller) -> Result<Self, StepError> {
        let Caller { terminal, signals, listener } = caller;
        let streams = stdio::classify(plan)?;
        let (bridge, network) = Line::planned(plan)?.map(|Line { bridge, init }| (bridge, init)).unzip();
        let groups = Some(Groups::make(plan)?).filter(|groups| !groups.is_empty());
        Ok(Self { streams, terminal, signals, open_files: raise_open_files(plan), network, bridge, groups, listener })
    }

    /// As it is for a process in the sandbox.
    #[must_use]
    pub fn inside(streams: [Stream; 3], terminal: Option<Terminal>, signals: SignalSet, open_files: Rlimit) -> Self {
        Self { streams, terminal, signals, open_files, network: None, bridge: None, groups: None, listener: None }
    }

    /// The descriptors that the first process needs of it.
    pub fn given(&self) -> impl Iterator<Item = RawFd> {
        self.network.iter().chain(&self.listener).map(AsRawFd::as_raw_fd)
    }

    /// The bridge's end of the line, which must not be left in init.
    pub fn take_bridge(&mut self) -> Option<OwnedFd> {
        self.bridge.take()
    }

    /// In the first process: enters the control groups, before it starts anything.
    ///
    /// # Errors
    /// As write(2).
    pub fn enter_groups(&self) -> Result<(), StepError> {
        self.groups.as_ref().map_or(Ok(()), Groups::enter)
    }

    /// Whether the command gets a private terminal.
    #[must_use]
    pub fn wants_terminal(&self) -> bool {
        self.streams.iter().any(|stream| matches!(stream, Stream::Terminal))
    }
}

/// The two ends of what supervisor and init say to each other.
///
/// # Errors
/// As socketpair(2).
pub fn pair() -> Result<(OwnedFd, OwnedFd), StepError> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|error| StepError::new("make a socket pair", None, error))
}

/// A running sandbox, or a command in one that runs already.
#[derive(Debug)]
pub struct Child {
    /// The first process, or the program that makes it; none where somebody else waits for it.
    process: Option<(Pid, OwnedFd)>,
    control: OwnedFd,
    janitor: Option<janitor::Janitor>,
    groups: Option<Groups>,
    /// Whether everything inside ends with the first process.
    pid_namespace: bool,
    /// The program that makes the sandbox, where it is not this one.
    between: Option<Between>,
    /// What the bridge is to serve, until it is hired.
    way_out: WayOut,
}

/// What the bridge gets from the sandbox.
#[derive(Debug, Default)]
pub struct WayOut {
    /// The line on which init hands sockets over.
    pub line: Option<OwnedFd>,
    /// Sockets of the host's, one for each door, where there is no network namespace.
    pub sockets: Vec<OwnedFd>,
    /// Sockets of the host's, one for each port that leads inside.
    pub published: Vec<OwnedFd>,
}

/// Another program between us and init.
#[derive(Debug)]
pub struct Between {
    /// Where its words about failures go.
    pub words: File,
    /// Hangs up when no process of the sandbox is left.
    pub alive: Lifeline,
}

/// What is known of a sandbox when nothing of it is left.
#[derive(Debug)]
pub struct Finished {
    /// Why the program between us and init failed, if it said so.
    pub failure: Option<StepError>,
    /// What the command made in spite of a guard.
    pub refused: Option<StepError>,
    /// The limits that were hit, and how often.
    pub hits: Vec<(Controller, u64)>,
}

impl Child {
    /// What the host side does while init makes the view: it has the placeholders made.
    ///
    /// # Errors
    /// When there can be no janitor. Nothing has run then.
    pub fn attend(
        plan: &Plan,
        pid: Pid,
        pidfd: OwnedFd,
        control: OwnedFd,
        (between, groups): (Option<Between>, Option<Groups>),
    ) -> Result<Self, StepError> {
        let mut child = Self {
            process: None,
            janitor: None,
            groups,
            pid_namespace: plan.has_pid_namespace(),
            between,
            ..Self::joined(control)
        };
        let process = &child.process.insert((pid, pidfd)).1;
        let Some(confinement) = &plan.confinement else { return Ok(child) };
        // Landlock's init lives until nothing runs any more, and looks after guards itself.
        let is_alone = plan.choice.engine == Engine::Landlock;
        let guards = !is_alone && confinement.mounts.ops.iter().any(|op| op.what == Mount::Guard);
        let placeholders = placeholder::planned(&confinement.mounts).next().is_some();
        if child.between.is_none() && child.groups.is_none() && !guards && !placeholders {
            return Ok(child);
        }
        let sandbox = janitor::Sandbox {
            process,
            control: &child.control,
            alive: child.between.as_ref().map(|between| &between.alive),
            tied: child.pid_namespace,
            groups: child.groups.as_ref(),
        };
        match janitor::Janitor::hire(&confinement.mounts, &sandbox) {
            Ok(janitor) => {
                child.janitor = Some(janitor);
                Ok(child)
            }
            Err(error) => Err(child.abandon(plan, error)),
        }
    }

    /// A command of a sandbox that runs already, by the line to who looks after it.
    #[must_use]
    pub fn joined(control: OwnedFd) -> Self {
        Self {
            process: None,
            control,
            janitor: None,
            groups: None,
            pid_namespace: false,
            between: None,
            way_out: WayOut::default(),
        }
    }

    /// With the bridge's end of the line to init.
    #[must_use]
    pub fn with_bridge(mut self, line: Option<OwnedFd>) -> Self {
        self.way_out.line = line;
        self
    }

    /// With sockets of the host's for the bridge.
    #[must_use]
    pub fn with_sockets(mut self, sockets: Vec<OwnedFd>) -> Self {
        self.way_out.sockets = sockets;
        self
    }

    /// With sockets of the host's that lead inside.
    #[must_use]
    pub fn with_published(mut self, sockets: Vec<OwnedFd>) -> Self {
        self.way_out.published = sockets;
        self
    }

    /// The first process, or the program that makes it, where it is a child of this one.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(|(pid, _)| *pid)
    }

    /// What the bridge is to serve.
    pub fn take_way_out(&mut self) -> WayOut {
        std::mem::take(&mut self.way_out)
    }

    /// The socket that reports come from.
    #[must_use]
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Passes a signal to the command's process group.
    pub fn signal(&self, signal: i32) {
        message::order(self.control(), Order::Signal(signal));
    }

    /// Ends everything in the sandbox at once.
    pub fn kill(&self) {
        let Some((_, pidfd)) = &self.process else {
            // Init ends what its line to the caller hangs up on, whatever has become of the process that looks after it.
            sys::ignore(rustix::net::shutdown(&self.control, rustix::net::Shutdown::Write));
            return;
        };
        if !self.pid_namespace {
            // Only init can find what the command has started.
            message::order(self.control(), Order::End);
            return;
        }
        // Already dead is as good.
        sys::ignore(rustix::process::pidfd_send_signal(pidfd, Signal::KILL));
        if let Some(between) = &self.between {
            // It may have been dead already, and not its child.
            between.alive.end_what_is_left();
        }
    }

    /// Ends a sandbox whose start failed on this side; the reason comes back when nothing of it is left.
    pub fn abandon(self, plan: &Plan, why: StepError) -> StepError {
        self.kill();
        drop(self.finish(plan));
        why
    }

    /// Whether nothing runs in it any more, or nothing will in a moment.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let Some((_, pidfd)) = &self.process else { return false };
        let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
        matches!(poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
    }

    /// Becomes readable when the janitor has failed or died: then the sandbox must end.
    #[must_use]
    pub fn janitor(&self) -> Option<BorrowedFd<'_>> {
        self.janitor.as_ref().map(janitor::Janitor::line)
    }

    /// Waits until no process of the sandbox is left, and nothing that it needed on the host.
    pub fn finish(self, plan: &Plan) -> Finished {
        let Self { process, janitor, groups, control, pid_namespace, between, way_out } = self;
        if let Some((pid, _)) = &process {
            // It is our child and not yet waited for, so this returns when it is dead.
            sys::ignore(retry_on_intr(|| rustix::process::waitpid(Some(*pid), WaitOptions::empty())));
        }
        let failure = between.and_then(|Between { words, alive }| {
            // Init may live a moment longer than the program that made it.
            alive.wait(None, pid_namespace);
            bwrap::failure(&read_all(words))
        });
        let hits = groups.as_ref().map(Groups::hits).unwrap_or_default();
        drop((process, control, way_out, groups));
        let refused = match (janitor, &plan.confinement) {
            (Some(janitor), Some(confinement)) => janitor.finish(&confinement.mounts),
            _ => None,
        };
        Finished { failure, refused, hits }
    }
}

fn read_all(mut words: File) -> String {
    let mut text = Vec::new();
    let read = words.rewind().and_then(|()| words.read_to_end(&mut text));
    sys::ignore(read);
    String::from_utf8_lossy(&text).into_owned()
}

/// Each bind holds a descriptor while the view is made; the command gets the caller's limit back.
fn raise_open_files(plan: &Plan) -> Rlimit {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let wanted = plan.confinement.as_ref().map_or(0, |confinement| confinement.mounts.descriptors());
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        // When it cannot be raised, the step that runs out says so.
        sys::ignore(rustix::process::setrlimit(Resource::Nofile, raised));
    }
    limit
}
